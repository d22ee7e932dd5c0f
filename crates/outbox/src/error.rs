//! What can go wrong with a queue.

/// See [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server refused, or the connection failed.
    #[error("{doing}: {source}")]
    Server {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: wal::Error,
    },
    /// A table could not be read.
    #[error(transparent)]
    Rows(#[from] snapshot::Error),
    /// The key of an event can't be an id.
    #[error("{table}: the id of a document can't be made of an event: {error}")]
    Row {
        /// The table of events.
        table: change::TableName,
        /// Why.
        error: document::DocumentError,
    },
    /// Events have the transactions of another server, whose numbers are yet to come here.
    #[error("{table}: there are events of transactions from {next} on, which have not begun")]
    Foreign {
        /// The table of events.
        table: change::TableName,
        /// The column with the transaction, as SQL names it.
        column: String,
        /// The first number that no transaction has had.
        next: u64,
    },
    /// Numbers that were used before are drawn again.
    #[error(
        "{table}: the numbers of events began again: {last} is the last one, and {highest} was there before"
    )]
    BeganAgain {
        /// The table of events.
        table: change::TableName,
        /// The last number that was drawn.
        last: u64,
        /// The highest number that was seen.
        highest: u64,
    },
    /// Writers kept the table to themselves.
    #[error("{0} could not be locked for a moment: transactions that take long are writing to it")]
    Locked(change::TableName),
    /// An answer that is not what was asked for.
    #[error("{doing}: an answer that makes no sense: {what}")]
    Answer {
        /// What was being done.
        doing: &'static str,
        /// What came.
        what: String,
    },
}

impl Error {
    pub(crate) fn of(doing: &'static str) -> impl Fn(wal::Error) -> Self {
        move |source| Error::Server { doing, source }
    }

    /// What the caller has to do about it.
    pub fn kind(&self) -> wal::Kind {
        match self {
            Error::Server { source, .. } => source.kind(),
            Error::Rows(error) => error.kind(),
            Error::Locked(_) => wal::Kind::Transient,
            Error::Answer { .. }
            | Error::Row { .. }
            | Error::Foreign { .. }
            | Error::BeganAgain { .. } => wal::Kind::Definite,
        }
    }
}
