//! What the stream hands over: transactions, row by row, into the open batch.

use std::time::Duration;

use change::{CommitLsn, Lsn};
use document::Partial;

use super::{Applier, ChangedColumns, Open};
use crate::bulk::{Origin, RowRef, Write};
use crate::letters::Reason;
use crate::state::{ColumnState, LastCommit};
use crate::version::Version;

impl Applier {
    /// The transaction `xid` begins, which commits at `commit`; `committed_at` is the time since 1970.
    pub fn begin(&mut self, commit: CommitLsn, xid: u32, committed_at: Duration) {
        self.open = Some(Open { commit, xid, ordinal: 0 });
        self.begun = self.begun.max(commit.0);
        self.committed_at = Some(committed_at);
    }

    /// The next row change of the transaction, which every row change must announce, indexed or not: gives its version
    /// and where it stands.
    pub fn next_change(&mut self) -> (Version, Origin) {
        let Some(open) = self.open.as_mut() else {
            return (Version::copied(Lsn::ZERO), Origin::Live);
        };
        let version = Version::streamed(open.commit, open.ordinal);
        open.ordinal += 1;
        let replay = open.commit.0 < self.replay_end;
        (version, if replay { Origin::Replay } else { Origin::Live })
    }

    /// Writes a document of the managed index `at`, whose source `source` writes.
    ///
    /// # Errors
    /// Those of `source`.
    pub fn index<E>(
        &mut self,
        at: usize,
        id: &[u8],
        change: (Version, Origin),
        source: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let batch = &mut self.batch;
        self.indices.with(|list| match list.get(at) {
            None => Ok(()),
            Some(managed) => {
                let write = write_of(managed.number, &managed.state.index, id, change);
                batch.index(&write, source)
            }
        })
    }

    /// Writes a document of the managed index `at` of which values are missing: they are those of the document `before`, or
    /// of `id` if the row had no other id.
    pub fn partial(
        &mut self,
        at: usize,
        id: &[u8],
        before: Option<&[u8]>,
        change: (Version, Origin),
        partial: &Partial,
    ) {
        let batch = &mut self.batch;
        let row =
            RowRef { at, key: partial.key.clone(), xid: self.open.map_or(0, |open| open.xid) };
        self.indices.with(|list| {
            if let Some(managed) = list.get(at) {
                let write = write_of(managed.number, &managed.state.index, id, change);
                batch.partial(&write, before, partial, row);
            }
        });
    }

    /// The row of the managed index `at` can't become a document: deletes the one that it had, and leaves a dead letter.
    pub fn refuse(&mut self, at: usize, id: &[u8], change: (Version, Origin), reason: String) {
        let batch = &mut self.batch;
        self.indices.with(|list| {
            if let Some(managed) = list.get(at) {
                let write = write_of(managed.number, &managed.state.index, id, change);
                batch.refuse(&write, Reason::plain(reason));
            }
        });
    }

    /// Deletes a document of the managed index `at`.
    pub fn delete(&mut self, at: usize, id: &[u8], change: (Version, Origin)) {
        let batch = &mut self.batch;
        self.indices.with(|list| {
            if let Some(managed) = list.get(at) {
                batch.delete(&write_of(managed.number, &managed.state.index, id, change));
            }
        });
    }

    /// The columns of the managed index `at` from this transaction on, whose documents are as before. They become part of
    /// the state with the transaction.
    pub fn columns(&mut self, at: usize, columns: Vec<ColumnState>) {
        self.changed_columns.push(ChangedColumns { end: None, at, columns });
    }

    /// The transaction is complete; its commit record ends at `end`.
    pub fn commit(&mut self, end: Lsn) {
        self.open = None;
        let at = self.committed_at.map_or(0, |at| at.as_micros());
        self.received = Some(LastCommit { end, at: u64::try_from(at).unwrap_or(u64::MAX) });
        for changed in self.changed_columns.iter_mut().filter(|changed| changed.end.is_none()) {
            changed.end = Some(end);
        }
        self.batch.commit(end);
        self.settle();
    }

    /// The source has nothing for us up to `end`. Ignored within a transaction.
    pub fn idle(&mut self, end: Lsn) {
        if self.open.is_none() {
            self.batch.idle(end);
            self.settle();
        }
    }
}

fn write_of<'a>(
    index: u32,
    index_name: &'a str,
    id: &'a [u8],
    (version, origin): (Version, Origin),
) -> Write<'a> {
    Write { index, index_name, id, version, origin }
}
