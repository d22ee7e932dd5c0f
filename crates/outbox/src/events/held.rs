//! Who holds events back: a transaction that began before theirs and has not ended, or that keeps the table from being locked.

use super::{Events, Order};
use crate::error::Result;
use crate::session::Session;

/// A session, or a prepared transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldBy {
    /// `process 731 (idle in transaction) of the database shop`, or `the prepared transaction "x"`.
    pub who: String,
    /// For how long its transaction has been open, in seconds.
    pub seconds: u64,
}

impl Events {
    /// Looks for the oldest one. A role without `pg_read_all_stats` is not told of sessions of others.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn held_by(&self, session: &mut Session) -> Result<Option<HeldBy>> {
        let oldest = match self.order {
            Order::TransactionId { .. } => {
                "WHERE a.backend_xid IS NOT NULL ORDER BY pg_catalog.age(a.backend_xid) DESC"
                    .to_owned()
            }
            Order::TableLock { .. } => format!(
                "JOIN pg_catalog.pg_locks l ON l.pid = a.pid AND l.relation = {} AND l.granted \
                  AND l.mode NOT IN ('AccessShareLock', 'RowShareLock') \
                 WHERE a.pid <> pg_catalog.pg_backend_pid() ORDER BY a.xact_start",
                self.oid
            ),
            Order::Stream { .. } => return Ok(None),
        };
        let sql = format!(
            "(SELECT pg_catalog.format('process %s (%s) of the database %s', a.pid, a.state, a.datname), \
                     EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - a.xact_start)::bigint \
                FROM pg_catalog.pg_stat_activity a {oldest} LIMIT 1) \
             UNION ALL \
             (SELECT pg_catalog.format('the prepared transaction %L of the database %s', gid, database), \
                     EXTRACT(EPOCH FROM pg_catalog.clock_timestamp() - prepared)::bigint \
                FROM pg_catalog.pg_prepared_xacts ORDER BY prepared LIMIT 1) \
             ORDER BY 2 DESC NULLS LAST LIMIT 1"
        );
        let rows = session.rows("looking for who holds events back", &sql).await?;
        let held = |row: &wal::TextRow| {
            let [who, seconds] = row.as_slice() else { return None };
            let seconds = seconds.as_ref().and_then(|seconds| seconds.parse().ok());
            Some(HeldBy { who: who.clone()?, seconds: seconds.unwrap_or(0) })
        };
        Ok(rows.first().and_then(held))
    }
}
