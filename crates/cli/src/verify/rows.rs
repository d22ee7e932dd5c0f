//! All rows of a table at a snapshot, made documents, read by several sessions.
//!
//! A session that breaks ends the pass: what it has handed on can't be taken back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use change::{OldImage, Table};
use document::{DocumentError, Plan, Scratch};
use snapshot::copy::{self, Copy};
use snapshot::{Range, Snapshot};
use tokio::task::JoinSet;
use wal::Connection;

use super::take::Take;
use crate::failure::Failure;
use crate::planned::Planned;
use crate::progress::Copying;
use crate::source::Source;

/// What the readers share.
struct Job<T> {
    table: Table,
    plan: Plan,
    ranges: Vec<Range>,
    next: AtomicUsize,
    rows: AtomicU64,
    take: Arc<T>,
    progress: Arc<Copying>,
}

/// Hands all rows to `take`, and gives their number. The table is the first in `progress`.
pub(super) async fn read<T: Take>(
    source: &Source,
    snapshot: &Snapshot,
    one: &Planned,
    take: Arc<T>,
    progress: Arc<Copying>,
    sessions: usize,
) -> Result<u64, Failure> {
    let mut session = snapshot.session(&source.info).await?;
    let ranges = snapshot::cut(&mut session, &one.table).await?;
    let wanted = sessions.min(ranges.len());
    let job = Arc::new(Job {
        table: one.table.clone(),
        plan: one.plan.clone(),
        ranges,
        next: AtomicUsize::new(0),
        rows: AtomicU64::new(0),
        take,
        progress,
    });
    let mut readers = JoinSet::new();
    readers.spawn(job.clone().read(session));
    for _ in 1..wanted {
        match snapshot.session(&source.info).await {
            Ok(session) => drop(readers.spawn(job.clone().read(session))),
            // With fewer sessions it takes longer.
            Err(error) if error.is_of_connection() => break,
            Err(error) => return Err(error.into()),
        }
    }
    while let Some(ended) = readers.join_next().await {
        ended.unwrap_or_else(|_| Err(Failure::retry("a reader of rows ended", "start again")))?;
    }
    Ok(job.rows.load(Ordering::Relaxed))
}

impl<T: Take> Job<T> {
    async fn read(self: Arc<Self>, mut session: Connection) -> Result<(), Failure> {
        let (mut id, mut document, mut scratch) = (Vec::new(), Vec::new(), Scratch::default());
        while let Some(range) = self.ranges.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let mut copy = match T::PLACES {
                true => Copy::start_with_places(&mut session, &self.table, range).await?,
                false => Copy::start(&mut session, &self.table, range).await?,
            };
            while let Some(chunk) = copy.next_chunk().await? {
                let mut rows = 0;
                for message in chunk.messages() {
                    let (row, place) = match T::PLACES {
                        true => copy.read_with_place(message)?,
                        false => (copy.read(message)?, &b""[..]),
                    };
                    id.clear();
                    document.clear();
                    let written = self.plan.write_id(&row, &mut id).and_then(|()| {
                        let absent = OldImage::Absent;
                        self.plan.write_source(&row, absent, &mut scratch, &mut document)
                    });
                    match written {
                        // No document is like this one, which is empty.
                        Err(DocumentError::Malformed { .. }) if !id.is_empty() => {}
                        written => written.map_err(|error| self.no_document(&error))?,
                    }
                    self.take.row(&id, &document, place);
                    rows += 1;
                }
                self.rows.fetch_add(rows, Ordering::Relaxed);
                self.progress.add(0, rows);
                self.take.room().await?;
            }
            drop(copy);
            copy::check(&mut session, range).await?;
        }
        session.terminate().await;
        Ok(())
    }

    fn no_document(&self, error: &DocumentError) -> Failure {
        Failure::stop(
            format!("{}: a row can't be made a document: {error}", self.table.name),
            "correct the row, or leave the column out with `exclude`",
        )
    }
}
