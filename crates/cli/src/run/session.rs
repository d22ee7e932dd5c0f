//! One connection to the source, from the start of the stream to its end.
//!
//! The loop takes what has arrived, in this order of priority: to be told to stop; the applier's own work, so that a bulk
//! that has landed makes room and progress; more of the stream, as long as the applier has room for it. Every branch
//! keeps its work when another one wins: the applier in itself, the stream in its channel.

use std::time::{Duration, Instant};

use ::feed::{Feed, Taken};
use apply::{Applier, Session};
use change::{Lsn, TableName};
use spool::Spool;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wal::{Chunk, Confirm, Connection, Message, Mode, Receiver, StreamOptions};

use super::feed::{self, Into};
use super::watch::{Facts, Watch};
use super::{Context, DRAIN, SLOT_PATIENCE, gate};
use crate::failure::Failure;
use crate::position;
use crate::source::Source;

/// Streams until told to stop (`Ok`), until `goal` is searchable (`Ok`), or until the source goes away.
pub(super) async fn run(
    context: &Context,
    source: &mut Source,
    applier: &mut Applier,
    goal: Option<Lsn>,
    spool: Option<&mut Spool>,
    watch: &mut Watch,
) -> Result<(), Failure> {
    source.revive().await?;
    let stream = start(context, source, applier.confirmed()).await?;
    // Read only now: the slot is ours, so no other process can be sending any more.
    let replay_end = position::flushed(&source.client).await?;
    gate::must_fit(context, source, applier.confirmed(), applier.durable(), replay_end).await?;
    if let Some(goal) = goal.filter(|goal| *goal > replay_end) {
        position::nudge(&source.client).await?;
        info!(%goal, "waiting for the log to be flushed");
    }
    applier.begin_session(Session { replay_end });
    info!(from = %applier.confirmed(), %replay_end, "streaming");

    let wal_sender_timeout = source.wal_sender_timeout().await?;
    let options = StreamOptions { wal_sender_timeout, ..StreamOptions::default() };
    let (pump, mut receiver, confirm) = stream.split(options);
    let pump_stop = CancellationToken::new();
    let pump = tokio::spawn(pump.run(pump_stop.clone()));
    let mut feed = feed::open(context, source, applier, spool)?;
    // The receiver stays here until the end: without it the pump would take its leave before the last confirmation.
    watch.begin_session(context, source, &mut feed).await?;
    let mut follow = Follow { context, source, applier, feed, watch, confirm: &confirm };
    let followed = follow.follow(&mut receiver, goal).await;
    match followed {
        Ok(End::Stopped) => {
            finish(applier, &confirm).await?;
            pump_stop.cancel();
            if let Ok(Err(error)) = pump.await {
                warn!(%error, "the stream did not end cleanly");
            }
            Ok(())
        }
        Ok(End::SourceGone) => Err(match pump.await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) => Failure::retry("the source ended the stream", "look into its log"),
            Err(error) => Failure::stop(format!("the reading task failed: {error}"), "report this"),
        }),
        Err(failure) => {
            pump_stop.cancel();
            let _ = tokio::time::timeout(Duration::from_secs(3), pump).await;
            Err(failure)
        }
    }
}

enum End {
    Stopped,
    SourceGone,
}

/// What the loop works with.
struct Follow<'a> {
    context: &'a Context,
    source: &'a mut Source,
    applier: &'a mut Applier,
    feed: Feed<'a>,
    watch: &'a mut Watch,
    confirm: &'a Confirm,
}

