//! A consistent point of the database.

use change::Lsn;
use wal::{ConnInfo, Connection, Mode, SlotOptions};

use crate::error::{Error, Result};

/// What the server says of a snapshot that is not there, by version: invalid_parameter_value, undefined_object; and
/// object_not_in_prerequisite_state when it is just ending.
const GONE: [&str; 3] = ["22023", "42704", "55000"];

/// A point in the log and a snapshot that shows exactly what committed before it.
///
/// It is made by a temporary slot, because only the creation of a slot gives a snapshot together with its position: a
/// commit may be in the log and already decoded while no ordinary snapshot shows it yet. The stream may come from any
/// slot that is older, started at [`Snapshot::at`]. The snapshot lives as long as this value, and the slot goes with
/// it, however the process ends.
pub struct Snapshot {
    /// The stream from here on has what the snapshot does not show. The first commit may be exactly here.
    pub at: Lsn,
    name: String,
    /// Its next command, or its end, ends the snapshot.
    keeper: Connection,
}

/// A connection that a snapshot can be made on.
pub struct Keeper(Connection);

impl Keeper {
    /// Connects.
    ///
    /// # Errors
    /// No right to replicate, the connection fails.
    pub async fn connect(info: &ConnInfo) -> Result<Self> {
        let failed = |source| Error::Wal { doing: "connecting for a copy".to_owned(), source };
        Connection::connect(info, Mode::Replication).await.map(Keeper).map_err(failed)
    }

    /// Connects without the right to replicate, for [`Keeper::export`].
    ///
    /// # Errors
    /// The connection fails.
    pub async fn ordinary(info: &ConnInfo) -> Result<Self> {
        let failed = |source| Error::Wal { doing: "connecting for a copy".to_owned(), source };
        Connection::connect(info, Mode::Ordinary).await.map(Keeper).map_err(failed)
    }

    /// Makes a snapshot without a slot: it has all whose commit was answered before the server was at [`Snapshot::at`], but a
    /// commit before that may not be in it, so it is no place to begin a stream.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn export(mut self) -> Result<Snapshot> {
        let failed = |source| Error::Wal { doing: "exporting a snapshot".to_owned(), source };
        let text = |rows: Vec<wal::TextRow>| rows.into_iter().next()?.into_iter().next()?;
        let sql = "SELECT pg_catalog.pg_current_wal_insert_lsn()";
        let at = text(self.0.simple_query(sql).await.map_err(failed)?);
        let at: Lsn = at.and_then(|lsn| lsn.parse().ok()).ok_or(Error::NoSnapshot)?;
        // A commit that ends exactly there may not be answered yet.
        let at = Lsn::new(at.get().saturating_sub(1));
        let sql = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT pg_catalog.pg_export_snapshot()";
        let name =
            text(self.0.simple_query(sql).await.map_err(failed)?).ok_or(Error::NoSnapshot)?;
        Ok(Snapshot { at, name, keeper: self.0 })
    }

    /// Takes the [advisory lock](https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS) `key` of the
    /// database, for as long as this connection lives. False if somebody else has it.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn lock(&mut self, key: i64) -> Result<bool> {
        let failed = |source| Error::Wal { doing: "locking a copy".to_owned(), source };
        let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
        let rows = self.0.simple_query(&sql).await.map_err(failed)?;
        Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some("t"))
    }

    /// Makes a snapshot, with a temporary slot of this name. The server waits for all transactions that are running now.
    ///
    /// # Errors
    /// No right to make slots, no room for another one, one of that name is there, the connection fails.
    pub async fn snapshot(mut self, slot: &str, plugin: &str) -> Result<Snapshot> {
        let doing = || "making a temporary slot for the copy".to_owned();
        let failed = |source| Error::Wal { doing: doing(), source };
        let options =
            SlotOptions { temporary: true, snapshot: wal::Snapshot::Export, failover: false };
        let created = self.0.create_slot(slot, plugin, options).await.map_err(failed)?;
        let name = created.snapshot_name.ok_or(Error::NoSnapshot)?;
        Ok(Snapshot { at: created.consistent_point, name, keeper: self.0 })
    }
}

impl Snapshot {
    /// A session that sees the database as of this point, and nothing less than all rows of a table.
    ///
    /// # Errors
    /// [`Error::SnapshotGone`]; the connection fails.
    pub async fn session(&self, info: &ConnInfo) -> Result<Connection> {
        let doing = || "opening a session at the snapshot".to_owned();
        let failed = |source| Error::Wal { doing: doing(), source };
        let mut session = Connection::connect(info, Mode::Ordinary).await.map_err(failed)?;
        // What waits for a lock, or finds no row to send, would not notice that we have gone. Some systems can't.
        match session.simple_query("SET client_connection_check_interval = '2s'").await {
            Err(error) if error.db_error().is_none() => return Err(failed(error)),
            _ => {}
        }
        let sql = "SET row_security = off; BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        session.simple_query(sql).await.map_err(failed)?;
        let sql = format!("SET TRANSACTION SNAPSHOT {}", wal::literal(&self.name));
        match session.simple_query(&sql).await {
            Ok(_) => Ok(session),
            Err(error) if error.db_error().is_some_and(|db| GONE.contains(&db.code.as_str())) => {
                Err(Error::SnapshotGone)
            }
            Err(error) => Err(failed(error)),
        }
    }

    /// The connection that has the temporary slot, for the stream from [`Snapshot::at`] on. The snapshot ends with its next
    /// command.
    pub fn into_keeper(self) -> Connection {
        self.keeper
    }

    /// Ends the snapshot and drops the temporary slot.
    pub async fn end(self) {
        self.keeper.terminate().await;
    }
}
