//! Takes entries and has the applier write what they are about, until told to stop.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant, SystemTime};

use apply::{Applier, Origin, Version};
use change::{CommitLsn, Lsn};
use outbox::{Consumer, Document, Entry, Queue, Taken, What};
use tracing::{info, warn};

use super::wake::{Pause, Wake};
use super::{NEVER, captured, lock_of};
use crate::failure::Failure;
use crate::run::{ANEW, Context, DRAIN, LONGEST_PAUSE, load};
use crate::source::Source;

/// So many entries are taken at once at most.
const MOST: usize = 4_000;
/// So many rows are asked for by one statement.
const KEYS: usize = 1_000;
/// For a statement that is under way when the process is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// What a key becomes.
struct Write {
    at: usize,
    id: Vec<u8>,
    version: Version,
    document: Document,
}

/// Goes on over lost connections.
pub(super) async fn follow(
    context: &Context,
    source: &mut Source,
    applier: &mut Applier,
    queue: &Queue,
    consumer: Consumer,
    goal: Option<Lsn>,
) -> Result<(), Failure> {
    let mut consumer = Some(consumer);
    let mut pause = Duration::from_millis(50);
    loop {
        let began = Instant::now();
        let session = async {
            let consumer = match consumer.take() {
                Some(consumer) => consumer,
                None => again(context, source, queue, applier.durable()).await?,
            };
            let sweep = context.config.queue.sweep;
            let mut consumer = consumer;
            let sleepless = consumer.prepares();
            // As a process before may have left it.
            consumer.set_asleep(false).await?;
            let wake = Wake::listen(&source.info, queue.channel(), sweep, sleepless).await?;
            info!("taking from the trigger queue");
            let looked = Instant::now();
            let goal = goal.unwrap_or(NEVER);
            let (source, applier) = (&mut *source, &mut *applier);
            let mut session =
                Session { context, source, applier, queue, consumer, wake, goal, looked };
            session.run().await?;
            session.consumer.set_asleep(false).await?;
            Ok(())
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
                warn!(%failure, "the trigger queue can't be read; connecting again");
            }
            Err(failure) => return Err(failure),
        }
        if began.elapsed() > LONGEST_PAUSE {
            pause = Duration::from_millis(50);
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

/// What was delivered is shown and kept. Entries that were not deleted are done once more by the next start.
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
    queue: &Queue,
    applied: Lsn,
) -> Result<Consumer, Failure> {
    let mut consumer = Consumer::connect(&source.info, queue.clone()).await?;
    let (timeline, flushed) = consumer.history().await?;
    if timeline != context.system.timeline || flushed < applied {
        return Err(Failure::reload("the server was restored, or a standby was promoted"));
    }
    if consumer.lock(lock_of(&context.capture)).await? {
        return Ok(consumer);
    }
    // It may have written: what is in the state is read anew.
    Err(Failure::reload("another process has taken over the trigger queue"))
}

/// One connection.
struct Session<'a> {
    context: &'a Context,
    source: &'a mut Source,
    applier: &'a mut Applier,
    queue: &'a Queue,
    consumer: Consumer,
    wake: Wake,
    goal: Lsn,
    /// When the triggers were looked at.
    looked: Instant,
}

