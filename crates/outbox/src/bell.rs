//! How whoever writes wakes who reads.
//!
//! A notification in every transaction costs writers dearly: one lock of the whole database, to the end of the commit. So there
//! is a flag in a table, and only while it is set does a trigger notify.

use wal::literal;

use crate::error::Result;
use crate::session::Session;

/// The flag of one reader.
#[derive(Clone, Debug)]
pub struct Bell {
    /// The table, as SQL names it.
    table: String,
    /// Whose row, if there are several.
    owner: Option<String>,
    channel: String,
}

impl Bell {
    /// The only row of `table`, which has a column `asleep`.
    pub(crate) fn only(table: String, channel: &str) -> Self {
        Bell { table, owner: None, channel: channel.to_owned() }
    }

    /// The row of `owner`.
    pub(crate) fn of(table: String, channel: &str, owner: &str) -> Self {
        Bell { table, owner: Some(owner.to_owned()), channel: channel.to_owned() }
    }

    /// What to listen on.
    pub fn channel(&self) -> &str {
        &self.channel
    }

    /// Says whether the reader has to be notified. From the moment that nobody who may have read the flag before is
    /// running any more, every writer does; [`Bell::is_known`] tells of the id that this gives.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn set_asleep(&self, session: &mut Session, asleep: bool) -> Result<u64> {
        const DOING: &str = "changing the flag of the reader";
        let table = &self.table;
        let sql = match &self.owner {
            None => format!("UPDATE {table} SET asleep = {asleep}"),
            Some(owner) => format!(
                "INSERT INTO {table} (owner, asleep) VALUES ({}, {asleep}) \
                 ON CONFLICT (owner) DO UPDATE SET asleep = excluded.asleep",
                literal(owner)
            ),
        };
        session.rows(DOING, &sql).await?;
        // Whoever begins from now on, or has not taken a snapshot yet.
        let sql = "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())";
        session.value(DOING, sql).await
    }

    /// Every transaction that was there when [`Bell::set_asleep`] gave `xid` has ended.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn is_known(session: &mut Session, xid: u64) -> Result<bool> {
        let sql = format!(
            "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= '{xid}'::xid8"
        );
        Ok(session.one("waiting for writers", &sql).await?.as_deref() == Some("t"))
    }
}
