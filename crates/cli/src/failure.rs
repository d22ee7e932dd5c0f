//! One place where every error becomes an exit code and the last lines that the user reads: the cause and the remedy.

use std::process::ExitCode;

/// What a supervisor should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// Exit code 1: start it again.
    Retry,
    /// Exit code 2: usage or configuration.
    Config,
    /// Exit code 3: stopped on purpose until a person decides.
    Stop,
}

/// The end of a command that did not do what it was asked.
#[derive(Debug)]
pub struct Failure {
    /// What a supervisor should do.
    pub consequence: Consequence,
    message: String,
    remedy: String,
    cure: Option<Cure>,
}

/// What would let the connector go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cure {
    /// A new generation of everything: the stream has a gap, or the indices are not what they were.
    Rebuild,
    /// A new generation of the planned index at this place, of all if it is not known. Kept with the state: a restart must
    /// not go on.
    Resync(Option<usize>),
    /// Reading the state again.
    Reload,
    /// Another copy, as of now.
    CopyAgain,
}

impl Failure {
    /// It may work later.
    pub fn retry(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Consequence::Retry, message, remedy)
    }

    /// Usage or configuration.
    pub fn config(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Consequence::Config, message, remedy)
    }

    /// A person has to decide.
    pub fn stop(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(Consequence::Stop, message, remedy)
    }

    /// A person has to decide, and a restart must not go on: the planned index at `at` has to be built anew, or all of them.
    pub fn resync(
        message: impl Into<String>,
        remedy: impl Into<String>,
        at: Option<usize>,
    ) -> Self {
        Failure { cure: Some(Cure::Resync(at)), ..Self::stop(message, remedy) }
    }

    /// A person has to decide, unless the configuration says that a new generation of everything may be built at once.
    pub fn rebuild(message: impl Into<String>, remedy: impl Into<String>) -> Self {
        Failure { cure: Some(Cure::Rebuild), ..Self::stop(message, remedy) }
    }

    /// Reading everything again lets the connector go on.
    pub fn reload(message: impl Into<String>) -> Self {
        Failure { cure: Some(Cure::Reload), ..Self::retry(message, "start again") }
    }

    fn new(
        consequence: Consequence,
        message: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let (message, remedy) = (message.into(), remedy.into());
        Failure { consequence, message, remedy, cure: None }
    }

    /// Trying again may help.
    pub fn is_transient(&self) -> bool {
        self.consequence == Consequence::Retry
    }

    /// What to keep with the state, if anything, and which planned index it is about.
    pub fn needs_resync(&self) -> Option<(&str, Option<usize>)> {
        match self.cure {
            Some(Cure::Resync(at)) => Some((self.message.as_str(), at)),
            _ => None,
        }
    }

    /// What went wrong, without the remedy.
    pub fn cause(&self) -> &str {
        &self.message
    }

    /// A new generation of everything lets the connector go on.
    pub fn is_cured_by_rebuild(&self) -> bool {
        self.cure == Some(Cure::Rebuild)
    }

    /// The state was changed on purpose: reading it again lets the connector go on.
    pub fn is_cured_by_reload(&self) -> bool {
        self.cure == Some(Cure::Reload)
    }

    /// A table was changed under a copy: another one may be luckier.
    pub fn is_cured_by_copying_again(&self) -> bool {
        self.cure == Some(Cure::CopyAgain)
    }

    /// See [`Consequence`].
    pub fn exit_code(&self) -> ExitCode {
        match self.consequence {
            Consequence::Retry => ExitCode::from(1),
            Consequence::Config => ExitCode::from(2),
            Consequence::Stop => ExitCode::from(3),
        }
    }

    /// Writes the cause and the remedy to stderr.
    pub fn report(&self) {
        eprintln!("wal2es: {}", self.message);
        if !self.remedy.is_empty() {
            eprintln!("wal2es: remedy: {}", self.remedy);
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (remedy: {})", self.message, self.remedy)
    }
}

