//! Writing anew what differs, and nothing else.
//!
//! The rows are read at a snapshot of their own, when the index shows everything before it, and written with the version
//! of a copy at its position (see [`apply::Repair`]): what the stream brings from there on is newer and wins. Then the
//! state is marked as changed. So the connector reads it again, and its next refresh, at the end of a commit as always,
//! shows what was written. At last every key is looked at as before: what counts as repaired has been seen to be equal.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use apply::{Repair, Repaired};
use snapshot::Snapshot;
use tokio::sync::Mutex as AsyncMutex;
use verify::Versions;

use super::settle::Seen;
use super::table::{Compared, Difference};
use super::take::Take;
use super::{Broken, Verifier, rows};
use crate::failure::Failure;
use crate::planned::Planned;
use crate::progress::Copying;
use crate::queue;
use crate::reread::have_state_reread;

/// So many bytes of documents wait at most to be written.
const WAITING: usize = 1 << 20;

type Outcomes = HashMap<Box<[u8]>, Repaired>;

impl Verifier<'_> {
    /// Repairs what `compared` names, and says what came of it.
    pub(super) async fn repair(
        &mut self,
        one: &Planned,
        compared: &mut Compared,
    ) -> Result<(), Broken> {
        let ids: HashSet<Box<[u8]>> =
            compared.differences.iter().map(|found| found.id.as_bytes().into()).collect();
        let outcomes = match !self.source.by_log {
            // An entry for each: the consumer writes the row as it is, with a version above all before.
            true => {
                queue::enqueue(&self.context.config, self.source, one, &ids).await?;
                Outcomes::new()
            }
            false => {
                let snapshot = self.snapshot().await?;
                let written = self.write(one, &snapshot, ids.clone()).await;
                snapshot.end().await;
                let outcomes = written?;
                have_state_reread(&mut self.store, self.source).await?;
                outcomes
            }
        };
        let seen: Seen = ids.into_iter().map(|id| (id, None)).collect();
        let mut after = Vec::new();
        self.settle(one, seen, &mut after).await?;
        tell(&mut compared.differences, &outcomes, &after);
        Ok(())
    }

    /// Writes the documents `ids` as the rows have them, and deletes those that have no row.
    async fn write(
        &mut self,
        one: &Planned,
        snapshot: &Snapshot,
        ids: HashSet<Box<[u8]>>,
    ) -> Result<Outcomes, Broken> {
        let index = self.shown(one, snapshot.at).await?;
        let context = self.context;
        let limits = context.config.limits();
        let repair = Repair::new(context.target.clone(), index, limits, snapshot.at);
        let writer = Arc::new(Writer {
            left: Mutex::new(ids),
            waiting: Mutex::default(),
            sent: AsyncMutex::new((repair, Outcomes::new())),
        });
        let progress = Arc::new(Copying::comparing(Vec::new()));
        let sessions = context.config.pipeline.copy_workers;
        rows::read(self.source, snapshot, one, writer.clone(), progress, sessions).await?;
        writer.send().await?;
        writer.delete_the_rest().await?;
        let writer = Arc::into_inner(writer).ok_or_else(Broken::reader)?;
        Ok(writer.sent.into_inner().1)
    }
}

/// Those that still differ after it were not repaired, whatever the target said.
fn tell(differences: &mut [Difference], outcomes: &Outcomes, after: &[Difference]) {
    for found in differences {
        let still = after.iter().any(|after| after.id == found.id);
        let outcome = outcomes.get(found.id.as_bytes()).cloned();
        found.repaired = Some(match outcome {
            _ if !still => Repaired::Done,
            Some(Repaired::Done) | None => Repaired::Refused("it differs again".to_owned()),
            Some(why) => why,
        });
    }
}

/// Takes the rows of some ids and writes them.
struct Writer {
    left: Mutex<HashSet<Box<[u8]>>>,
    waiting: Mutex<Waiting>,
    sent: AsyncMutex<(Repair, Outcomes)>,
}

#[derive(Default)]
struct Waiting {
    documents: Vec<(Box<[u8]>, Vec<u8>)>,
    bytes: usize,
}

impl Writer {
    async fn send(&self) -> Result<(), Failure> {
        let mut sent = self.sent.lock().await;
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        let (repair, outcomes) = &mut *sent;
        for (id, source) in waiting.documents {
            repair.index(&id, &source);
            if repair.is_full() {
                outcomes.extend(repair.send().await?);
            }
        }
        outcomes.extend(repair.send().await?);
        Ok(())
    }

    async fn delete_the_rest(&self) -> Result<(), Failure> {
        let mut sent = self.sent.lock().await;
        let left = {
            let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *left)
        };
        let (repair, outcomes) = &mut *sent;
        for id in left {
            repair.delete(&id);
            if repair.is_full() {
                outcomes.extend(repair.send().await?);
            }
        }
        outcomes.extend(repair.send().await?);
        Ok(())
    }
}

impl Take for Writer {
    const PLACES: bool = false;

    fn row(&self, id: &[u8], source: &[u8], _: &[u8]) {
        // A row that can't become a document has none.
        if source.is_empty() {
            return;
        }
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = left.take(id) {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.bytes += source.len();
            waiting.documents.push((id, source.to_vec()));
        }
    }

    fn document(&self, _: &[u8], _: &[u8], _: u64, _: Versions) {}

    async fn room(&self) -> Result<(), Failure> {
        let full = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).bytes >= WAITING;
        match full {
            true => self.send().await,
            false => Ok(()),
        }
    }
}
