//! From one message to the next: what may follow what.

use change::Lsn;

use super::changes::{self, Changes};
use super::known::Notes;
use super::streamed::Streamed;
use super::{Protocol, Streaming, logical_message, stream, transaction};
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};
use crate::{Begin, Commit, Event, Part, Release};

/// Reads the messages of one session, in order.
///
/// Holds the relations that the session has described and two tables of cells that every row reuses, so that a row
/// costs no allocation. Made anew for each session: the server describes its relations again and sends streamed
/// transactions that had not committed from their beginning.
///
/// After [`Event::Release`] comes, before the next message of the session, what was kept of that transaction:
/// [`begin_release`](Self::begin_release), [`replay`](Self::replay) for each message, [`end_release`](Self::end_release).
#[derive(Debug)]
pub struct Decoder {
    protocol: Protocol,
    pub(super) state: State,
    pub(super) changes: Changes,
    streamed: Streamed,
    last_commit: Option<Lsn>,
}

/// Where in the stream the decoder is.
#[derive(Debug)]
pub(super) enum State {
    /// Between transactions and blocks.
    Between,
    /// After Begin.
    Open(Begin),
    /// After Stream Start of this transaction.
    Block(u32),
    /// After Stream Commit: what was kept is due.
    Due(Release, Notes),
    /// What was kept is being read again.
    Replay(Release, Notes),
}

impl Decoder {
    /// A decoder at the beginning of a session that was started with the options of `protocol`.
    pub fn new(protocol: Protocol) -> Self {
        Decoder {
            protocol,
            state: State::Between,
            changes: Changes::default(),
            streamed: Streamed::default(),
            last_commit: None,
        }
    }

    /// True while a transaction that is known to be committed is not yet complete, that is between Begin and Commit and
    /// from [`Event::Release`] to [`end_release`](Self::end_release); and within a block of a streamed one.
    pub fn in_transaction(&self) -> bool {
        !matches!(self.state, State::Between)
    }

    /// Reads one message: the payload of one XLogData.
    ///
    /// # Errors
    /// A message that is malformed or out of place. The decoder can't be used any further then.
    pub fn decode<'s>(&'s mut self, message: &'s [u8]) -> Result<Event<'s>, DecodeError> {
        let mut cursor = Cursor::new(message);
        let tag = cursor.u8("the kind of message")?;
        match self.state {
            State::Open(_) if matches!(tag, b'I' | b'U' | b'D') => {
                self.changes.row(tag, cursor, message)
            }
            State::Between | State::Open(_) => self.outside(tag, cursor),
            State::Block(transaction) => self.in_block(transaction, tag, cursor),
            State::Due(..) | State::Replay(..) => {
                out_of_place(&cursor, "the stream goes on before what was kept has been read again")
            }
        }
    }

    /// Everything but rows outside of blocks.
    fn outside<'s>(&'s mut self, tag: u8, cursor: Cursor<'s>) -> Result<Event<'s>, DecodeError> {
        let open = matches!(self.state, State::Open(_));
        match tag {
            b'B' => self.begin(cursor).map(Event::Begin),
            b'C' => self.commit(cursor).map(Event::Commit),
            b'R' => self.changes.relation(cursor),
            b'T' if open => self.changes.truncate(cursor),
            b'I' | b'U' | b'D' | b'T' => out_of_place(&cursor, "a change outside of a transaction"),
            b'M' => changes::message(cursor, open),
            b'O' => origin(cursor),
            b'Y' => changes::ty(cursor),
            b'A' if !open => self.stream_abort(cursor).map(Event::Abort),
            b'S' | b'E' | b'c' | b'A' => {
                self.must_stream(&cursor)?;
                if open {
                    return out_of_place(&cursor, "it comes between Begin and Commit");
                }
                match tag {
                    b'S' => self.stream_start(cursor),
                    b'c' => self.stream_commit(cursor).map(Event::Release),
                    _ => out_of_place(&cursor, "the end of a block that has not begun"),
                }
            }
            _ => Err(unknown(tag, &cursor)),
        }
    }

