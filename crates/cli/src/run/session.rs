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
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wal::{Chunk, Confirm, Connection, Message, Mode, Receiver, StreamOptions};

use super::building::Building;
use super::feed::{self, Into};
use super::watch::{Compared, Facts, Watch};
use super::{Context, DRAIN, SLOT_PATIENCE, gate};
use crate::failure::Failure;
use crate::position;
use crate::source::Source;

/// How often a session that waits for a build looks whether it still has to.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// What a session has to see to beside the stream.
pub(super) struct What<'a> {
    /// End when everything up to here is searchable.
    pub(super) goal: Option<Lsn>,
    pub(super) building: &'a mut Building,
    pub(super) watch: &'a mut Watch,
}

/// Why a stream was left that could have gone on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// It was told to stop, or the goal is reached.
    Stopped,
    /// There are other tables than before, or new indices for them.
    Reload,
}

/// Streams until told to stop, until there is something to reload, or until the source goes away.
pub(super) async fn run(
    context: &Context,
    source: &mut Source,
    applier: &mut Applier,
    spool: Option<&mut Spool>,
    what: What<'_>,
) -> Result<End, Failure> {
    let What { goal, building, watch } = what;
    source.revive().await?;
    gate::before_session(context, source, applier).await?;
    let stream = start(context, source, applier.confirmed()).await?;
    let on_standbys = gate::in_session(context, source, applier).await?;
    // Read only now: the slot is ours, so no other process can be sending any more.
    let replay_end = position::flushed(&source.client).await?;
    if let Some(goal) = goal.filter(|goal| *goal > replay_end) {
        position::nudge(&source.client).await?;
        info!(%goal, "waiting for the log to be flushed");
    }
    tokio::select! {
        () = context.stop.cancelled() => return Ok(End::Stopped),
        recalled = applier.recall_suspects() => recalled?,
    }
    applier.begin_session(Session { replay_end });
    tokio::select! {
        () = context.stop.cancelled() => return Ok(End::Stopped),
        noted = applier.note_failover(on_standbys) => noted?,
    }
    info!(from = %applier.confirmed(), %replay_end, "streaming");

    let mut open = Open::new(source, stream).await?;
    let mut feed = feed::open(context, source, applier, spool)?;
    watch.begin_session(context, source, &mut feed).await?;
    let confirm = &open.confirm;
    let mut follow = Follow { context, source, applier, feed, watch, building, confirm };
    match follow.follow(&mut open.receiver, goal).await {
        Ok(Left::ForGood(End::Stopped)) => {
            finish(applier, confirm).await?;
            open.end().await;
            Ok(End::Stopped)
        }
        Ok(Left::ForGood(End::Reload)) => {
            // What has been built is in the state already, which must not be written any more then.
            match finish(applier, confirm).await {
                Err(failure) if !failure.is_cured_by_reload() => return Err(failure),
                _ => {}
            }
            open.abandon().await;
            Ok(End::Reload)
        }
        Ok(Left::SourceGone) => Err(open.why_it_ended().await),
        Err(failure) => {
            open.abandon().await;
            Err(failure)
        }
    }
}

/// A stream under way.
pub(super) struct Open {
    pump: JoinHandle<wal::Result<()>>,
    stop: CancellationToken,
    /// It stays here until the end: without it the pump would take its leave before the last confirmation.
    pub(super) receiver: Receiver,
    pub(super) confirm: Confirm,
}

impl Open {
    pub(super) async fn new(source: &Source, stream: wal::Replication) -> Result<Self, Failure> {
        let wal_sender_timeout = source.wal_sender_timeout().await?;
        let options = StreamOptions { wal_sender_timeout, ..StreamOptions::default() };
        let (pump, receiver, confirm) = stream.split(options);
        let stop = CancellationToken::new();
        let pump = tokio::spawn(pump.run(stop.clone()));
        Ok(Open { pump, stop, receiver, confirm })
    }

    /// Takes leave of the server, with the last confirmation.
    pub(super) async fn end(self) {
        self.stop.cancel();
        if let Ok(Err(error)) = self.pump.await {
            warn!(%error, "the stream did not end cleanly");
        }
    }

    /// The same, but not for long.
    pub(super) async fn abandon(self) {
        self.stop.cancel();
        let _ = tokio::time::timeout(Duration::from_secs(3), self.pump).await;
    }

