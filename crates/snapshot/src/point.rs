//! A consistent point of the database.

use change::Lsn;
use wal::{ConnInfo, Connection, Mode, SlotOptions};

use crate::error::{Error, Result};

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

impl Snapshot {
    /// Makes one, with a temporary slot of this name. The server waits for all transactions that are running now.
    ///
    /// # Errors
    /// No right to make slots, no room for another one, one of that name is there, the connection fails.
    pub async fn create(info: &ConnInfo, slot: &str, plugin: &str) -> Result<Self> {
        let doing = || "making a temporary slot for the copy".to_owned();
        let failed = |source| Error::Wal { doing: doing(), source };
        let mut keeper = Connection::connect(info, Mode::Replication).await.map_err(failed)?;
        let options =
            SlotOptions { temporary: true, snapshot: wal::Snapshot::Export, failover: false };
        let created = keeper.create_slot(slot, plugin, options).await.map_err(failed)?;
        let name = created.snapshot_name.ok_or(Error::NoSnapshot)?;
        Ok(Snapshot { at: created.consistent_point, name, keeper })
    }

    /// A session that sees the database as of this point, and nothing less than all rows of a table.
    ///
    /// # Errors
    /// The snapshot has ended, the connection fails.
    pub async fn session(&self, info: &ConnInfo) -> Result<Connection> {
        let doing = || "opening a session at the snapshot".to_owned();
        let failed = |source| Error::Wal { doing: doing(), source };
        let mut session = Connection::connect(info, Mode::Ordinary).await.map_err(failed)?;
        let sql = format!(
            "SET row_security = off; \
             BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET TRANSACTION SNAPSHOT {}",
            wal::literal(&self.name)
        );
        session.simple_query(&sql).await.map_err(failed)?;
        Ok(session)
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
