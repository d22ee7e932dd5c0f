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
            Error::Answer { .. } => wal::Kind::Definite,
        }
    }
}
