//! Whether what was copied is what the tables are, right after the copy.
//!
//! The rows are read once more at the snapshot of the copy, and nobody else has a reason to write to its indices yet: so
//! neither side changes, and whatever differs is wrong. A snapshot that is gone ends this as it ends a copy; a target that
//! goes away is waited for. A table that is truncated or rewritten meanwhile can't be read at the snapshot any more and goes
//! without: no lock keeps anybody from it, and the stream tells what has become of it.

use std::sync::Arc;
use std::time::Duration;

use apply::{IndexState, letters};
use snapshot::Snapshot;
use tracing::{info, warn};
use verify::{Selection, Sums, Unmatched, Versions};

use super::take::Take;
use super::{MOST, documents, rows, table};
use crate::failure::Failure;
use crate::planned::Planned;
use crate::progress::{Copying, Shown};
use crate::run::{self, Context};
use crate::source::Source;

/// How often in a row the source is asked for the snapshot.
const ATTEMPTS: u32 = 20;
const PAUSE: Duration = Duration::from_secs(1);
const SAY_EVERY: u32 = 10;
/// So many ids are named.
const NAMED: usize = 5;

/// See the module. `indices` are those of the planned tables, in their order.
pub(crate) async fn copied(
    context: &Context,
    source: &Source,
    snapshot: &Snapshot,
    indices: &[IndexState],
) -> Result<(), Failure> {
    for (one, index) in context.planned.iter().zip(indices) {
        let copy = Copy { context, source, snapshot, one, index };
        let mut tries = Tries::default();
        loop {
            match copy.must_be_equal().await {
                Ok(()) => {
                    info!(table = %one.table.name, index = index.index, "the copy is equal to the table");
                }
                Err(failure) if failure.is_cured_by_copying_again() => {
                    warn!(table = %one.table.name, why = failure.cause(), "the copy can't be compared");
                }
                Err(failure) => {
                    tries.another(failure, &copy).await?;
                    continue;
                }
            }
            break;
        }
    }
    Ok(())
}

/// How often it has failed.
#[derive(Default)]
struct Tries {
    all: u32,
    /// In a row, without the snapshot.
    without: u32,
}

impl Tries {
    /// Waits a little before another try, if there is to be one: as long as the snapshot is there.
    async fn another(&mut self, failure: Failure, copy: &Copy<'_>) -> Result<(), Failure> {
        if !failure.is_transient() {
            return Err(failure);
        }
        match copy.snapshot.session(&copy.source.info).await {
            Ok(session) => {
                session.terminate().await;
                self.without = 0;
            }
            Err(error) if error.is_of_connection() && self.without < ATTEMPTS => self.without += 1,
            Err(error) => return Err(error.into()),
        }
        if self.all.is_multiple_of(SAY_EVERY) {
            warn!(%failure, table = %copy.one.table.name, "comparing the copy of this table anew");
        }
        self.all += 1;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

/// One table and its new index.
struct Copy<'a> {
    context: &'a Context,
    source: &'a Source,
    snapshot: &'a Snapshot,
    one: &'a Planned,
    index: &'a IndexState,
}

impl Copy<'_> {
    async fn must_be_equal(&self) -> Result<(), Failure> {
        let sums = Arc::new(Sums::new(MOST));
        self.pass(sums.clone()).await?;
        let mut wrong: Vec<Box<[u8]>> = sums.foreign();
        let mut left = sums.differing();
        drop(sums);
        while wrong.is_empty() && !left.is_empty() {
            (wrong, left) = self.by_id(left).await?;
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let ids = wrong.iter().take(NAMED).map(|id| String::from_utf8_lossy(id));
        let ids = ids.collect::<Vec<_>>().join(", ");
        let (index, table, at) = (&self.index.index, &self.one.table.name, self.snapshot.at);
        let (many, more) = (wrong.len(), if left.is_empty() { "" } else { " or more" });
        Err(Failure::stop(
            format!(
                "the new index {index} differs from {table} as of {at} in {many} documents{more} ({ids}): nobody sees it"
            ),
            "find out who else writes to it, and try again",
        ))
    }

    /// The ids that differ without a dead letter that says why, and the buckets that were left for another time.
    async fn by_id(&self, selected: Selection) -> Result<(Vec<Box<[u8]>>, Selection), Failure> {
        let unmatched = Arc::new(Unmatched::new(selected, table::WAITING));
        self.pass(unmatched.clone()).await?;
        let ended = || Failure::retry("a reader did not end", "start again");
        let (entries, left) = Arc::into_inner(unmatched).ok_or_else(ended)?.end();
        let letters = letters::list(&self.context.target, &[self.index.index.as_str()]).await?;
        let told = |id: &[u8]| letters.iter().any(|stored| stored.letter.id.as_bytes() == id);
        let wrong = entries.into_iter().filter(|(_, entry)| !entry.is_equal());
        let wrong = wrong.filter(|(id, entry)| entry.document.is_some() || !told(id));
        Ok((wrong.map(|(id, _)| id).collect(), left))
    }

    /// Reads both sides once.
    async fn pass<T: Take>(&self, take: Arc<T>) -> Result<(), Failure> {
        let Copy { context, source, snapshot, one, index } = self;
        let estimate = run::estimate(source, one).await?;
        let names = [one.table.name.to_string(), index.alias.clone()];
        let progress = Arc::new(Copying::comparing(names.map(|name| (name, estimate)).into()));
        let _shown = Shown::begin(progress.clone());
        let sessions = context.config.pipeline.copy_workers;
        let rows = rows::read(source, snapshot, one, take.clone(), progress.clone(), sessions);
        let documents = async {
            // All of them have the version of the copy.
            let version = context.copied(snapshot.at).get();
            let versions = Versions { lowest: version, at: version, highest: version };
            let points = documents::open(&context.target, &index.index).await?;
            documents::read(&context.target, points, versions, take, progress).await
        };
        tokio::try_join!(rows, documents).map(drop)
    }
}