impl Session<'_> {
    /// Until told to stop, or the goal is reached.
    async fn run(&mut self) -> Result<(), Failure> {
        while !self.is_over() {
            let taken = self.consumer.take(MOST).await?;
            if taken.entries.is_empty() {
                // A crash takes the rest of the log back, and then the index would seem to be ahead.
                self.applier.idle(taken.before.min(taken.flushed));
                self.look_at_tables().await?;
                self.rest().await?;
            } else {
                self.look_at_tables().await?;
                self.wake.found(&mut self.consumer).await?;
                if !self.batch(taken).await? {
                    return Ok(());
                }
            }
            self.context.monitor.applied(self.applier);
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        let reached = self.applier.visible() >= self.goal && self.applier.all_shown();
        reached || self.context.stop.is_cancelled()
    }

    /// Lets the applier do its work until there may be entries.
    async fn rest(&mut self) -> Result<(), Failure> {
        self.applier.set_dry(true);
        let pause = self.wake.nothing(&mut self.consumer).await?;
        let mut woken = std::pin::pin!(Pause::wait(pause));
        loop {
            let reached = self.applier.visible() >= self.goal && self.applier.all_shown();
            if reached {
                return Ok(());
            }
            tokio::select! {
                biased;
                () = self.context.stop.cancelled() => return Ok(()),
                stepped = self.applier.step() => stepped?,
                woken = &mut woken => return woken,
            }
            self.context.monitor.applied(self.applier);
        }
    }

    /// Now and then: a partition that was attached or went, a trigger that was dropped, a table that was altered.
    async fn look_at_tables(&mut self) -> Result<(), Failure> {
        if self.looked.elapsed() < self.context.config.queue.sweep {
            return Ok(());
        }
        self.looked = Instant::now();
        let (context, source) = (self.context, &mut *self.source);
        source.revive().await?;
        if !load::are_as_planned(context, source).await? {
            return Err(Failure::reload("a table was dropped or altered"));
        }
        let parts: Vec<u32> =
            context.planned.iter().flat_map(|one| one.index.parts.iter().copied()).collect();
        if !load::has_parts(context, source, &parts).await? {
            return Err(Failure::reload("a partition went, with its rows"));
        }
        let tables = captured(context, source).await?;
        let installed = self.queue.look(self.consumer.session(), &tables).await?;
        let uncaptured = [installed.without, installed.strays].concat();
        if !uncaptured.is_empty() {
            warn!(
                tables = uncaptured.join(", "),
                "these have no triggers, or are no partitions any more: run `wal2es setup`, and `wal2es resync` if something was \
                 written to them directly"
            );
        }
        Ok(())
    }

    /// Writes what the entries are about, and deletes them. False when told to stop before.
    async fn batch(&mut self, taken: Taken) -> Result<bool, Failure> {
        let Touched { emptied, keys } = self.touched(&taken.entries)?;
        let mut writes = Vec::new();
        for (at, keys) in keys {
            self.read(at, &keys, &mut writes).await?;
        }
        self.consumer.until_flushed().await?;
        let landed = {
            let stop = self.context.stop.clone();
            let write = write(self.applier, &stop, &emptied, &writes, &taken);
            tokio::select! {
                biased;
                landed = write => landed?,
                () = stop.cancelled() => false,
            }
        };
        if landed {
            self.consumer.done(&taken.entries).await?;
        }
        Ok(landed)
    }

    fn touched(&self, entries: &[Entry]) -> Result<Touched, Failure> {
        let planned = &self.context.planned;
        let mut touched = Touched::default();
        let emptied = |table: u32| {
            entries.iter().any(|entry| entry.table == table && entry.what == What::Emptied)
        };
        for entry in entries {
            let at = planned.iter().position(|one| one.table.oid == entry.table);
            // A table that is not followed any more.
            let Some((at, one)) = at.and_then(|at| Some((at, planned.get(at)?))) else { continue };
            match &entry.what {
                // Of a key that the index had before it was built anew.
                What::Row(key) if key.len() != one.plan.key_columns().count() => {}
                What::Row(key) => {
                    touched.keys.entry(at).or_default().insert(key.clone(), entry.id);
                }
                What::Emptied => {
                    // What was written before is gone, or has a later entry.
                    touched.keys.remove(&at);
                    touched.emptied.push(at);
                }
                What::PartEmptied if emptied(entry.table) => {}
                What::PartEmptied => {
                    let table = &one.table.name;
                    return Err(Failure::resync(
                        format!(
                            "{table}: a partition was truncated alone, and nobody knows what was in it"
                        ),
                        ANEW,
                        Some(at),
                    ));
                }
            }
        }
        Ok(touched)
    }

    /// The documents of these keys of the planned table `at`, with the entries' ids as versions.
    async fn read(
        &mut self,
        at: usize,
        keys: &HashMap<Vec<String>, u64>,
        writes: &mut Vec<Write>,
    ) -> Result<(), Failure> {
        let Some(one) = self.context.planned.get(at) else { return Ok(()) };
        let mut versions = HashMap::with_capacity(keys.len());
        for (key, id) in keys {
            let mut name = Vec::new();
            one.plan.write_id_of(key.iter().map(String::as_str), &mut name);
            versions.insert(name, *id);
        }
        let all: Vec<&[String]> = keys.keys().map(Vec::as_slice).collect();
        for some in all.chunks(KEYS) {
            let take = |id: &[u8], document| {
                let Some(version) = versions.get(id) else { return };
                let version = Version::from_raw(*version);
                writes.push(Write { at, id: id.to_owned(), version, document });
            };
            self.consumer.documents(&one.table, &one.plan, some, take).await?;
        }
        Ok(())
    }
}

/// What entries are about.
#[derive(Default)]
struct Touched {
    /// Planned tables that were truncated.
    emptied: Vec<usize>,
    /// By planned table, the last entry of each key.
    keys: BTreeMap<usize, HashMap<Vec<String>, u64>>,
}

/// Hands everything to the applier, and waits until it is in the index for good. False when told to stop before.
async fn write(
    applier: &mut Applier,
    stop: &tokio_util::sync::CancellationToken,
    emptied: &[usize],
    writes: &[Write],
    taken: &Taken,
) -> Result<bool, Failure> {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    applier.begin(CommitLsn(taken.before), 0, now);
    for at in emptied {
        if !applier.truncate(*at, stop).await? {
            return Ok(false);
        }
    }
    for Write { at, id, version, document } in writes {
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
    let end = if taken.complete { taken.before } else { applier.durable() };
    applier.commit(end);
    applier.land().await?;
    Ok(true)
}
