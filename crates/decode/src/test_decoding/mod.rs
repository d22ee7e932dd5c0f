//! The plugin [`test_decoding`](https://www.postgresql.org/docs/current/test-decoding.html): lines of text, one per
//! message.
//!
//! The manual does not define them; the plugin's source does, and prints the same from Postgres 14 to 18:
//!
//! ```text
//! BEGIN 725
//! table public.t: INSERT: id[integer]:1 "Na.me"[character varying]:'it''s' big[text]:unchanged-toast-datum x[oid]:null
//! table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 …
//! table public.t: DELETE: id[integer]:2
//! table public.t, public."B c": TRUNCATE: restart_seqs cascade
//! message: transactional: 1 prefix: p, sz: 3 content:abc
//! COMMIT 725 (at 2024-02-29 12:34:56.789012+00)
//! ```
//!
//! **The commit comes last.** Where a transaction commits is told only by the position of its COMMIT, and that is the
//! *end* `E` of the commit record; where the record starts, `C`, is never sent. So each change is
//! [held](crate::Event::Hold), and [released](crate::Event::Release) at `E - 8` in place of `C`: records start and end at
//! multiples of 8 and none is that short, so `E - 8` lies in `[C, E)`. The record before ended at or before `C`, so
//! these positions rise from commit to commit as `C` does, and as it are above every earlier commit's end.
//!
//! **What a line leaves out.** INSERT and UPDATE name every column of the table; an old row only those of the replica
//! identity that are not NULL (of all columns under `REPLICA IDENTITY FULL`), and nothing says which of the two it is. So
//! - old columns get their places from the new row, in a DELETE from the last INSERT or UPDATE of the table if that has
//!   all columns that this one names; else from a [`Relation`](crate::Relation) of the columns that the DELETEs since
//!   then have named, which gives up a column only for another one of its name;
//! - an old row is [`OldImage::Full`](change::OldImage) where it holds a value that the new row calls unchanged, and
//!   else [`OldImage::Key`](change::OldImage). Both happen with a large value in the key too, so in a full image a
//!   column may read as NULL that is only not part of the key: it serves to fill in what is unchanged, and no more.
//!   Unchanged columns that it does not name are unchanged there as well, because a large value is never NULL.
//!
//! **Messages outside of transactions.** With `skip-empty-xacts` Postgres 14 to 16 write no BEGIN for a transactional
//! message, so one can come before the transaction that it is part of, or without any.
//! [`LogicalMessage::lsn`](crate::LogicalMessage) is the end of the commit for a message that was held.
//!
//! **Not asked for.** Of a transaction in progress (`stream-changes`) this plugin writes no rows, only that there are
//! some; and prepared ones come at PREPARE only to slots that were made for it.

mod decoder;
mod deleted;
pub mod encode;
mod line;
mod message;
mod name;
mod row;
mod table;
mod time;
mod transaction;
mod truncate;
mod value;
mod values;

pub use decoder::Decoder;

/// What `START_REPLICATION` has to ask for; Postgres 14 knows all of it.
pub fn options() -> Vec<(&'static str, &'static str)> {
    vec![("include-xids", "1"), ("include-timestamp", "1"), ("skip-empty-xacts", "1")]
}
