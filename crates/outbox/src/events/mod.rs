//! An append-only table of events, which an application writes in the transactions that the events are about.
//!
//! Ids are drawn before they are committed, so `WHERE id > last` loses an event whose transaction ends after one with a later id
//! was read. There are three ways to know that nothing more comes below:
//!
//! - [`Order::TransactionId`]: an event knows its transaction. All transactions below `xmin` of a snapshot have ended, so the
//!   events of those since the last time are all there, and are read in the order of their ids. (In the order of
//!   transactions a key could end at its older state: a transaction that began first may write last.) With them come those of
//!   earlier transactions whose ids are above: what they have done to a key is done after what it had been before, once more.
//!   Nobody waits; a transaction that stays open holds back whatever began after it.
//! - [`Order::TableLock`]: the last id that was drawn, then for a moment a lock that no writer's bears: whoever had drawn an id
//!   up to that one, and written it, has ended. Ids that an application draws long before it writes (pools of ids) are lost.
//! - [`Order::Stream`]: a second table gives events their places, without gaps and in the order of commits, from a counter that
//!   is held to the end of the transaction. So nothing is ever added below a place that was seen.
//!
//! The version of a document is the number of the event it is of, plus one. Two events of a key come in the order of their
//! numbers if writers of a key take turns before they draw one, as those do that change a row of the key, or insert under a
//! unique one, first.

mod held;
mod install;
mod look;
mod projection;
mod reader;
mod retention;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use change::TableName;
use wal::{identifier, literal};

use crate::bell::Bell;
pub use held::HeldBy;
pub use look::Found;
pub use projection::{OneOf, Projection};
pub use reader::{Change, Reader, Span};

/// The table of events and how it is read.
#[derive(Clone, Debug)]
pub struct Events {
    /// `pg_class.oid`.
    pub oid: u32,
    /// The table.
    pub table: TableName,
    /// The column that tells events apart; of whole numbers from 1, but for [`Order::Stream`].
    pub id: String,
    /// Its type, as SQL writes it.
    pub id_type: String,
    /// How it is known which events are all there.
    pub order: Order,
    /// Where what is made for it is.
    pub schema: String,
    /// Whose reader it is.
    pub owner: String,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// By a column of type `xid8` that has the writer's transaction.
    TransactionId {
        /// The column.
        column: String,
    },
    /// By a momentary lock of the table.
    TableLock {
        /// How long writers may have to wait behind it, each time.
        patience: Duration,
    },
    /// By a table of places.
    Stream {
        /// Who gives them.
        fill: Fill,
    },
}

/// Who gives events their places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fill {
    /// A function that applications call, last thing in the transaction: writers wait for each other from there on.
    Function,
    /// A trigger at the end of the transaction.
    Trigger,
    /// The reader, from a queue: writers don't wait for each other.
    Connector,
}

/// How far a reader has come. For transactions: those from `from` and below `to` are being read, up to the event `last`; with them
/// those before that have events above the first of them. For
/// the lock: all up to `to` is there. Else only `last` counts. No number above `highest` was seen.
/// `incomplete`: events that have been dealt with may have been deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) last: u64,
    pub(crate) highest: u64,
    pub(crate) incomplete: bool,
}

/// `from:to:last:highest`, with `:incomplete` if it is.
impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}:{}", self.from, self.to, self.last, self.highest)?;
        f.write_str(if self.incomplete { ":incomplete" } else { "" })
    }
}

/// The text is not of that form.
#[derive(Debug)]
pub struct NoPlace;

impl FromStr for Place {
    type Err = NoPlace;

    fn from_str(text: &str) -> Result<Self, NoPlace> {
        let (text, incomplete) = match text.strip_suffix(":incomplete") {
            Some(text) => (text, true),
            None => (text, false),
        };
        let mut parts = text.split(':').map(|part| part.parse().map_err(|_| NoPlace));
        let mut next = || parts.next().unwrap_or(Err(NoPlace));
        let (from, to, last, highest) = (next()?, next()?, next()?, next()?);
        Ok(Place { from, to, last, highest, incomplete })
    }
}

impl Place {
    /// Events that have been dealt with may have been deleted: nothing can be built of what is left.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }
}

impl Events {
    /// How writers wake the reader.
    pub fn bell(&self) -> Bell {
        Bell::of(self.own("reader"), &self.schema, &self.owner)
    }

    /// Events are read by their places.
    pub fn is_stream(&self) -> bool {
        matches!(self.order, Order::Stream { .. })
    }

    /// One of our tables, as SQL names it.
    fn own(&self, name: &str) -> String {
        format!("{}.{name}", identifier(&self.schema))
    }

    /// Every event with its number: a query.
    fn numbered(&self) -> String {
        let (table, id) = (self.table.quoted(), identifier(&self.id));
        match self.order {
            Order::Stream { .. } => format!(
                "SELECT e.*, s.id AS {NUMBER} FROM {} s JOIN {table} e ON e.{id} = s.event",
                self.own("events_stream")
            ),
            _ => format!("SELECT e.*, e.{id} AS {NUMBER} FROM {table} e"),
        }
    }

    /// The number of the last event, or one above it, as a query with one row or none.
    pub fn last_number(&self) -> String {
        match self.order {
            Order::Stream { .. } => format!("SELECT last FROM {}", self.own("stream_ids")),
            _ => format!(
                "SELECT GREATEST((SELECT pg_catalog.pg_sequence_last_value(s.oid) FROM ({}) s), (SELECT max({}) FROM {}))",
                self.sequence(),
                identifier(&self.id),
                self.table.quoted()
            ),
        }
    }

    /// The last number that was drawn, which never falls, as a query; no row where nobody knows.
    fn last_drawn(&self) -> String {
        match self.order {
            Order::Stream { .. } => self.last_number(),
            _ => format!(
                "SELECT GREATEST(pg_catalog.pg_sequence_last_value(s.oid), (SELECT max({}) FROM {})) FROM ({}) s",
                identifier(&self.id),
                self.table.quoted(),
                self.sequence()
            ),
        }
    }

    /// The sequence that the ids come from, as a query with one row or none.
    fn sequence(&self) -> String {
        format!(
            "SELECT s.oid FROM pg_catalog.pg_attribute a \
               LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum \
               JOIN pg_catalog.pg_depend d ON \
                 (d.classid = 'pg_catalog.pg_attrdef'::regclass AND d.objid = f.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass) OR \
                 (d.classid = 'pg_catalog.pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum AND d.deptype = 'i') \
               JOIN pg_catalog.pg_class s ON s.relkind = 'S' AND s.oid IN (d.objid, d.refobjid) \
              WHERE a.attrelid = {} AND a.attname = {}",
            self.oid,
            literal(&self.id)
        )
    }
}

/// What the queries call the number of an event.
const NUMBER: &str = "wal2es_event";
/// And whether its key has no document after it.
const DELETES: &str = "wal2es_deletes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written() {
        for incomplete in [false, true] {
            let place = Place { from: 731, to: u64::MAX, last: 9, highest: 10, incomplete };
            assert_eq!(place.to_string().parse::<Place>().unwrap(), place);
        }
        for wrong in ["", "1:2:3", "1:2:3:x", "a:b:c:d"] {
            assert!(wrong.parse::<Place>().is_err(), "{wrong}");
        }
    }
}
