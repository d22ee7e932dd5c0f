//! From one line to the next: what may follow what, and which commit is after which.

use change::{CommitLsn, Lsn};

use super::line::{Kind, error_at};
use super::row::Rows;
use super::{message, transaction};
use crate::error::{DecodeError, Fault};
use crate::event::{Begin, Commit, Event, Part, Release};

/// Reads the lines of one session, in order.
///
/// Holds what the lines so far have told of tables, and memory that every row reuses, so that a row costs no
/// allocation. Made anew for each session.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The id of the transaction that is coming in, 0 if its BEGIN told none.
    open: Option<u32>,
    /// The transaction whose held lines are being replayed.
    releasing: Option<Release>,
    /// Where the last commit ended.
    last_end: Option<Lsn>,
    rows: Rows,
}

impl Decoder {
    /// A decoder at the beginning of a session.
    pub fn new() -> Self {
        Self::default()
    }

    /// True between BEGIN and COMMIT, and while a transaction is being released.
    pub fn in_transaction(&self) -> bool {
        self.open.is_some() || self.releasing.is_some()
    }

    /// Reads one line: the payload of one XLogData, which said that it is at `lsn`; for COMMIT that is the end of the
    /// commit record.
    ///
    /// What happened in a transaction is only looked at as far as it takes to know what to do with it.
    ///
    /// # Errors
    /// A line that is malformed or out of place, or that was not asked for. The decoder can't be used any further then.
    #[inline]
    pub fn decode<'s>(&'s mut self, lsn: Lsn, message: &'s [u8]) -> Result<Event<'s>, DecodeError> {
        let out_of_place = |why| Err(error_at(message, 0, Fault::OutOfPlace(why)));
        if self.releasing.is_some() {
            return out_of_place("a line from the server before a transaction is released");
        }
        match (Kind::of(message)?, self.open) {
            (Kind::Table | Kind::Message { transactional: true }, Some(xid)) => {
                Ok(Event::Hold(Part { transaction: xid, part: xid }))
            }
            (Kind::Table, None) => out_of_place("a change outside of a transaction"),
            (Kind::Message { .. }, _) => message::read(message, lsn).map(Event::Message),
            (Kind::Begin, None) => {
                self.open = Some(transaction::begin(message)?.unwrap_or(0));
                Ok(Event::Nothing)
            }
            (Kind::Begin, Some(_)) => out_of_place("a transaction begins within another one"),
            (Kind::Commit, Some(xid)) => self.commit(xid, lsn, message).map(Event::Release),
            (Kind::Commit, None) => out_of_place("a commit without a transaction"),
            // Postgres 18 tells it even where transactions in progress were not asked for.
            (Kind::Aborted, None) => Ok(Event::Nothing),
            (Kind::Aborted, Some(_)) => out_of_place("a rollback within a committed transaction"),
            (Kind::InProgress, _) => not_asked_for(message, "a transaction in progress"),
            (Kind::Prepared, _) => not_asked_for(message, "a prepared transaction"),
        }
    }

    fn commit(&mut self, open: u32, end: Lsn, message: &[u8]) -> Result<Release, DecodeError> {
        let line = transaction::commit(message)?;
        if line.xid.is_some_and(|xid| xid != open) {
            let fault =
                Fault::OutOfPlace("a commit of another transaction than the one that is open");
            return Err(error_at(message, 0, fault));
        }
        if end.get() < 16 || !end.get().is_multiple_of(8) {
            return Err(error_at(message, 0, Fault::CommitEnd(end)));
        }
        if let Some(last) = self.last_end.filter(|last| *last >= end) {
            return Err(error_at(message, 0, Fault::CommitOrder { last, got: end }));
        }
        self.open = None;
        self.last_end = Some(end);
        // Within the commit record, see the module.
        let commit = CommitLsn(Lsn::new(end.get() - 8));
        let committed_at = line.at.unwrap_or(0);
        Ok(Release { transaction: open, commit: Commit { commit, end, committed_at } })
    }

    /// Begins to replay what was held of a transaction.
    ///
    /// # Errors
    /// Another one is open or being released.
    pub fn begin_release(&mut self, release: &Release) -> Result<Begin, DecodeError> {
        if self.in_transaction() {
            return Err(out_of_order("a release within another transaction"));
        }
        self.releasing = Some(*release);
        let Commit { commit, committed_at, .. } = release.commit;
        Ok(Begin { commit, committed_at, xid: release.transaction })
    }

    /// Reads a line that was held, in the order in which they came.
    ///
    /// # Errors
    /// A line that is malformed, or of a kind that is never held; or nothing is being released.
    #[inline]
    pub fn replay<'s>(&'s mut self, message: &'s [u8]) -> Result<Event<'s>, DecodeError> {
        let Some(release) = &self.releasing else {
            return Err(error_at(message, 0, Fault::OutOfPlace("a held line without its release")));
        };
        match Kind::of(message)? {
            Kind::Table => self.rows.read(message),
            Kind::Message { .. } => message::read(message, release.commit.end).map(Event::Message),
            _ => Err(error_at(message, 0, Fault::OutOfPlace("no line that is ever held"))),
        }
    }

    /// All that was held has been replayed.
    ///
    /// # Errors
    /// Nothing is being released.
    pub fn end_release(&mut self) -> Result<Commit, DecodeError> {
        let release = self.releasing.take();
        release.map(|release| release.commit).ok_or_else(|| out_of_order("the end of no release"))
    }
}

fn not_asked_for<T>(message: &[u8], what: &'static str) -> Result<T, DecodeError> {
    Err(error_at(message, 0, Fault::NotAskedFor(what)))
}

fn out_of_order(why: &'static str) -> DecodeError {
    error_at(b"", 0, Fault::OutOfPlace(why))
}
