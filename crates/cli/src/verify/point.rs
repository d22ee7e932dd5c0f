//! A consistent point of the tables, and the moment from which the index shows it.

use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant};

use apply::{IndexState, Step, Version};
use change::Lsn;
use snapshot::{Keeper, Snapshot};
use verify::Versions;

use super::{Broken, Verifier};
use crate::failure::Failure;
use crate::planned::Planned;
use crate::{events, position, queue, run};

/// Between two looks at the state document.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// The log may lie in memory for a while; this often the server is asked to flush it.
const NUDGE_EVERY: Duration = Duration::from_secs(1);
/// After this long it is worth a word that the server waits for transactions.
const SAY_AFTER: Duration = Duration::from_secs(3);
/// Room for what is put behind the name of the connector's slot, which has at most 63 bytes.
const LONGEST: usize = 40;
/// No log begins before this: the first segment is left out, and none is smaller.
const FIRST_LSN: Lsn = Lsn::new(1 << 20);

/// For so long a snapshot may be used for more tables: many small ones are compared as of one position.
const YOUNG: Duration = Duration::from_secs(5);

/// A snapshot that was made not long ago.
pub(crate) struct Young {
    made: Instant,
    pub(super) snapshot: Snapshot,
}

impl Verifier<'_> {
    /// A snapshot that may be a little old.
    pub(super) async fn young(&mut self) -> Result<Young, Failure> {
        if let Some(young) = self.young.take() {
            if young.made.elapsed() < YOUNG {
                return Ok(young);
            }
            young.snapshot.end().await;
        }
        let made = Instant::now();
        Ok(Young { made, snapshot: self.snapshot().await? })
    }

    /// A snapshot of the database. The server waits for the transactions that are open now.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, Failure> {
        if !self.source.by_log {
            let mut snapshot = Keeper::ordinary(&self.source.info).await?.export().await?;
            // Whatever it shows was committed before this.
            snapshot.at = position::current(&self.source.client).await?;
            return Ok(snapshot);
        }
        let owner = &self.context.owner;
        // Several may compare at once.
        let number = RandomState::new().hash_one(std::process::id());
        let slot = format!("{}_v{number:016x}", owner.get(..LONGEST).unwrap_or(owner));
        let keeper = Keeper::connect(&self.source.info).await?;
        let mut made = std::pin::pin!(keeper.snapshot(&slot, &self.context.config.source.plugin));
        let made = tokio::select! {
            made = &mut made => made,
            () = tokio::time::sleep(SAY_AFTER) => {
                tracing::info!("waiting for the transactions that are open now (pg_stat_activity, pg_prepared_xacts)");
                made.await
            }
        };
        Ok(made?)
    }

    /// Waits until searches find everything that commits before `at`, and gives the index of `one` as it is then.
    pub(super) async fn shown(&mut self, one: &Planned, at: Lsn) -> Result<IndexState, Failure> {
        let began = Instant::now();
        let mut nudged = began;
        self.nudge().await?;
        loop {
            let state = self.store.load().await?.ok_or_else(|| {
                Failure::config(
                    "nothing has run for this slot and target yet",
                    "start `wal2es run` first",
                )
            })?;
            if let Some(reason) = &state.needs_resync {
                return Err(Failure::stop(reason.clone(), run::ANEW));
            }
            if state.step == Step::Copying {
                return Err(Failure::retry(
                    "the first copy is not complete",
                    "wait until `wal2es run` has completed it",
                ));
            }
            if state.visible_lsn >= at {
                return index_of(&state, one);
            }
            if began.elapsed() >= self.timeout {
                return Err(Failure::retry(
                    format!(
                        "the index shows the tables as of {}, {} bytes before {at}: what is not in it yet can't be \
                         compared",
                        state.visible_lsn,
                        at.since(state.visible_lsn)
                    ),
                    "is `wal2es run` running? It has to while indices are compared; see `wal2es status`, or allow a \
                     longer --timeout",
                ));
            }
            if nudged.elapsed() >= NUDGE_EVERY {
                nudged = Instant::now();
                self.nudge().await?;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Has whoever follows the log, or the queue, say how far he is.
    async fn nudge(&self) -> Result<(), Failure> {
        let config = &self.context.config;
        match (config.by_log(), config.by_queue()) {
            (true, _) => position::nudge(&self.source.client).await,
            (_, true) => queue::wake(config, self.source).await,
            _ => events::wake(config, self.source).await,
        }
    }

    /// The same, the index being `expected`.
    pub(super) async fn still_shown(
        &mut self,
        one: &Planned,
        at: Lsn,
        expected: &IndexState,
    ) -> Result<(), Broken> {
        let now = self.shown(one, at).await?;
        must_be(&now, expected)
    }

    /// The versions that documents can have which were looked at before now, for rows at `at`.
    pub(super) async fn versions(&self, at: Lsn) -> Result<Versions, Failure> {
        if let Some(events) = &self.context.events {
            let last = events::last(events, self.source).await?;
            return Ok(Versions { lowest: outbox::COPIED, at: u64::MAX, highest: last });
        }
        if !self.source.by_log {
            // The ids of entries tell nothing of what a snapshot shows: only that nothing was done to a row between two looks
            // does.
            let last = queue::last(&self.context.config, self.source).await?;
            return Ok(Versions { lowest: outbox::COPIED, at: u64::MAX, highest: last });
        }
        let flushed = position::flushed(&self.source.client).await?;
        Ok(Versions {
            lowest: Version::copied(FIRST_LSN).get(),
            at: Version::copied(at).get(),
            highest: Version::copied(flushed).get(),
        })
    }
}

/// It is the same index.
pub(super) fn must_be(now: &IndexState, expected: &IndexState) -> Result<(), Broken> {
    match now.index == expected.index && now.uuid == expected.uuid {
        true => Ok(()),
        false => Err(Broken::of_index(now, expected)),
    }
}

/// The index that is written for the table.
fn index_of(state: &apply::State, one: &Planned) -> Result<IndexState, Failure> {
    let alias = &one.index.alias;
    let Some(index) = run::kept(state, one) else {
        return Err(Failure::retry(
            format!("the index {alias} is not built yet"),
            "`wal2es run` builds it; see `wal2es status`",
        ));
    };
    if index.plan_hash != one.index.hash {
        return Err(Failure::stop(
            format!(
                "columns, id or types of {} have changed since {alias} was made",
                one.table.name
            ),
            format!("build the index anew: `wal2es resync {alias}`"),
        ));
    }
    Ok(index.clone())
}
