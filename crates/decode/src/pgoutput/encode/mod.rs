//! Messages as a server writes them: what [`Decoder`](super::Decoder) reads, inverted. For tests, fuzzing and
//! benchmarks.
//!
//! A [`Message`] holds everything that the bytes say and nothing else, no state and no meaning, so that both ways are
//! exact: [`Message::parse`] of what [`Message::write`] wrote gives the same message, and writing what was parsed gives
//! the same bytes. It shares the functions that read fields with the decoder, and none of what the decoder concludes.

mod parse;
mod write;

use change::{Lsn, ReplicaIdentity, TruncateOptions, Value};

pub use super::relation::Column;
pub use write::EncodeError;

use crate::{Begin, Commit, LogicalMessage, Part, Release};

/// One [message](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html) of versions 1 to 4,
/// those of prepared transactions left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// `B`.
    Begin(Begin),
    /// `C`.
    Commit(Commit),
    /// `O`.
    Origin {
        /// Where the transaction committed on the server that it came from.
        commit: Lsn,
        /// The name of that server's origin here.
        name: &'a str,
    },
    /// `R`.
    Relation {
        /// The OID of the table.
        oid: u32,
        /// Its schema; empty for `pg_catalog`.
        schema: &'a str,
        /// Its name.
        name: &'a str,
        /// Its replica identity.
        identity: ReplicaIdentity,
        /// Its published columns, at most 32,767.
        columns: Vec<Column<'a>>,
    },
    /// `Y`.
    Type {
        /// The OID of the type.
        oid: u32,
        /// Its schema; empty for `pg_catalog`.
        schema: &'a str,
        /// Its name.
        name: &'a str,
    },
    /// `I`.
    Insert {
        /// The OID of the table.
        oid: u32,
        /// The row, of at most 32,767 columns, as all rows.
        new: Vec<Value<'a>>,
    },
    /// `U`.
    Update {
        /// The OID of the table.
        oid: u32,
        /// The row before.
        old: Option<Image<'a>>,
        /// The row from now on.
        new: Vec<Value<'a>>,
    },
    /// `D`.
    Delete {
        /// The OID of the table.
        oid: u32,
        /// The row that is gone.
        old: Image<'a>,
    },
    /// `T`.
    Truncate {
        /// The OIDs of the tables, at most 2^31 - 1.
        oids: Vec<u32>,
        /// What else was said.
        options: TruncateOptions,
    },
    /// `M`.
    Logical(LogicalMessage<'a>),
    /// `S`.
    StreamStart {
        /// The transaction whose block begins, not 0.
        transaction: u32,
        /// It is the first one.
        first: bool,
    },
    /// `E`.
    StreamStop,
    /// `c`.
    StreamCommit(Release),
    /// `A`.
    StreamAbort {
        /// What is void; neither id is 0.
        part: Part,
        /// With `streaming 'parallel'`: where it was aborted, and when, in microseconds since 2000-01-01 UTC.
        at: Option<(Lsn, i64)>,
    },
}

/// A row before its change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Image<'a> {
    /// Its replica identity, the other columns null.
    Key(Vec<Value<'a>>),
    /// All of it.
    Full(Vec<Value<'a>>),
}

impl Message<'_> {
    /// The first byte.
    pub const fn tag(&self) -> u8 {
        match self {
            Message::Begin(_) => b'B',
            Message::Commit(_) => b'C',
            Message::Origin { .. } => b'O',
            Message::Relation { .. } => b'R',
            Message::Type { .. } => b'Y',
            Message::Insert { .. } => b'I',
            Message::Update { .. } => b'U',
            Message::Delete { .. } => b'D',
            Message::Truncate { .. } => b'T',
            Message::Logical(_) => b'M',
            Message::StreamStart { .. } => b'S',
            Message::StreamStop => b'E',
            Message::StreamCommit(_) => b'c',
            Message::StreamAbort { .. } => b'A',
        }
    }

    /// True for the messages that carry a transaction id when they come within a block.
    pub const fn is_part(&self) -> bool {
        carries_xid(self.tag())
    }
}

const fn carries_xid(tag: u8) -> bool {
    matches!(tag, b'R' | b'Y' | b'I' | b'U' | b'D' | b'T' | b'M')
}
