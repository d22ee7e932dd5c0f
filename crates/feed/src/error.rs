//! Why a stream can't be followed any further. Always definite: the same bytes come again after a reconnect.

use change::{Lsn, TableName};
use decode::DecodeError;
use document::DocumentError;
use spool::SpoolError;

/// Why a stream can't be followed any further.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The stream is not what the protocol says.
    #[error(
        "the stream can't be understood at {at}, in or after the transaction at {commit}: {source}"
    )]
    Decode {
        /// The position of the message, as far as the server told it.
        at: Lsn,
        /// The commit position of the last transaction that began.
        commit: Lsn,
        /// What is wrong.
        source: DecodeError,
    },
    /// A row can't become a document.
    #[error("{table}, commit at {commit}: {source}")]
    Document {
        /// Which index.
        at: usize,
        /// Its table.
        table: TableName,
        /// The transaction.
        commit: Lsn,
        /// What is wrong.
        source: DocumentError,
    },
    /// The index can't be made right by the stream alone.
    #[error(transparent)]
    Resync(#[from] Resync),
    /// What is held can't be written or read.
    #[error("a transaction can't be held: {0}")]
    Spool(#[from] SpoolError),
    /// The stream holds what was not asked for.
    #[error("the server sends a transaction in progress, and nothing was prepared to hold it")]
    NoSpool,
}

/// An index that only a new generation makes right: rows changed without being sent, or are no longer sent whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{table} needs resync: {reason}, in the transaction that commits at {commit}")]
pub struct Resync {
    /// Which index.
    pub at: usize,
    /// Its table, by the name in the stream.
    pub table: TableName,
    /// What happened.
    pub reason: String,
    /// The transaction that showed it.
    pub commit: Lsn,
}