impl From<apply::Error> for Failure {
    fn from(error: apply::Error) -> Self {
        let consequence = match error.kind() {
            apply::Kind::Transient | apply::Kind::Superseded => Consequence::Retry,
            apply::Kind::Config => Consequence::Config,
            apply::Kind::Stop => Consequence::Stop,
        };
        let remedy = error.remedy().unwrap_or_default().to_owned();
        let cure = match error.kind() {
            apply::Kind::Superseded => Some(Cure::Reload),
            _ => error.is_cured_by_rebuild().then_some(Cure::Rebuild),
        };
        Failure { cure, ..Failure::new(consequence, error.to_string(), remedy) }
    }
}

impl From<apply::ApiError> for Failure {
    fn from(error: apply::ApiError) -> Self {
        apply::Error::from(error).into()
    }
}

impl From<wal::Error> for Failure {
    fn from(error: wal::Error) -> Self {
        let (consequence, remedy) = of_source(error.kind(), error.db_error());
        Failure::new(consequence, error.to_string(), remedy)
    }
}

impl From<outbox::Error> for Failure {
    fn from(error: outbox::Error) -> Self {
        let db = match &error {
            outbox::Error::Server { source, .. } => source.db_error(),
            _ => None,
        };
        let (consequence, remedy) = of_source(error.kind(), db);
        let message = error.to_string();
        match error {
            outbox::Error::Rows(error) => error.into(),
            _ => Failure::new(consequence, message, remedy),
        }
    }
}

impl From<snapshot::Error> for Failure {
    fn from(error: snapshot::Error) -> Self {
        let db = match &error {
            snapshot::Error::Wal { source, .. } => source.db_error(),
            _ => None,
        };
        let (consequence, remedy) = of_source(error.kind(), db);
        let cure = matches!(error, snapshot::Error::Changed { .. }).then_some(Cure::CopyAgain);
        Failure { cure, ..Failure::new(consequence, error.to_string(), remedy) }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return Failure::retry(format!("Postgres: {error}"), REACH);
        };
        let code = db.code().code();
        let remedy = db.hint().unwrap_or_else(|| remedy_of(code)).to_owned();
        let consequence = consequence(wal::Kind::of_sqlstate(code));
        let message = format!("Postgres: {} (SQLSTATE {code})", db.message());
        Failure::new(consequence, message, remedy)
    }
}

const REACH: &str = "check that Postgres runs and that source.url reaches it";

fn of_source(kind: wal::Kind, db: Option<&wal::DbError>) -> (Consequence, String) {
    let remedy = match db {
        Some(db) => db.hint.clone().unwrap_or_else(|| remedy_of(&db.code).to_owned()),
        None => match kind {
            wal::Kind::Transient => REACH.to_owned(),
            _ => "check source.url and what belongs to it".to_owned(),
        },
    };
    (consequence(kind), remedy)
}

fn consequence(kind: wal::Kind) -> Consequence {
    match kind {
        wal::Kind::Transient => Consequence::Retry,
        wal::Kind::Config => Consequence::Config,
        wal::Kind::Definite => Consequence::Stop,
    }
}

/// What to do about an [SQLSTATE](https://www.postgresql.org/docs/current/errcodes-appendix.html).
fn remedy_of(code: &str) -> &'static str {
    match code {
        "28P01" | "28000" => {
            "check user and password in source.url, PGPASSWORD or the password file, and pg_hba.conf"
        }
        "3D000" => "check the database in source.url",
        "42501" => {
            "give the role what scripts/setup.sql gives: LOGIN, REPLICATION and SELECT on the published tables"
        }
        "53300" => "raise max_connections or max_wal_senders, or end idle connections",
        "53400" => {
            "raise max_replication_slots, or drop slots that nobody uses (pg_replication_slots)"
        }
        "55006" => "another process uses the slot: stop it, or wait until its connection ends",
        "42704" => {
            "run `wal2es setup`; if the publication was dropped and made anew, the log before that can't be read: \
             `wal2es resync`"
        }
        "55000" => "set wal_level = logical in postgresql.conf and restart Postgres",
        _ => "look into the log of Postgres",
    }
}
