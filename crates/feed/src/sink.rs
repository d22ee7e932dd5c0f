//! Where the writes go.

use std::time::Duration;

use change::{CommitLsn, Lsn};
use document::{DocumentError, Partial};

use crate::shape::Shape;

/// Takes the writes of a stream, in its order.
pub trait Sink {
    /// What identifies one row change: its version.
    type Change: Copy;

    /// A transaction begins that commits at `commit`; `committed_at` is the time since 1970 by the source's clock.
    fn begin(&mut self, commit: CommitLsn, xid: u32, committed_at: Duration);

    /// The next row change of the transaction, of whatever table.
    fn change(&mut self) -> Self::Change;

    /// A document of the index `at`, whose source `source` writes.
    ///
    /// # Errors
    /// Those of `source`.
    fn index(
        &mut self,
        at: usize,
        id: &[u8],
        change: Self::Change,
        source: impl FnOnce(&mut Vec<u8>) -> Result<(), DocumentError>,
    ) -> Result<(), DocumentError>;

    /// A document of the index `at` of which values are missing that an update left alone. They are those of the
    /// document that has the id `before`, or `id` where the update did not change it.
    fn partial(
        &mut self,
        at: usize,
        id: &[u8],
        before: Option<&[u8]>,
        change: Self::Change,
        partial: &Partial,
    );

    /// The row can't become a document of the index `at`.
    fn refuse(&mut self, at: usize, id: &[u8], change: Self::Change, error: &DocumentError);

    /// The document of the index `at` is gone.
    fn delete(&mut self, at: usize, id: &[u8], change: Self::Change);

    /// The table of the index `at` changed in a way that its documents survive: its shape from now on.
    fn shape(&mut self, at: usize, shape: &Shape);

    /// The transaction is complete; its commit record ends at `end`.
    fn commit(&mut self, end: Lsn);
}
