//! A session that reads tables in place of the log.

use std::time::Duration;

use change::Lsn;
use wal::{ConnInfo, Connection, Mode, TextRow, literal};

use crate::error::{Error, Result};

/// Between two looks whether the log is on disk.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// See the module.
pub struct Session {
    connection: Connection,
    /// `wal_segment_size`, in bytes.
    segment: u64,
    prepares: bool,
    process: Process,
}

/// The process of the server that a session is of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its number, which another one may have when it has ended.
    pub pid: u32,
    /// When it began, as the server writes it.
    since: String,
}

/// Where the log is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Position {
    /// Whoever reads this position, or one below, after a commit was answered finds what it wrote by the next statement.
    pub(crate) before: Lsn,
    /// The log is on disk up to here.
    pub(crate) flushed: Lsn,
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn connect(info: &ConnInfo) -> Result<Self> {
        let failed = Error::of("connecting for the outbox");
        let mut connection = Connection::connect(info, Mode::Ordinary).await.map_err(&failed)?;
        // What this session deletes is only done once more if it comes back after a crash. What it writes must not be what it
        // waits for in `until_flushed`, and no standby needs it.
        let sql = "SET synchronous_commit = local; SET row_security = off";
        connection.simple_query(sql).await.map_err(&failed)?;
        // A client that has gone without a word is noticed within half a minute, and its locks go.
        let sql = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";
        connection.simple_query(sql).await.map_err(&failed)?;
        match connection.simple_query("SET client_connection_check_interval = '2s'").await {
            // Some systems have no such check.
            Err(error) if error.db_error().is_none() => return Err(failed(error)),
            _ => {}
        }
        let mut session =
            Session { connection, segment: 16 << 20, prepares: true, process: Process::default() };
        let setting =
            |name| format!("SELECT setting FROM pg_catalog.pg_settings WHERE name = '{name}'");
        const DOING: &str = "asking for settings";
        let segment = session.one(DOING, &setting("wal_segment_size")).await?;
        session.segment = segment.and_then(|text| text.parse().ok()).unwrap_or(session.segment);
        session.process.pid = session.value(DOING, "SELECT pg_catalog.pg_backend_pid()").await?;
        let sql = "SELECT backend_start FROM pg_catalog.pg_stat_activity WHERE pid = pg_catalog.pg_backend_pid()";
        session.process.since = session.one(DOING, sql).await?.unwrap_or_default();
        let prepared = session.one(DOING, &setting("max_prepared_transactions")).await?;
        session.prepares = prepared.as_deref() != Some("0");
        Ok(session)
    }

    /// The connection, for other questions.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// The process of the server that it is of.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends an earlier session of ours that the server takes for alive, with its locks.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn end_earlier(&mut self, earlier: &Process) -> Result<()> {
        let sql = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity \
              WHERE pid = {} AND backend_start::text = {}",
            earlier.pid,
            literal(&earlier.since)
        );
        self.rows("ending the session before", &sql).await.map(drop)
    }

    /// Transactions may be prepared, which none can be that has notified.
    pub fn prepares(&self) -> bool {
        self.prepares
    }

    /// Takes the [advisory lock](https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS) `key`, which goes
    /// with the session. False if somebody else has it.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn lock(&mut self, key: i64) -> Result<bool> {
        let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
        Ok(self.one("locking the outbox", &sql).await?.as_deref() == Some("t"))
    }

    /// Where the server is: its timeline, and how far its log is on disk.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn history(&mut self) -> Result<(u32, Lsn)> {
        const DOING: &str = "asking for the history of the server";
        let sql = "SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()";
        let timeline = self.value(DOING, sql).await?;
        Ok((timeline, self.lsn(DOING, "pg_current_wal_flush_lsn").await?))
    }

    /// Waits until everything that could be seen before this call is on disk.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn until_flushed(&mut self) -> Result<()> {
        const DOING: &str = "waiting for the log";
        let seen = self.lsn(DOING, "pg_current_wal_insert_lsn").await?;
        let seen = seen.without_header(self.segment);
        if self.lsn(DOING, "pg_current_wal_flush_lsn").await? >= seen {
            return Ok(());
        }
        // What only prunes pages, or was committed asynchronously, lies in memory until somebody else waits for a commit.
        self.rows(DOING, "SELECT pg_catalog.pg_logical_emit_message(true, 'wal2es', '')").await?;
        while self.lsn(DOING, "pg_current_wal_flush_lsn").await? < seen {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// By statements of their own: the next one sees whatever was committed before. A commit is in the log before it can be
    /// seen: whoever reads the very same position once it is answered would take the one for the other, so it is one less.
    pub(crate) async fn position(&mut self) -> Result<Position> {
        const DOING: &str = "asking for the position of the log";
        let at = self.lsn(DOING, "pg_current_wal_insert_lsn").await?;
        let before = Lsn::new(at.get().saturating_sub(1));
        let flushed = self.lsn(DOING, "pg_current_wal_flush_lsn").await?;
        Ok(Position { before, flushed })
    }

    pub(crate) async fn rows(&mut self, doing: &'static str, sql: &str) -> Result<Vec<TextRow>> {
        self.connection.simple_query(sql).await.map_err(Error::of(doing))
    }

    /// The first value of the first row.
    pub(crate) async fn one(&mut self, doing: &'static str, sql: &str) -> Result<Option<String>> {
        let rows = self.rows(doing, sql).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }

    /// The same, which must be there and of that kind.
    pub(crate) async fn value<T: std::str::FromStr>(
        &mut self,
        doing: &'static str,
        sql: &str,
    ) -> Result<T> {
        let text = self.one(doing, sql).await?;
        let nonsense = || Error::Answer { doing, what: format!("{text:?}") };
        text.as_deref().and_then(|text| text.parse().ok()).ok_or_else(nonsense)
    }

    async fn lsn(&mut self, doing: &'static str, function: &str) -> Result<Lsn> {
        self.value(doing, &format!("SELECT pg_catalog.{function}()")).await
    }
}
