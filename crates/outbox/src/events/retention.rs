//! Events that have been dealt with may go.
//!
//! One that deletes has to stay for as long as an older event of its key may still be read, which would make the document anew.
//! By place or by lock there is none. By transaction there may be: its writer has committed before the one that deletes drew its
//! number, so its transaction had begun when that was read. So what was read goes when all have been read that had begun by then.

use std::collections::VecDeque;

use wal::identifier;

use super::reader::Reader;
use super::{NUMBER, Order, Place};
use crate::error::Result;

/// So many are deleted by one statement.
const MOST: u64 = 10_000;

/// Which transactions have been read, and which had not begun by then.
#[derive(Default)]
pub(super) struct Read {
    /// The end of a window, and the first transaction that had not begun when it was opened.
    windows: VecDeque<(u64, u64)>,
    /// All before may go.
    below: u64,
}

impl Read {
    /// A window is opened. What came before it was read by now, whoever did.
    pub(super) fn window(&mut self, from: u64, to: u64, next: u64) {
        if self.windows.is_empty() {
            self.windows.push_back((from, next));
        }
        if from < to {
            self.windows.push_back((to, next));
        }
    }

    /// All transactions before `from` are in the index.
    fn reached(&mut self, from: u64) {
        while let Some((end, next)) = self.windows.front().copied()
            && from >= next
        {
            self.below = self.below.max(end);
            self.windows.pop_front();
        }
    }
}

impl Reader {
    /// From now on events may be deleted: the place says so.
    pub fn may_delete(&mut self) {
        self.place.incomplete = true;
    }

    /// Deletes some of the events that a reader who has come to `place` needs no more, and tells how many.
    ///
    /// # Errors
    /// No right to delete, the connection fails.
    pub async fn delete_before(&mut self, place: Place) -> Result<u64> {
        let events = self.events().clone();
        let (table, id) = (events.table.quoted(), identifier(&events.id));
        let done = match &events.order {
            Order::TransactionId { column } => {
                self.read.reached(place.from);
                format!("{} < '{}'::xid8", identifier(column), self.read.below)
            }
            _ => format!("{NUMBER} <= {}", place.last),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_deletes_stays_until_all_that_had_begun_is_read() {
        let mut read = Read::default();
        // 10 to 19 are read while 25 is the next to begin.
        read.window(10, 20, 25);
        for (from, below) in [(10, 0), (20, 0), (24, 0), (25, 20)] {
            read.reached(from);
            assert_eq!(read.below, below, "{from}");
        }
        read.window(25, 30, 30);
        read.reached(30);
        assert_eq!(read.below, 30);
    }
}
