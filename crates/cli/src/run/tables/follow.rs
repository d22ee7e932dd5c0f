//! Takes batches and has the applier write them, until told to stop.

use std::time::{Duration, Instant, SystemTime};

use apply::{Applier, Origin};
use change::{CommitLsn, Lsn};
use outbox::{Document, Process};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::wake::Wake;
use super::watched::watched;
use super::{Batch, NEVER, Taker, Write, lock_of};
use crate::failure::Failure;
use crate::run::{Context, DRAIN, LONGEST_PAUSE, load};
use crate::source::Source;

/// For a statement that is under way when the process is told to stop.
const GRACE: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
/// So often the lock of the session before is asked for.
const ASK_AGAIN: u32 = 40;

/// Goes on over lost connections.
pub(super) async fn follow(
    context: &Context,
    source: &mut Source,
    applier: &mut Applier,
    taker: Taker,
    goal: Option<Lsn>,
) -> Result<(), Failure> {
    let mut process = None;
    let mut taker = Some(taker);
    let mut pause = SHORTEST_PAUSE;
    loop {
        let began = Instant::now();
        let session = async {
            let mut taker = match taker.take() {
                Some(taker) => taker,
                None => again(context, source, applier, process.as_ref()).await?,
            };
            process = Some(taker.session().process().clone());
            let mut session = Session::begin(context, source, applier, taker, goal).await?;
            session.run().await?;
            session.wake.end(session.taker.session()).await
        };
        let ended: Result<(), Failure> = tokio::select! {
            ended = session => ended,
            // Postgres may have it wait for a lock.
            () = stopped_for_long(context) => Ok(()),
        };
        match ended {
            Ok(()) => return finish(applier).await,
            // What was planned is not what is there: everything is looked at again.
            Err(failure) if failure.is_cured_by_copying_again() => {
                return Err(Failure::reload(failure.cause()));
            }
            Err(failure)
                if failure.is_transient()
                    && !failure.is_cured_by_reload()
                    && !context.stop.is_cancelled() =>
            {
                warn!(%failure, "the source can't be read; connecting again");
            }
            Err(failure) => return Err(failure),
        }
        if began.elapsed() > LONGEST_PAUSE {
            pause = SHORTEST_PAUSE;
        }
        tokio::select! {
            () = context.stop.cancelled() => return finish(applier).await,
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Comes back some time after the process was told to stop.
async fn stopped_for_long(context: &Context) {
    context.stop.cancelled().await;
    tokio::time::sleep(GRACE).await;
}

/// What was delivered is shown and kept. What was not forgotten is done once more by the next start.
async fn finish(applier: &mut Applier) -> Result<(), Failure> {
    match tokio::time::timeout(DRAIN, applier.drain()).await {
        Ok(drained) => Ok(drained?),
        Err(_) => {
            warn!("the target did not take what was in flight; it is sent again at the next start");
            Ok(())
        }
    }
}

/// The lock has gone with the session before, and the server that came back may be another one.
async fn again(
    context: &Context,
    source: &Source,
    applier: &Applier,
    before: Option<&Process>,
) -> Result<Taker, Failure> {
    let mut taker = Taker::connect(context, source, &applier.current_state().read_to).await?;
    let (timeline, flushed) = taker.session().history().await?;
    if timeline != context.system.timeline || flushed < applier.durable() {
        return Err(Failure::reload("the server was restored, or a standby was promoted"));
    }
    for _ in 0..ASK_AGAIN {
        if taker.session().lock(lock_of(context)).await? {
            return Ok(taker);
        }
        // The server may not know that nothing comes from it any more.
        if let Some(before) = before {
            taker.session().end_earlier(before).await?;
        }
        tokio::time::sleep(SHORTEST_PAUSE).await;
    }
    // It may have written: what is in the state is read anew.
    Err(Failure::reload("another process has taken over"))
}

/// One connection.
struct Session<'a> {
    context: &'a Context,
    source: &'a mut Source,
    applier: &'a mut Applier,
    taker: Taker,
    wake: Wake,
    goal: Lsn,
    /// When the tables were looked at.
    looked: Instant,
    /// The process of the server that the taker's session is of.
    pid: u32,
}

impl<'a> Session<'a> {
    async fn begin(
        context: &'a Context,
        source: &'a mut Source,
        applier: &'a mut Applier,
        mut taker: Taker,
        goal: Option<Lsn>,
    ) -> Result<Self, Failure> {
        let wake = Wake::begin(context, &source.info, &mut taker).await?;
        match context.events {
            Some(_) => info!("reading events"),
            None => info!("taking from the trigger queue"),
        }
        let (goal, looked) = (goal.unwrap_or(NEVER), Instant::now());
        let pid = taker.session().process().pid;
        Ok(Session { context, source, applier, taker, wake, goal, looked, pid })
    }

    /// Until told to stop, or the goal is reached.
    async fn run(&mut self) -> Result<(), Failure> {
        while !self.is_reached() && !self.context.stop.is_cancelled() {
            let take = self.taker.take(self.context);
            let batch = watched(&self.source.info, self.pid, take).await?;
            self.look_at_tables().await?;
            if batch.is_empty() {
                if batch.complete {
                    // A crash takes the rest of the log back, and then the index would seem to be ahead.
                    self.applier.idle(batch.before.min(batch.flushed));
                }
            } else {
                let found = self.wake.found(self.taker.session());
                watched(&self.source.info, self.pid, found).await?;
                if batch.within {
                    self.applier.within(true);
                }
                if !self.deliver(&batch).await? {
                    return Ok(());
                }
            }
            if batch.at_end {
                self.applier.caught_up();
            }
            if !batch.within {
                self.applier.within(false);
            }
            let tidy = self.taker.tidy(self.context, self.applier);
            watched(&self.source.info, self.pid, tidy).await?;
            if batch.is_empty() {
                self.rest(batch.held).await?;
            }
            self.context.monitor.applied(self.applier);
        }
        Ok(())
    }

    /// Searches find all that is to be reached.
    fn is_reached(&self) -> bool {
        self.applier.visible() >= self.goal && self.applier.all_shown()
    }

    /// Lets the applier do its work until there may be something to take.
    async fn rest(&mut self, held: bool) -> Result<(), Failure> {
        self.applier.set_dry(true);
        let (goal, monitor) = (self.goal, &self.context.monitor);
        let pause = match held {
            true => self.wake.held(),
            false => {
                let nothing = self.wake.nothing(self.taker.session());
                watched(&self.source.info, self.pid, nothing).await?
            }
        };
        let mut woken = std::pin::pin!(pause.wait());
        loop {
            if self.applier.visible() >= goal && self.applier.all_shown() {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return Ok(()),
                stepped = self.applier.step() => stepped?,
                woken = &mut woken => return woken,
            }
            monitor.applied(self.applier);
        }
    }

    /// Now and then: a table that was altered, a trigger that was dropped.
    async fn look_at_tables(&mut self) -> Result<(), Failure> {
        let config = &self.context.config;
        let every = if config.by_queue() { config.queue.sweep } else { config.events.sweep };
        if self.looked.elapsed() < every {
            return Ok(());
        }
        self.looked = Instant::now();
        let (context, source) = (self.context, &mut *self.source);
        source.revive().await?;
        if !load::are_as_planned(context, source).await? {
            return Err(Failure::reload("a table was dropped or altered"));
        }
        self.taker.look(context, source).await
    }

    /// Writes the batch, and forgets what it came from. False when told to stop before.
    async fn deliver(&mut self, batch: &Batch) -> Result<bool, Failure> {
        let flushed = async { Ok(self.taker.session().until_flushed().await?) };
        watched(&self.source.info, self.pid, flushed).await?;
        let landed = {
            let stop = self.context.stop.clone();
            let write = write(self.applier, &stop, batch);
            tokio::select! {
                biased;
                landed = write => landed?,
                () = stop.cancelled() => false,
            }
        };
        if landed {
            let done = self.taker.done(&batch.receipt, self.applier);
            watched(&self.source.info, self.pid, done).await?;
        }
        Ok(landed)
    }
}

/// Hands everything to the applier, and waits until it is in the index for good. False when told to stop before.
async fn write(
    applier: &mut Applier,
    stop: &CancellationToken,
    batch: &Batch,
) -> Result<bool, Failure> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    applier.begin(CommitLsn(batch.before), 0, now);
    for at in &batch.emptied {
        if !applier.truncate(*at, stop).await? {
            return Ok(false);
        }
    }
    for Write { at, id, version, document } in &batch.writes {
        if !applier.make_room(stop).await? {
            return Ok(false);
        }
        let change = (*version, Origin::Queue);
        match document {
            Document::Is(source) => {
                let Ok(()) = applier.index(*at, id, change, |out| {
                    out.extend_from_slice(source);
                    Ok::<_, std::convert::Infallible>(())
                });
            }
            Document::Impossible(why) => applier.refuse(*at, id, change, why.clone()),
            Document::Gone => applier.delete(*at, id, change),
        }
    }
    let end = if batch.complete { batch.before } else { applier.durable() };
    applier.commit(end);
    applier.land().await?;
    Ok(true)
}
