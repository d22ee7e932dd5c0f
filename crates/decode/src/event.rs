//! What a stream says, step by step, whichever plugin wrote it.
//!
//! A transaction comes in one of two ways. Mostly it is committed already: [`Event::Begin`], its changes,
//! [`Event::Commit`]. But a plugin can send a transaction that is still running, or one whose commit position it tells
//! only at the end; then each of its messages is an [`Event::Hold`], to be kept as it is, until [`Event::Release`]
//! says that it committed. What was kept is then handed to the decoder once more, which reads it as if it came now.

use change::{CommitLsn, Lsn, RowOp, TableName, TruncateOptions};

use crate::Relation;

/// One step of the stream.
#[derive(Debug)]
pub enum Event<'a> {
    /// A transaction begins; it is committed already.
    Begin(Begin),
    /// A table is described, for the first time or anew.
    Relation(&'a Relation),
    /// A row changed, of a table with this description.
    Row(RowOp<'a>, &'a Relation),
    /// Tables were emptied.
    Truncate(Truncate),
    /// The transaction is complete.
    Commit(Commit),
    /// An application's own message; never a document.
    Message(LogicalMessage<'a>),
    /// The message is part of a transaction that may still be rolled back: to be kept.
    Hold(Part),
    /// What was kept of this part is void; of the whole transaction where [`Part::is_whole`].
    Abort(Part),
    /// The transaction committed: what was kept of it is due.
    Release(Release),
    /// Something that makes no difference to rows.
    Nothing,
}

/// The beginning of a committed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where its commit record starts.
    pub commit: CommitLsn,
    /// When it committed, in microseconds since 2000-01-01 UTC, by the server's clock.
    pub committed_at: i64,
    /// Its transaction id.
    pub xid: u32,
}

/// The end of a committed transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where the commit record starts, as [`Begin`] said.
    pub commit: CommitLsn,
    /// Where it ends: what is confirmed once the transaction is durable elsewhere.
    pub end: Lsn,
    /// As in [`Begin::committed_at`].
    pub committed_at: i64,
}

/// A transaction, or a subtransaction of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Part {
    /// The id of the transaction.
    pub transaction: u32,
    /// The id of the subtransaction; that of the transaction for what belongs to none.
    pub part: u32,
}

impl Part {
    /// Not a subtransaction.
    pub fn is_whole(self) -> bool {
        self.transaction == self.part
    }
}

/// The commit of a transaction that was kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Release {
    /// Its id.
    pub transaction: u32,
    /// Its commit record.
    pub commit: Commit,
}

/// Several tables emptied at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// The tables that the stream names, some of which may be unknown to whoever reads it.
    pub tables: Vec<TruncatedTable>,
    /// What else was said.
    pub options: TruncateOptions,
}

/// One table of a [`Truncate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TruncatedTable {
    /// Its OID, where the plugin tells it.
    pub oid: Option<u32>,
    /// Its name at the time of the change.
    pub name: TableName,
}

/// What an application wrote with `pg_logical_emit_message`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// Part of the transaction that is open, rather than of none.
    pub transactional: bool,
    /// Where it lies in the log.
    pub lsn: Lsn,
    /// Whose it is.
    pub prefix: &'a str,
    /// What it says.
    pub content: &'a [u8],
}
