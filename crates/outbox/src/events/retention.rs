//! Events that have been dealt with may go.

use wal::identifier;

use super::reader::Reader;
use super::{NUMBER, Order, Place};
use crate::error::Result;

/// So many are deleted by one statement.
const MOST: u64 = 10_000;

impl Reader {
    /// Deletes some of the events that a reader who has come to `place` needs no more, and tells how many.
    ///
    /// # Errors
    /// No right to delete, the connection fails.
    pub async fn delete_before(&mut self, place: Place) -> Result<u64> {
        let events = self.events().clone();
        let (table, id) = (events.table.quoted(), identifier(&events.id));
        let Place { from, to, last, .. } = place;
        let done = match &events.order {
            Order::TransactionId { column } => {
                let column = identifier(column);
                format!(
                    "{column} < '{from}'::xid8 OR ({column} < '{to}'::xid8 AND {NUMBER} <= {last})"
                )
            }
            _ => format!("{NUMBER} <= {last}"),
        };
        let old = format!(
            "SELECT {id} AS event FROM ({}) numbered WHERE {done} LIMIT {MOST}",
            events.numbered()
        );
        let of_stream = match events.order {
            Order::Stream { .. } => format!(
                ", placed AS (DELETE FROM {} s USING old WHERE s.event = old.event)",
                events.own("events_stream")
            ),
            _ => String::new(),
        };
        let sql = format!(
            "WITH old AS MATERIALIZED ({old}){of_stream}, \
                  gone AS (DELETE FROM {table} e USING old WHERE e.{id} = old.event RETURNING 1) \
             SELECT count(*) FROM gone"
        );
        self.session().value("deleting events that have been dealt with", &sql).await
    }
}
