//! What can go wrong on the way into the index, split by what has to happen next.

use std::fmt;

use crate::target::SendError;

/// What has to happen next. The command's exit code follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The same may work later: try again.
    Transient,
    /// The configuration or the rights are wrong: change them.
    Config,
    /// Going on could make the index wrong: a person decides.
    Stop,
    /// The state was changed on purpose, by a resync or a rollback: read it again and go on from there.
    Superseded,
}

/// An error with its remedy.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    message: String,
    remedy: Option<String>,
    /// A new generation of all indices makes it right.
    rebuild: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// Going on could make the index wrong.
    pub fn stop(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Kind::Stop, message, remedy)
    }

    /// Going on could make the index wrong, and a new generation of all indices makes it right.
    pub fn rebuild(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Error { rebuild: true, ..Self::stop(message, remedy) }
    }

    /// The configuration or the rights are wrong.
    pub fn config(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Kind::Config, message, remedy)
    }

    /// The same may work later.
    pub fn transient(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Kind::Transient, message, remedy)
    }

    /// The state was changed on purpose.
    pub(crate) fn superseded() -> Self {
        let message = "the state was changed by `wal2es resync` or `wal2es rollback`";
        Self::new(Kind::Superseded, message, "start again")
    }

    fn new(kind: Kind, message: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (message, remedy) = (message.into(), Some(remedy.into()));
        Error { kind, message, remedy, rebuild: false, source: None }
    }

    /// A new generation of all indices makes it right.
    pub fn is_cured_by_rebuild(&self) -> bool {
        self.rebuild
    }

    /// What has to happen next.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do about it, for the last line that the user reads.
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        if error.is_untrusted() {
            return Error::config(
                error.to_string(),
                "set target.ca_file to the authority that signed the server's certificate, and name the host in \
                 target.url as the certificate does",
            );
        }
        Error {
            kind: Kind::Transient,
            message: error.to_string(),
            remedy: Some(
                "check that the search server runs and that target.url reaches it".to_owned(),
            ),
            rebuild: false,
            source: None,
        }
    }
}
