//! `wal2es wait`: read your writes from a shell.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use change::Lsn;
use serde_json::json;

use super::{Installation, answer};
use crate::config::Config;
use crate::failure::Failure;
use crate::position;
use crate::source::Source;

/// Between two looks at the state document.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The log may lie in memory for a while; after this the server is asked to flush it.
const NUDGE_AFTER: Duration = Duration::from_millis(300);

pub(super) async fn perform(
    config: &Config,
    lsn: Option<Lsn>,
    xid: Option<u64>,
    timeout: Duration,
    json: bool,
) -> Result<ExitCode, Failure> {
    let began = Instant::now();
    let mut found = Installation::find(config).await?;
    let goal = match (lsn, xid) {
        (Some(lsn), _) => lsn,
        (None, Some(xid)) => commit_of(&found.source, xid, began + timeout).await?,
        (None, None) => position::current(&found.source.client).await?,
    };
    let mut nudged = lsn.is_some() && config.by_log();
    let mut nudges = 1;
    if !config.by_log() {
        // One that sleeps does not know how far the log is.
        wake(config, &found.source).await?;
    }
    loop {
        let state = found.state.as_ref().ok_or_else(|| {
            Failure::config(
                "nothing has run for this slot and target yet",
                "start `wal2es run` first",
            )
        })?;
        if let Some(reason) = &state.needs_resync {
            return Err(Failure::stop(reason.clone(), crate::run::ANEW));
        }
        let reached = state.visible_lsn;
        if reached >= goal {
            let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            let letters = found.dead_letters().await?;
            let value = json!({
                "lsn": goal.to_string(), "reached": reached.to_string(), "waited_ms": took,
                "dead_letters": letters,
            });
            answer(json, &value, || match letters {
                0 => format!("everything up to {goal} is searchable, no dead letters"),
                _ => {
                    format!("everything up to {goal} is searchable but for {letters} dead letters")
                }
            });
            return Ok(ExitCode::SUCCESS);
        }
        if began.elapsed() >= timeout {
            let lag = goal.since(reached);
            let value = json!({
                "lsn": goal.to_string(), "reached": reached.to_string(), "lag_bytes": lag,
            });
            answer(json, &value, || {
                format!("searchable up to {reached}, {lag} bytes before {goal}")
            });
            return Err(Failure::retry(
                format!("{goal} was not reached within {}", humantime::format_duration(timeout)),
                "is `wal2es run` running? See `wal2es status`",
            ));
        }
        if !nudged && began.elapsed() > NUDGE_AFTER * nudges {
            // A consumer may have to be woken more than once.
            nudged = config.by_log();
            nudges += 1;
            match config.by_log() {
                true => position::nudge(&found.source.client).await?,
                false => wake(config, &found.source).await?,
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
        found.state = found.store.load().await?;
    }
}

/// Wakes who takes changes from tables.
async fn wake(config: &Config, source: &Source) -> Result<(), Failure> {
    match config.by_queue() {
        true => crate::queue::wake(config, source).await,
        false => crate::events::wake(config, source).await,
    }
}

/// A position behind the commit of that transaction, once it has committed.
async fn commit_of(source: &Source, xid: u64, until: Instant) -> Result<Lsn, Failure> {
    loop {
        let row = source
            .client
            .query_one("SELECT pg_catalog.pg_xact_status($1::text::xid8)", &[&xid.to_string()])
            .await?;
        match row.get::<_, Option<&str>>(0) {
            Some("committed") => return position::current(&source.client).await,
            Some("aborted") => {
                return Err(Failure::config(
                    format!("transaction {xid} was rolled back"),
                    "nothing of it will ever be in the index",
                ));
            }
            Some(_) => {}
            None => {
                return Err(Failure::config(
                    format!("the server knows no transaction {xid} any more"),
                    "give the value of pg_current_xact_id() soon after the commit",
                ));
            }
        }
        if Instant::now() >= until {
            return Err(Failure::retry(
                format!("transaction {xid} is still open"),
                "commit it, or give it a longer --timeout",
            ));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