    pub(super) async fn why_it_ended(self) -> Failure {
        match self.pump.await {
            Ok(Err(error)) => error.into(),
            Ok(Ok(())) => Failure::retry("the source ended the stream", "look into its log"),
            Err(error) => Failure::stop(format!("the reading task failed: {error}"), "report this"),
        }
    }
}

/// How the loop was left.
pub(super) enum Left {
    ForGood(End),
    SourceGone,
}

/// What the loop works with.
pub(super) struct Follow<'a> {
    pub(super) context: &'a Context,
    pub(super) source: &'a mut Source,
    pub(super) applier: &'a mut Applier,
    pub(super) feed: Feed<'a>,
    pub(super) watch: &'a mut Watch,
    pub(super) building: &'a mut Building,
    pub(super) confirm: &'a Confirm,
}

impl Follow<'_> {
    /// The loop; see the module. It may be called again after it has reached its goal.
    pub(super) async fn follow(
        &mut self,
        receiver: &mut Receiver,
        goal: Option<Lsn>,
    ) -> Result<Left, Failure> {
        let mut waiting: Option<Chunk> = None;
        loop {
            if goal.is_some_and(|goal| self.has_reached(goal)) && waiting.is_none() {
                return Ok(Left::ForGood(End::Stopped));
            }
            if waiting.is_none() {
                waiting = receiver.try_next();
            }
            let waits = self.building.has_us_wait();
            self.applier.set_dry(waiting.is_none() || waits);
            self.confirm.confirm(self.applier.confirmed());
            self.context.monitor.applied(self.applier);
            if self.applier.has_room()
                && !waits
                && let Some(chunk) = waiting.take()
            {
                if !self.take(&chunk).await? {
                    return Ok(Left::ForGood(End::Stopped));
                }
                // However much there is to do, what was found is looked at.
                let found = tokio::select! {
                    biased;
                    found = found(self.watch, self.building, self.context, self.source) => Some(found),
                    () = std::future::ready(()) => None,
                };
                if let Some(found) = found
                    && self.act_on(found)? == Compared::Reload
                {
                    return Ok(Left::ForGood(End::Reload));
                }
                continue;
            }
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return Ok(Left::ForGood(End::Stopped)),
                stepped = self.applier.step() => stepped?,
                found = found(self.watch, self.building, self.context, self.source) => {
                    if self.act_on(found)? == Compared::Reload {
                        return Ok(Left::ForGood(End::Reload));
                    }
                }
                () = tokio::time::sleep(LOOK_AGAIN), if waits => {}
                chunk = receiver.next(), if waiting.is_none() => match chunk {
                    Some(chunk) => waiting = Some(chunk),
                    None => return Ok(Left::SourceGone),
                },
            }
        }
    }

    /// Everything up to `goal` is searchable, whatever index it is in.
    fn has_reached(&self, goal: Lsn) -> bool {
        self.applier.visible() >= goal && self.applier.all_shown() && !self.building.is_under_way()
    }

    /// Only what a look has found stops anything; one that failed is followed by the next.
    fn act_on(&mut self, found: Found) -> Result<Compared, Failure> {
        match found {
            Found::Built(built) => built.map(|()| Compared::Reload),
            Found::Facts(Ok(facts)) => {
                let compared = self.watch.compare(self.context, &self.feed, *facts)?;
                for at in 0..self.context.planned.len() {
                    self.applier.parts(at, self.watch.parts_of(at));
                }
                Ok(compared)
            }
            Found::Facts(Err(failure)) => {
                warn!(%failure, "the catalog could not be read; trying again later");
                Ok(Compared::Same)
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

/// What has come of the work beside the stream.
enum Found {
    Facts(Result<Box<Facts>, Failure>),
    Built(Result<(), Failure>),
}

/// Comes back when a look into the catalog or a build is over. May be dropped and called again.
async fn found(
    watch: &mut Watch,
    building: &mut Building,
    context: &Context,
    source: &Source,
) -> Found {
    tokio::select! {
        biased;
        built = building.done() => Found::Built(built),
        facts = watch.look(context, source) => Found::Facts(facts.map(Box::new)),
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
            return Err(gate::explain(context, source, from, error).await);
        }
        if began.elapsed() > SLOT_PATIENCE {
            return Err(gate::in_use(source, &config.slot).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
