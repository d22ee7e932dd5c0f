//! Why a message could not be understood, and where in it.

use change::{Lsn, TableName};

/// A message that could not be understood. Always definite: the same bytes come again after a reconnect, so whoever
/// gets it stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}, byte {position}: {fault}", message_name(*.tag, .relation.as_deref()))]
pub struct DecodeError {
    /// The first byte of the message, which says what kind it is; 0 for an empty one.
    pub tag: u8,
    /// The table that the message is about, where it is about a row and says so before the place of the error: of a row
    /// in pgoutput one that has been described, in test_decoding the one that the line names. Boxed because errors are
    /// rare and the results that could hold one are not.
    pub relation: Option<Box<TableName>>,
    /// The offset from the beginning of the message, its first byte being 0.
    pub position: usize,
    /// What is wrong there.
    pub fault: Fault,
}

/// See [`DecodeError`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The message ends before the field does.
    #[error("the message ends within {0}")]
    Truncated(&'static str),
    /// The message goes on after its last field.
    #[error("{0} bytes follow the end of the message")]
    Trailing(usize),
    /// No message begins like this.
    #[error("unknown kind of message {0:#04x}")]
    UnknownMessage(u8),
    /// A message that was not asked for, and that can't be taken for something else.
    #[error("{0} was not asked for")]
    NotAskedFor(&'static str),
    /// Something else stands where this should.
    #[error("{0} expected")]
    Expected(&'static str),
    /// A byte that must have one of a few values has another.
    #[error("{byte:#04x} is no {what}")]
    UnknownByte {
        /// What the byte stands for.
        what: &'static str,
        /// Its value.
        byte: u8,
    },
    /// A length or count that can't be right.
    #[error("{length} is no possible length of {what}")]
    Length {
        /// What is that long.
        what: &'static str,
        /// What the message says.
        length: i64,
    },
    /// A name that is not UTF-8.
    #[error("{0} is not UTF-8: does the server ignore client_encoding?")]
    NotUtf8(&'static str),
    /// A row of a relation that no relation message has described.
    #[error("a row of the unknown relation {0}")]
    UnknownRelation(u32),
    /// A row that does not fit its relation.
    #[error("{got} columns, but the relation has {want}")]
    ColumnCount {
        /// Columns that the relation message named.
        want: usize,
        /// Columns of the row.
        got: usize,
    },
    /// The transaction id 0, which stands for no transaction.
    #[error("transaction 0 is none: the message was cut or was not sent within a block")]
    NoTransaction,
    /// What is said of a transaction does not agree with what was said of it before.
    #[error("transaction {xid} {what}")]
    Transaction {
        /// Its id.
        xid: u32,
        /// What does not agree.
        what: &'static str,
    },
    /// A message where it can't be.
    #[error("{0}")]
    OutOfPlace(&'static str),
    /// The commit message closes another transaction than the one that is open.
    #[error("the commit at {got} closes the transaction that commits at {want}")]
    OtherCommit {
        /// What Begin said.
        want: Lsn,
        /// What Commit says.
        got: Lsn,
    },
    /// A position that can't be the end of a commit record: records end at multiples of 8, and have a length.
    #[error("{0} is not where a commit record can end")]
    CommitEnd(Lsn),
    /// Transactions come in the order of their commit records; this one does not.
    #[error("the commit at {got} comes after the one at {last}")]
    CommitOrder {
        /// The transaction before.
        last: Lsn,
        /// This one.
        got: Lsn,
    },
}

impl DecodeError {
    /// The same error, of a message about `relation`.
    #[cold]
    pub(crate) fn about(mut self, relation: Option<&TableName>) -> Self {
        self.relation = relation.map(|name| Box::new(name.clone()));
        self
    }
}

fn message_name(tag: u8, relation: Option<&TableName>) -> String {
    let name = name_of_kind(tag);
    match relation {
        Some(relation) => format!("{name} of {relation}"),
        None => name,
    }
}

fn name_of_kind(tag: u8) -> String {
    let name = match tag {
        b'B' => "Begin",
        b'C' => "Commit",
        b'O' => "Origin",
        b'R' => "Relation",
        b'Y' => "Type",
        b'I' => "Insert",
        b'U' => "Update",
        b'D' => "Delete",
        b'T' => "Truncate",
        b'M' => "Message",
        b'S' => "Stream Start",
        b'E' => "Stream Stop",
        b'c' => "Stream Commit",
        b'A' => "Stream Abort",
        b't' => return "table line".into(),
        b'm' => return "message line".into(),
        0 => "empty",
        other => return format!("message {other:#04x}"),
    };
    format!("{name} message")
}
