//! What can go wrong between us and Postgres, split by what the caller has to do about it.
//!
//! [`Error::kind`] is the only thing that a supervisor may decide on. It looks at the variant, at the SQLSTATE and at
//! the kind of an I/O error, never at a message: messages are translated by the server and change between releases.
//! Every message names the thing that failed and, where there is one, the remedy.

use std::fmt;
use std::io;
use std::time::Duration;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::ErrorFields;

use crate::sqlstate;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller has to do about an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Nobody has to do anything but wait: connect again after a while.
    Transient,
    /// Trying again gives the same answer until somebody changes a setting, a grant or the configuration.
    Config,
    /// Trying again gives the same answer, and no setting will help: a broken promise of the protocol, a lost slot.
    Definite,
}

impl Kind {
    /// What an error of the server with this [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html)
    /// calls for.
    pub fn of_sqlstate(code: &str) -> Self {
        sqlstate::kind(code)
    }
}

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The connection string, an environment variable or the password file can't be used.
    #[error("connection settings: {what}")]
    Settings {
        /// Which setting, and why not.
        what: String,
    },

    /// No connection to a host.
    #[error("cannot connect to {to}: {source}")]
    Connect {
        /// `host:port`, or the path of the socket.
        to: String,
        /// What the system said.
        source: io::Error,
    },

    /// A host did not answer in time, be it the network, the TLS handshake or the login.
    #[error("cannot connect to {to}: no answer within {} s (connect_timeout)", after.as_secs())]
    ConnectTimeout {
        /// `host:port`, or the path of the socket.
        to: String,
        /// How long we waited.
        after: Duration,
    },

    /// None of several hosts could be used; the errors stand in the order of the hosts.
    #[error("no host could be used: {}", list(.0))]
    AllHosts(Vec<Error>),

    /// TLS could not be set up, or the server's certificate is not the one we should see.
    #[error("TLS with {to}: {what}")]
    Tls {
        /// `host:port`.
        to: String,
        /// What is wrong, and what to change.
        what: String,
        /// Whether it is a matter of settings (certificates, `sslmode`) and not of a broken connection.
        settings: bool,
    },

    /// We refuse to log in the way the server asks for, or the server failed to prove who it is.
    #[error("login at {to}: {what}")]
    Login {
        /// `user@host:port/database`.
        to: String,
        /// What is wrong, and what to change.
        what: String,
    },

    /// The session does not have a setting that we asked for.
    #[error(
        "the session has {name} = {got:?} where it asked for {want:?} at login: a connection pooler that keeps startup \
         parameters to itself (connect to the server itself), or a login trigger that changes settings"
    )]
    Session {
        /// The parameter.
        name: &'static str,
        /// What we asked for.
        want: &'static str,
        /// What the server reported.
        got: String,
    },

    /// The server answered with an error.
    #[error("{doing}: {error}{}", advice(.remedy))]
    Server {
        /// What was being done, with the names of things.
        doing: String,
        /// The answer.
        error: Box<DbError>,
        /// What to change; may be empty.
        remedy: String,
    },

    /// Reading or writing failed on an open connection.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// What the system said.
        source: io::Error,
    },

    /// The server ended the connection or the stream.
    #[error("the server closed the {what}")]
    Closed {
        /// `connection` or `replication stream`.
        what: &'static str,
    },

    /// Nothing was heard from the server, although it was asked for a sign of life.
    #[error(
        "no sign of life from the server for {} s: the connection is taken for dead",
        after.as_secs()
    )]
    Silent {
        /// How long nothing was received.
        after: Duration,
    },

    /// The bytes are not what the protocol allows here.
    #[error("protocol violation at byte {position} of the connection: {what}")]
    Protocol {
        /// Bytes received on this connection (inside of TLS) before the offending one.
        position: u64,
        /// What stands there.
        what: String,
    },

    /// An answer outgrew the bound on what we hold in memory.
    #[error("the answer to {doing} is larger than {limit} bytes")]
    TooLarge {
        /// What was being done.
        doing: String,
        /// The bound in bytes.
        limit: usize,
    },

    /// A name that can't be sent.
    #[error("{what} {name:?}: {why}")]
    Name {
        /// `replication slot`, for example.
        what: &'static str,
        /// The name.
        name: String,
        /// The rule that it breaks.
        why: &'static str,
    },

    /// An earlier command on this connection was dropped before its end, and what is left of its answer is still to
    /// come: use a new connection.
    #[error("an earlier command was abandoned half-way on this connection: open a new one")]
    Abandoned,

    /// The server is too old for what was asked.
    #[error("{what} needs Postgres {needs}; the server is {server}")]
    TooOld {
        /// What was asked.
        what: &'static str,
        /// The first major version that has it.
        needs: u32,
        /// The server's version.
        server: String,
    },

    /// `tokio-postgres` could not take over a connection that was ready.
    #[error("ordinary SQL connection: {0}")]
    Handover(#[source] tokio_postgres::Error),
}

