//! Why the tables can't be described or copied.

use change::TableName;

/// See [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection failed, or the server refused.
    #[error("{doing}: {source}")]
    Wal {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: wal::Error,
    },
    /// A query of the catalog failed.
    #[error("{doing}: {}", of_server(.source))]
    Sql {
        /// What was being asked.
        doing: &'static str,
        /// Why it failed.
        source: tokio_postgres::Error,
    },
    /// A line of COPY that is not what the manual says.
    #[error("copying {table}: row {row}: {what}")]
    Line {
        /// The table.
        table: TableName,
        /// Counted from 1.
        row: u64,
        /// What is wrong.
        what: String,
    },
    /// Sessions can't see the snapshot any more.
    #[error(
        "the snapshot of the copy is gone: the connection that held it has ended (restart of Postgres, slot invalidated)"
    )]
    SnapshotGone,
    /// What the catalog said of a table does not hold any more.
    #[error("copying {table}: it was truncated, rewritten, renamed or dropped meanwhile")]
    Changed {
        /// The name that it had.
        table: TableName,
    },
    /// The server exported no snapshot with the slot.
    #[error("the server exported no snapshot with the temporary slot")]
    NoSnapshot,
}

impl Error {
    /// The same snapshot will do, over another connection.
    pub fn is_of_connection(&self) -> bool {
        matches!(self, Error::Wal { source, .. } if source.kind() == wal::Kind::Transient)
    }

    /// What the caller has to do about it.
    pub fn kind(&self) -> wal::Kind {
        match self {
            Error::Wal { source, .. } => source.kind(),
            Error::Sql { source, .. } => match source.as_db_error() {
                Some(db) => wal::Kind::of_sqlstate(db.code().code()),
                None => wal::Kind::Transient,
            },
            // Another copy, with another snapshot and the catalog as it is then, may well succeed.
            Error::SnapshotGone | Error::Changed { .. } => wal::Kind::Transient,
            Error::Line { .. } | Error::NoSnapshot => wal::Kind::Definite,
        }
    }
}

/// `tokio-postgres` says no more than "db error" of the server's own.
fn of_server(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(db) => format!("{} (SQLSTATE {})", db.message(), db.code().code()),
        None => error.to_string(),
    }
}
