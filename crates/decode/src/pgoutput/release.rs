//! A streamed transaction that has committed, read again from what was kept of it.

use super::changes;
use super::decoder::{Decoder, State, out_of_place, unknown};
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};
use crate::{Begin, Commit, Event, Release};

impl Decoder {
    /// Begins to read again what was kept of the transaction of `release`, the one that [`Event::Release`] has just
    /// named. Answers the Begin that it would have had if it had come whole.
    ///
    /// # Errors
    /// No such release is due.
    pub fn begin_release(&mut self, release: &Release) -> Result<Begin, DecodeError> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Due(due, notes) if due == *release => {
                self.state = State::Replay(due, notes);
                self.changes.known.begin_replay();
                Ok(Begin {
                    commit: due.commit.commit,
                    committed_at: due.commit.committed_at,
                    xid: due.transaction,
                })
            }
            state => {
                self.state = state;
                Err(not_due())
            }
        }
    }

    /// Reads one message that [`Event::Hold`] said to keep, unchanged; in the order in which they came, those of
    /// aborted parts left out.
    ///
    /// # Errors
    /// A message that is malformed, or no release was begun. The decoder can't be used any further then.
    pub fn replay<'s>(&'s mut self, message: &'s [u8]) -> Result<Event<'s>, DecodeError> {
        let mut cursor = Cursor::new(message);
        let tag = cursor.u8("the kind of message")?;
        if !matches!(self.state, State::Replay(..)) {
            return out_of_place(&cursor, "it is read again without a release");
        }
        if !matches!(tag, b'I' | b'U' | b'D' | b'T' | b'R' | b'Y' | b'M') {
            return match tag {
                b'B' | b'C' | b'O' | b'S' | b'E' | b'c' | b'A' => {
                    out_of_place(&cursor, "it is read again but was not to be kept")
                }
                _ => Err(unknown(tag, &cursor)),
            };
        }
        cursor.xid("the transaction id")?;
        match tag {
            b'T' => self.changes.truncate(cursor),
            b'R' => self.changes.relation(cursor),
            b'Y' => changes::ty(cursor),
            b'M' => changes::message(cursor, true),
            _ => self.changes.row(tag, cursor, message),
        }
    }

    /// All that was kept has been read again. Answers the Commit.
    ///
    /// # Errors
    /// No release was begun.
    pub fn end_release(&mut self) -> Result<Commit, DecodeError> {
        match std::mem::replace(&mut self.state, State::Between) {
            State::Replay(release, notes) => {
                self.changes.known.end_replay(&notes);
                Ok(release.commit)
            }
            state => {
                self.state = state;
                Err(not_due())
            }
        }
    }
}

/// There is no message to blame, so the error has the tag of the one that is missing.
#[cold]
fn not_due() -> DecodeError {
    let fault = Fault::OutOfPlace("no release of this transaction is due");
    DecodeError { tag: b'c', relation: None, position: 0, fault }
}