impl Error {
    /// What the caller has to do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Error::ConnectTimeout { .. }
            | Error::Closed { .. }
            | Error::Silent { .. }
            | Error::Io { .. }
            | Error::Abandoned
            | Error::Handover(_) => Kind::Transient,
            Error::Connect { source, .. } => match source.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput => Kind::Config,
                _ => Kind::Transient,
            },
            // The first error that is not transient ends the search for a host, so these all are.
            Error::AllHosts(_) => Kind::Transient,
            Error::Tls { settings, .. } => {
                if *settings {
                    Kind::Config
                } else {
                    Kind::Transient
                }
            }
            Error::Settings { .. }
            | Error::Login { .. }
            | Error::Session { .. }
            | Error::Name { .. }
            | Error::TooOld { .. } => Kind::Config,
            Error::Server { error, .. } => sqlstate::kind(&error.code),
            Error::Protocol { .. } | Error::TooLarge { .. } => Kind::Definite,
        }
    }

    /// The server's own error, if it was one.
    pub fn db_error(&self) -> Option<&DbError> {
        match self {
            Error::Server { error, .. } => Some(error),
            _ => None,
        }
    }

    /// Adds what to change, if it is an error of the server that `remedy` knows something about.
    pub(crate) fn advise(mut self, remedy: impl FnOnce(&str) -> String) -> Self {
        if let Error::Server { error, remedy: advice, .. } = &mut self {
            *advice = remedy(&error.code);
        }
        self
    }

    pub(crate) fn settings(what: impl Into<String>) -> Self {
        Error::Settings { what: what.into() }
    }

    pub(crate) fn protocol(position: u64, what: impl Into<String>) -> Self {
        Error::Protocol { position, what: what.into() }
    }

    pub(crate) fn io(doing: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Error::Io { doing, source }
    }
}

/// An [ErrorResponse](https://www.postgresql.org/docs/current/protocol-error-fields.html) of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DbError {
    /// `ERROR`, `FATAL` or `PANIC`; never translated.
    pub severity: String,
    /// The [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html), five characters.
    pub code: String,
    /// The message, in the server's language.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What the server advises.
    pub hint: Option<String>,
}

impl DbError {
    /// Reads the fields; unknown ones are passed over, as the protocol asks for.
    pub(crate) fn read(mut fields: ErrorFields<'_>) -> io::Result<Self> {
        let (mut severity, mut code, mut message) = (None, None, None);
        let (mut detail, mut hint) = (None, None);
        while let Some(field) = fields.next()? {
            let slot = match field.type_() {
                b'V' => &mut severity,
                b'S' if severity.is_none() => &mut severity,
                b'C' => &mut code,
                b'M' => &mut message,
                b'D' => &mut detail,
                b'H' => &mut hint,
                _ => continue,
            };
            *slot = Some(String::from_utf8_lossy(field.value_bytes()).into_owned());
        }
        Ok(DbError {
            severity: severity.unwrap_or_else(|| "ERROR".to_owned()),
            code: code.unwrap_or_else(|| "XX000".to_owned()),
            message: message.unwrap_or_default(),
            detail,
            hint,
        })
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.severity, self.code, self.message)?;
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DbError {}

fn advice(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!(" ({text})") }
}

fn list(errors: &[Error]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
