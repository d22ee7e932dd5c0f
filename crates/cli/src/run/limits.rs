//! The tasks beside a run that look and tell: at the server and its slot, and into the report.
//!
//! They have connections of their own and end with the run. What goes wrong with them is tried again and stops nothing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use apply::{Progress, Report, Reports};
use tokio_postgres::Client;
use tracing::{debug, info, warn};
use wal::ConnInfo;

use super::Context;
use crate::failure::Failure;
use crate::limits::{self, Limit, Look, Said, bytes};
use crate::monitor::Monitor;
use crate::position;
use crate::source::{self, Source};

/// How often the end of the log is asked for, which the lag is measured by.
const POSITION_EVERY: Duration = Duration::from_secs(1);
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often the report is written while something changes, and otherwise.
const REPORT_EVERY: Duration = Duration::from_secs(2);
const REPORT_AT_LEAST: Duration = Duration::from_secs(10);

/// Begins to look at the slot and to write the report, unless that has begun.
pub(super) fn tell(context: &Context, source: &Source) {
    if !context.monitor.begins_to_tell() {
        return;
    }
    watch(context, source);
    let (system, slot) = (&context.system.system_id, &context.config.source.slot);
    let reports = Reports::new(context.target.clone(), system, &source.info.dbname, slot);
    report(&context.monitor, reports);
}

/// Begins to look at the slot.
pub(super) fn watch(context: &Context, source: &Source) {
    let (config, monitor) = (&context.config, &context.monitor);
    let eye = Eye {
        info: source.info.clone(),
        version: source.version,
        slot: config.source.slot.to_string(),
        max_held: config.source.max_wal_held as u64,
        every: config.source.watch_interval,
        monitor: monitor.clone(),
        client: None,
        said: Said::default(),
    };
    monitor.spawn(eye.look_for_ever());
}

struct Eye {
    info: ConnInfo,
    version: u32,
    slot: String,
    max_held: u64,
    every: Duration,
    monitor: Arc<Monitor>,
    client: Option<Client>,
    said: Said,
}

impl Eye {
    async fn look_for_ever(mut self) {
        let mut looked: Option<Instant> = None;
        loop {
            let due = looked.is_none_or(|at| at.elapsed() >= self.every);
            match tokio::time::timeout(PATIENCE, self.look(due)).await {
                Ok(Ok(())) if due => looked = Some(Instant::now()),
                Ok(Ok(())) => {}
                failed => {
                    if let Ok(Err(failure)) = failed {
                        debug!(%failure, "the slot can't be looked at; trying again");
                    }
                    self.client = None;
                }
            }
            tokio::time::sleep(self.every.min(POSITION_EVERY)).await;
        }
    }

    /// At everything, or at the end of the log alone.
    async fn look(&mut self, everything: bool) -> Result<(), Failure> {
        let client = match self.client.take().filter(|client| !client.is_closed()) {
            Some(client) => client,
            None => source::open(&self.info).await?,
        };
        let client = self.client.insert(client);
        if !everything {
            self.monitor.observed(position::flushed(client).await?);
            return Ok(());
        }
        let look = Look::take(client, &self.slot, self.version).await?;
        self.say(&look);
        self.monitor.looked(look);
        Ok(())
    }

    fn say(&mut self, look: &Look) {
        let to_say = self.said.hear(limits::measured(look, &self.slot, self.max_held));
        for warning in to_say.worse {
            warn!("{}", warning.text);
        }
        for limit in to_say.over {
            let what = match limit {
                Limit::Held => "source.max_wal_held",
                Limit::KeepSize => "max_slot_wal_keep_size",
                Limit::WalSize => "max_wal_size",
                Limit::Idle => "idle_replication_slot_timeout",
                Limit::Age => "autovacuum_freeze_max_age",
            };
            info!(slot = %self.slot, held = bytes(look.held.unwrap_or(0)), "far from {what} again");
        }
    }
}

/// Comes back when the slot holds more than `source.max_wal_held`, with how much.
pub(super) async fn exceeded(context: &Context) -> u64 {
    let most = context.config.source.max_wal_held as u64;
    let held = |look: &Option<Look>| look.as_ref().and_then(|look| look.held).unwrap_or(0);
    let mut looks = context.monitor.looks();
    let over = looks.wait_for(|look| held(look) > most).await.map(|look| held(&look));
    match over {
        Ok(held) => held,
        // The monitor lives as long as the context.
        Err(_) => std::future::pending().await,
    }
}

/// Lets go of the log that the slot holds, up to now, and gives the reason for which the copy ends. Only for a copy whose
/// rows nobody will use: what is let go can never be streamed.
pub(super) async fn let_go(context: &Context, source: &Source, held: u64) -> Failure {
    let config = &context.config.source;
    let (slot, most) = (&config.slot, bytes(config.max_wal_held as u64));
    let freed = match advance(source, slot).await {
        Ok(()) => "the slot was advanced, so the server has its log back",
        Err(failure) => {
            warn!(%failure, "the slot could not be advanced");
            "the slot still holds it: drop it if the disk is full, and run `wal2es setup` again later"
        }
    };
    Failure::stop(
        format!(
            "the slot {slot} holds {} of WAL, more than source.max_wal_held ({most}), and the copy is not complete; {freed}",
            bytes(held)
        ),
        "raise source.max_wal_held, or start `wal2es run` at a quieter time: it copies anew",
    )
}

/// Why a build beside the stream ends. Its slot goes with it.
pub(super) fn held_by_a_build(context: &Context, held: u64) -> Failure {
    let most = bytes(context.config.source.max_wal_held as u64);
    Failure::stop(
        format!(
            "the build of new indices holds {} of WAL, more than source.max_wal_held ({most}), and its copy is not complete; \
             the server has its log back",
            bytes(held)
        ),
        "raise source.max_wal_held, or build at a quieter time",
    )
}

/// Twice: the first time moves what is confirmed, the second what is kept, which Postgres derives from it.
async fn advance(source: &Source, slot: &str) -> Result<(), Failure> {
    const QUERY: &str = "SELECT end_lsn::text FROM \
                         pg_catalog.pg_replication_slot_advance($1, pg_catalog.pg_current_wal_flush_lsn())";
    let client = source::open(&source.info).await?;
    for _ in 0..2 {
        client.query_one(QUERY, &[&slot]).await?;
    }
    Ok(())
}

/// Begins to write the report.
fn report(monitor: &Arc<Monitor>, reports: Reports) {
    let monitor_of_task = monitor.clone();
    monitor.spawn(async move {
        let mut written: Option<(Instant, Report)> = None;
        loop {
            let report = monitor_of_task.report();
            let due = written.as_ref().is_none_or(|(at, before)| {
                at.elapsed() >= REPORT_AT_LEAST || has_moved(before, &report)
            });
            if due {
                // Old news is no use: what does not get there in time is left.
                match tokio::time::timeout(PATIENCE, reports.save(&report)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => debug!(%error, "the report could not be written"),
                    Err(_) => debug!("the report could not be written in time"),
                }
                written = Some((Instant::now(), report));
            }
            tokio::time::sleep(REPORT_EVERY).await;
        }
    });
}

/// Something that people wait for has changed; not only a clock.
fn has_moved(before: &Report, now: &Report) -> bool {
    let rows = |report: &Report| report.progress.as_ref().map(|progress: &Progress| progress.rows);
    let applied = now.rate.is_some_and(|rate| rate > 0) || before.lag_bytes != now.lag_bytes;
    applied
        || before.state != now.state
        || rows(before) != rows(now)
        || before.progress.is_some() != now.progress.is_some()
        || before.warnings.len() != now.warnings.len()
}
