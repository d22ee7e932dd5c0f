//! Changes from tables instead of from the log, for databases that can't have `wal_level = logical`.
//!
//! [`Queue`] is the trigger queue: a trigger writes the key of every changed row into a table, within the transaction that
//! changes it; a [`Consumer`] takes the entries, reads the rows as they are then, and deletes the entries when the index has
//! them. What must hold, and why it does:
//!
//! - *An entry is there exactly when its change is.* Both are of one transaction.
//! - *The row is not older than its entry.* It is read by a later statement, so by a later snapshot, than the entry was seen.
//! - *The last entry of a key has the greatest id.* Its id is drawn by the trigger after the statement has taken the lock of
//!   the row, or of its unique key, which it keeps until its transaction has ended: so who changes the key next draws later.
//!   This needs a primary key that is not deferrable, and a sequence that hands out ids one by one.
//! - *So the version of a document is the greatest id that was seen of its key.* A conflict means that the index has
//!   something that was read with an entry at least as late. If the row has changed since it was read, that change has an
//!   entry of its own, which is not deleted yet.
//! - *Nothing is lost by a crash.* Entries are deleted only when every operation has a definite good outcome; whoever comes
//!   next reads the same entries again and writes the same, or something newer.
//! - *One consumer at a time.* It holds an advisory lock with its session; others wait to take over. A request of one that
//!   was cut off may still be on its way, with versions that are not above those of the next.
//! - *Nothing is shown that a crash of Postgres takes back.* With `synchronous_commit = off` a row can be read before it is
//!   on disk, so nothing is sent before the log is flushed beyond what was read.
//!
//! TRUNCATE locks out every writer of its table, so its entry has an id above all before and below all after. Of a partition
//! that is truncated alone nobody knows what was in it, unless the whole table was truncated too and neither has been taken
//! yet: then every row of before is gone, and every one since has an entry that has not been taken either.
//!
//! [`events`] is for a table that an application itself adds events to: see there.

mod bell;
mod consumer;
mod error;
pub mod events;
mod queue;
mod session;

pub use bell::Bell;
pub use consumer::{Consumer, Document, Entry, Taken, What};
pub use error::{Error, Result};
pub use queue::{COPIED, Captured, Installed, Queue};
pub use session::{Process, Session};