    /// Between Stream Start and Stream Stop.
    fn in_block<'s>(
        &mut self,
        transaction: u32,
        tag: u8,
        mut cursor: Cursor<'s>,
    ) -> Result<Event<'s>, DecodeError> {
        match tag {
            b'I' | b'U' | b'D' | b'T' | b'R' | b'Y' | b'M' => {
                let part = cursor.xid("the transaction id")?;
                if tag == b'R' {
                    let oid = cursor.u32("the relation's OID")?;
                    let arrived = self.changes.known.arrive();
                    self.streamed.note(transaction, oid, arrived);
                } else if tag == b'M' && !logical_message::read_transactional(&mut cursor)? {
                    return out_of_place(&cursor, "a message of no transaction within a block");
                }
                Ok(Event::Hold(Part { transaction, part }))
            }
            b'O' => origin(cursor),
            b'E' => {
                cursor.end()?;
                self.state = State::Between;
                Ok(Event::Nothing)
            }
            b'B' | b'C' | b'S' | b'c' | b'A' => {
                out_of_place(&cursor, "it comes within a block of a streamed transaction")
            }
            _ => Err(unknown(tag, &cursor)),
        }
    }

    fn begin(&mut self, mut cursor: Cursor<'_>) -> Result<Begin, DecodeError> {
        if matches!(self.state, State::Open(_)) {
            return out_of_place(&cursor, "a transaction begins within another one");
        }
        let begin = transaction::read_begin(&mut cursor)?;
        cursor.end()?;
        self.must_rise(begin.commit.0, 1, &cursor)?;
        self.state = State::Open(begin);
        Ok(begin)
    }

    fn commit(&mut self, mut cursor: Cursor<'_>) -> Result<Commit, DecodeError> {
        let State::Open(begin) = self.state else {
            return out_of_place(&cursor, "a commit without a transaction");
        };
        let commit = transaction::read_commit(&mut cursor)?;
        cursor.end()?;
        if commit.commit != begin.commit {
            let (want, got) = (begin.commit.0, commit.commit.0);
            return Err(cursor.error_at(2, Fault::OtherCommit { want, got }));
        }
        must_end(&commit, 10, &cursor)?;
        self.state = State::Between;
        self.last_commit = Some(begin.commit.0);
        Ok(commit)
    }

    fn stream_start<'s>(&mut self, mut cursor: Cursor<'_>) -> Result<Event<'s>, DecodeError> {
        let (xid, first) = stream::read_start(&mut cursor)?;
        cursor.end()?;
        self.streamed
            .start(xid, first)
            .map_err(|what| cursor.error_at(5, Fault::Transaction { xid, what }))?;
        self.state = State::Block(xid);
        Ok(Event::Nothing)
    }

    fn stream_commit(&mut self, mut cursor: Cursor<'_>) -> Result<Release, DecodeError> {
        let release = stream::read_commit(&mut cursor)?;
        cursor.end()?;
        self.must_rise(release.commit.commit.0, 6, &cursor)?;
        must_end(&release.commit, 14, &cursor)?;
        let notes = self.streamed.close(release.transaction);
        let notes = notes.ok_or_else(|| never_streamed(release.transaction, &cursor))?;
        self.last_commit = Some(release.commit.commit.0);
        self.state = State::Due(release, notes);
        Ok(release)
    }

    fn stream_abort(&mut self, mut cursor: Cursor<'_>) -> Result<Part, DecodeError> {
        let parallel = self.protocol.streaming() == Streaming::Parallel;
        let (part, _) = stream::read_abort(&mut cursor, parallel)?;
        cursor.end()?;
        // Of what was never sent as well: all changes of the part may have been of tables that are not published, and
        // Postgres 18 tells, even without streaming, of what it threw away unsent because it had been rolled back by the
        // time that it was too large for memory.
        if part.is_whole() {
            self.streamed.close(part.transaction);
        } else {
            self.streamed.forget_notes(part.transaction);
        }
        Ok(part)
    }

    fn must_stream(&self, cursor: &Cursor<'_>) -> Result<(), DecodeError> {
        match self.protocol.streaming() {
            Streaming::Off => {
                Err(cursor.error_at(0, Fault::NotAskedFor("a transaction in progress")))
            }
            Streaming::On | Streaming::Parallel => Ok(()),
        }
    }

    /// Commits come in their order in the log, of both kinds of transactions together.
    fn must_rise(&self, got: Lsn, at: usize, cursor: &Cursor<'_>) -> Result<(), DecodeError> {
        match self.last_commit.filter(|last| *last >= got) {
            None => Ok(()),
            Some(last) => Err(cursor.error_at(at, Fault::CommitOrder { last, got })),
        }
    }
}

/// The end, which is what will be confirmed, lies behind the start.
fn must_end(commit: &Commit, at: usize, cursor: &Cursor<'_>) -> Result<(), DecodeError> {
    if commit.end > commit.commit.0 {
        return Ok(());
    }
    Err(cursor.error_at(at, Fault::CommitEnd(commit.end)))
}

#[cold]
pub(super) fn out_of_place<T>(cursor: &Cursor<'_>, what: &'static str) -> Result<T, DecodeError> {
    Err(cursor.error_at(0, Fault::OutOfPlace(what)))
}

/// The error of a message that no state of the stream allows.
#[cold]
pub(super) fn unknown(tag: u8, cursor: &Cursor<'_>) -> DecodeError {
    let fault = match tag {
        b'b' | b'P' | b'K' | b'r' | b'p' => Fault::NotAskedFor("a prepared transaction"),
        byte => Fault::UnknownMessage(byte),
    };
    cursor.error_at(0, fault)
}

#[cold]
fn never_streamed(xid: u32, cursor: &Cursor<'_>) -> DecodeError {
    cursor.error_at(1, Fault::Transaction { xid, what: "was never streamed" })
}

fn origin<'a>(mut cursor: Cursor<'_>) -> Result<Event<'a>, DecodeError> {
    transaction::read_origin(&mut cursor)?;
    cursor.end()?;
    Ok(Event::Nothing)
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "stream_tests.rs"]
mod stream_tests;