impl Follow<'_> {
    /// The loop; see the module.
    async fn follow(&mut self, receiver: &mut Receiver, goal: Option<Lsn>) -> Result<End, Failure> {
        let mut waiting: Option<Chunk> = None;
        loop {
            if goal.is_some_and(|goal| self.applier.visible() >= goal) {
                return Ok(End::Stopped);
            }
            if waiting.is_none() {
                waiting = receiver.try_next();
            }
            self.applier.set_dry(waiting.is_none());
            self.confirm.confirm(self.applier.confirmed());
            self.context.monitor.applied(self.applier);
            if self.applier.has_room()
                && let Some(chunk) = waiting.take()
            {
                if !self.take(&chunk).await? {
                    return Ok(End::Stopped);
                }
                // However much there is to do, what was found is looked at.
                let found = tokio::select! {
                    biased;
                    facts = self.watch.look(self.context, self.source) => Some(facts),
                    () = std::future::ready(()) => None,
                };
                found.map_or(Ok(()), |facts| self.compare(facts))?;
                continue;
            }
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return Ok(End::Stopped),
                stepped = self.applier.step() => stepped?,
                facts = self.watch.look(self.context, self.source) => self.compare(facts)?,
                chunk = receiver.next(), if waiting.is_none() => match chunk {
                    Some(chunk) => waiting = Some(chunk),
                    None => return Ok(End::SourceGone),
                },
            }
        }
    }

    /// Only what a look has found stops anything; one that failed is followed by the next.
    fn compare(&mut self, facts: Result<Facts, Failure>) -> Result<(), Failure> {
        match facts {
            Ok(facts) => self.watch.compare(self.context, &self.feed, facts),
            Err(failure) => {
                warn!(%failure, "the catalog could not be read; trying again later");
                Ok(())
            }
        }
    }

    /// Hands one chunk to the applier. False when told to stop meanwhile.
    async fn take(&mut self, chunk: &Chunk) -> Result<bool, Failure> {
        for message in chunk.messages() {
            match message? {
                Message::Keepalive { wal_end, .. } => self.applier.idle(wal_end),
                Message::WalData { start, payload, .. } => {
                    let taken = self.feed.take(&mut Into(self.applier), start, payload)?;
                    if !self.see_to(taken).await? {
                        return Ok(false);
                    }
                }
            }
            if !self.make_room().await? {
                return Ok(false);
            }
        }
        if self.feed.newly_described() {
            self.watch.hurry();
        }
        Ok(true)
    }

    /// Does what the feed can't. False when told to stop meanwhile.
    async fn see_to(&mut self, taken: Taken) -> Result<bool, Failure> {
        let mut next = taken;
        loop {
            next = match next {
                Taken::Done => return Ok(true),
                Taken::Released => return self.release().await,
                Taken::Truncated(emptied) => return self.truncate(&emptied).await,
                Taken::Lookup { name, could_be } => match self.lookup(name, could_be).await? {
                    Some(taken) => taken,
                    None => return Ok(false),
                },
            }
        }
    }

    async fn truncate(&mut self, emptied: &[usize]) -> Result<bool, Failure> {
        for &at in emptied {
            if !self.applier.truncate(at, &self.context.stop).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// None when told to stop meanwhile.
    async fn lookup(
        &mut self,
        name: TableName,
        could_be: Option<usize>,
    ) -> Result<Option<Taken>, Failure> {
        let context = self.context;
        let look = async {
            self.source.revive().await?;
            self.watch.lookup(context, self.source, &name, could_be).await
        };
        let known = tokio::select! {
            biased;
            () = context.stop.cancelled() => return Ok(None),
            known = look => known?,
        };
        self.feed.learn(name, known);
        Ok(Some(self.feed.again(&mut Into(self.applier))?))
    }

    /// A transaction that was held, from its first message to its commit.
    async fn release(&mut self) -> Result<bool, Failure> {
        while let Some(taken) = self.feed.released(&mut Into(self.applier))? {
            let seen_to = match taken {
                // Nothing is released within a release.
                Taken::Done | Taken::Released => true,
                taken => Box::pin(self.see_to(taken)).await?,
            };
            if !seen_to || !self.make_room().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until the applier can take more. False when told to stop meanwhile.
    async fn make_room(&mut self) -> Result<bool, Failure> {
        if self.applier.has_room() {
            return Ok(true);
        }
        self.applier.set_dry(false);
        if !self.applier.make_room(&self.context.stop).await? {
            return Ok(false);
        }
        self.confirm.confirm(self.applier.confirmed());
        self.context.monitor.applied(self.applier);
        Ok(true)
    }
}

/// Finishes what is complete, within bounds: what does not get done comes again after the next start.
async fn finish(applier: &mut Applier, confirm: &Confirm) -> Result<(), Failure> {
    match tokio::time::timeout(DRAIN, applier.drain()).await {
        Ok(drained) => drained?,
        Err(_) => {
            warn!("the target does not take the rest in time; it comes again after the next start");
        }
    }
    confirm.confirm(applier.confirmed());
    info!(applied = %applier.durable(), confirmed = %applier.confirmed(), rows = applier.applied_rows(),
          superseded = applier.superseded(), "stopped");
    Ok(())
}

/// Starts the stream, waiting a little for a slot that is still held.
async fn start(context: &Context, source: &Source, from: Lsn) -> Result<wal::Replication, Failure> {
    let config = &context.config.source;
    let options = feed::options(context, source)?;
    let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let began = Instant::now();
    loop {
        let mut connection = Connection::connect(&source.info, Mode::Replication).await?;
        let system = connection.identify_system().await?;
        let before = &context.system;
        if system.system_id != before.system_id || system.timeline != before.timeline {
            return Err(Failure::stop(
                format!(
                    "this is another Postgres than before (system {} timeline {}, before {} timeline {})",
                    system.system_id, system.timeline, before.system_id, before.timeline
                ),
                "start again: the state is checked then",
            ));
        }
        let error = match connection.start_replication(&config.slot, from, &options).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        let busy = error.db_error().is_some_and(|db| db.code == "55006");
        if !busy || context.stop.is_cancelled() {
            return Err(error.into());
        }
        if began.elapsed() > SLOT_PATIENCE {
            let pid = source.slot(&config.slot).await?.and_then(|slot| slot.active_pid);
            let pid = pid.map_or(String::new(), |pid| format!(" (process {pid} of Postgres)"));
            return Err(Failure::retry(
                format!("the slot {} is in use by another connection{pid}", config.slot),
                "is a second wal2es running on this slot? Stop one of them",
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
