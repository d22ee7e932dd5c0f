//! The slot and the server's limits, as they are.

use change::Lsn;
use tokio_postgres::Client;

use crate::failure::Failure;

/// What the server says at one moment. Sizes are bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Look {
    /// Up to where the log is on disk.
    pub(crate) flushed: Lsn,
    /// There is such a slot.
    pub(crate) exists: bool,
    /// The process of the server that reads the slot.
    pub(crate) active_pid: Option<i32>,
    /// What the server was told.
    pub(crate) confirmed: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved`, `lost`; none where nothing is kept for it.
    pub(crate) wal_status: Option<String>,
    /// Log that is kept because of the slot.
    pub(crate) held: Option<u64>,
    /// How much more may be written before the slot may be lost; none where nothing bounds it.
    pub(crate) safe_wal_size: Option<i64>,
    /// `max_slot_wal_keep_size`; none where nothing bounds it.
    pub(crate) keep_size: Option<u64>,
    /// For how long nobody has read the slot; none while somebody does, and before Postgres 17.
    pub(crate) inactive_seconds: Option<u64>,
    /// `idle_replication_slot_timeout`; none where there is none, and before Postgres 18.
    pub(crate) idle_timeout: Option<u64>,
    /// Transactions since the oldest one whose catalog the slot needs.
    pub(crate) xmin_age: Option<u64>,
    /// `autovacuum_freeze_max_age`.
    pub(crate) freeze_max_age: u64,
}

impl Look {
    /// Looks at the slot `slot` of a server of `version` (`server_version_num`). Waits for no lock.
    ///
    /// # Errors
    /// The query fails, or the server is a standby.
    pub(crate) async fn take(client: &Client, slot: &str, version: u32) -> Result<Self, Failure> {
        let inactive = match version {
            170_000.. => "extract(epoch FROM clock_timestamp() - s.inactive_since)::bigint",
            _ => "NULL::bigint",
        };
        let query = format!(
            "SELECT pg_catalog.pg_current_wal_flush_lsn()::text, s.active_pid, s.confirmed_flush_lsn::text, s.wal_status, \
                    pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::bigint, s.safe_wal_size, \
                    {keep}, {inactive}, {idle}, pg_catalog.age(s.catalog_xmin)::bigint, {freeze}, s.slot_name IS NOT NULL \
               FROM (SELECT) one LEFT JOIN pg_catalog.pg_replication_slots s ON s.slot_name = $1",
            keep = setting("max_slot_wal_keep_size"),
            idle = setting("idle_replication_slot_timeout"),
            freeze = setting("autovacuum_freeze_max_age"),
        );
        let row = client.query_one(&query, &[&slot]).await?;
        // Settings and sizes below zero are "no limit" or "nothing".
        let number = |at: usize| row.get::<_, Option<i64>>(at);
        let size = |at: usize| number(at).and_then(|number| u64::try_from(number).ok());
        let position =
            |at: usize| row.get::<_, Option<&str>>(at).and_then(|text| text.parse().ok());
        Ok(Look {
            flushed: position(0).unwrap_or(Lsn::ZERO),
            exists: row.get(11),
            active_pid: row.get(1),
            confirmed: position(2),
            wal_status: row.get(3),
            held: number(4).map(|held| u64::try_from(held).unwrap_or(0)),
            safe_wal_size: number(5),
            keep_size: size(6),
            inactive_seconds: size(7),
            idle_timeout: size(8).filter(|timeout| *timeout > 0),
            xmin_age: size(9),
            freeze_max_age: size(10).unwrap_or(0),
        })
    }
}

/// A setting in bytes, seconds or whatever it counts; NULL on servers that do not have it.
fn setting(name: &str) -> String {
    format!(
        "(SELECT setting::bigint * CASE WHEN setting::bigint < 0 THEN 1 WHEN unit = 'MB' THEN 1048576 WHEN unit = 'min' THEN 60 \
          ELSE 1 END FROM pg_catalog.pg_settings WHERE name = '{name}')"
    )
}
