//! From one message to the next: which relations are known, and what may follow what.

use std::collections::HashMap;

use change::{Cell, Lsn, OldImage, Row, RowChange, RowOp};

use super::update::OldKind;
use super::{Begin, Commit, LogicalMessage, Relation, Truncate};
use super::{delete, insert, relation, transaction, update};
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// One step of the stream.
#[derive(Debug)]
pub enum Event<'a> {
    /// A transaction begins; it is committed already.
    Begin(Begin),
    /// A table is described, for the first time or anew.
    Relation(&'a Relation),
    /// A row changed.
    Row(RowOp<'a>),
    /// Tables were emptied.
    Truncate(Truncate),
    /// The transaction is complete.
    Commit(Commit),
    /// An application's own message.
    Message(LogicalMessage<'a>),
    /// Something that makes no difference to rows: Origin, Type.
    Nothing,
}

/// Reads the messages of one session, in order.
///
/// Holds the relations that the session has described and two tables of cells that every row reuses, so that a row
/// costs no allocation. Made anew for each session: the server describes its relations again.
#[derive(Default)]
pub struct Decoder {
    relations: HashMap<u32, Relation>,
    /// The relation of the row before, which is nearly always that of the next.
    recent: Option<(u32, usize)>,
    open: Option<Begin>,
    last_commit: Option<Lsn>,
    old: Vec<Cell>,
    new: Vec<Cell>,
}

impl Decoder {
    /// A decoder at the beginning of a session.
    pub fn new() -> Self {
        Self::default()
    }

    /// True between Begin and Commit.
    pub fn in_transaction(&self) -> bool {
        self.open.is_some()
    }

    /// What the session has said about the relation `oid`.
    pub fn relation(&self, oid: u32) -> Option<&Relation> {
        self.relations.get(&oid)
    }

    /// Reads one message: the payload of one XLogData.
    ///
    /// # Errors
    /// A message that is malformed or out of place. The decoder can't be used any further then.
    pub fn decode<'s>(&'s mut self, message: &'s [u8]) -> Result<Event<'s>, DecodeError> {
        let mut cursor = Cursor::new(message);
        let tag = cursor.u8("the kind of message")?;
        match tag {
            b'I' | b'U' | b'D' => self.row(tag, cursor, message),
            _ => self.other(tag, cursor),
        }
    }

    #[inline]
    fn row<'s>(
        &'s mut self,
        tag: u8,
        mut cursor: Cursor<'s>,
        message: &'s [u8],
    ) -> Result<Event<'s>, DecodeError> {
        self.must_be_open(&cursor)?;
        let (relation, kind) = match tag {
            b'I' => (insert::read(&mut cursor, &mut self.new)?, OldKind::Absent),
            b'U' => update::read(&mut cursor, &mut self.old, &mut self.new)?,
            _ => delete::read(&mut cursor, &mut self.old)?,
        };
        cursor.end()?;
        let want = self.columns(relation, &cursor)?;
        if tag != b'D' {
            self.must_fit(relation, want, self.new.len(), &cursor)?;
        }
        let old = match kind {
            OldKind::Absent => OldImage::Absent,
            OldKind::Key | OldKind::Full => {
                self.must_fit(relation, want, self.old.len(), &cursor)?;
                let row = Row::new(message, &self.old);
                if kind == OldKind::Key { OldImage::Key(row) } else { OldImage::Full(row) }
            }
        };
        let change = match tag {
            b'I' => RowChange::Insert { new: Row::new(message, &self.new) },
            b'U' => RowChange::Update { old, new: Row::new(message, &self.new) },
            _ => RowChange::Delete { old },
        };
        Ok(Event::Row(RowOp { relation, change }))
    }

    fn other<'s>(&'s mut self, tag: u8, mut cursor: Cursor<'s>) -> Result<Event<'s>, DecodeError> {
        let event = match tag {
            b'B' => Event::Begin(self.begin(&mut cursor)?),
            b'C' => Event::Commit(self.commit(&mut cursor)?),
            b'R' => {
                let relation = Relation::read(&mut cursor)?;
                cursor.end()?;
                let oid = relation.oid;
                self.recent = None;
                self.relations.insert(oid, relation);
                let known = self.relations.get(&oid);
                return Ok(known.map_or(Event::Nothing, Event::Relation));
            }
            b'T' => {
                self.must_be_open(&cursor)?;
                Event::Truncate(Truncate::read(&mut cursor)?)
            }
            b'M' => Event::Message(LogicalMessage::read(&mut cursor)?),
            b'O' => {
                transaction::read_origin(&mut cursor)?;
                Event::Nothing
            }
            b'Y' => {
                relation::read_type(&mut cursor)?;
                Event::Nothing
            }
            b'S' | b'E' | b'c' | b'A' => {
                return Err(cursor.error_at(0, Fault::NotAskedFor("a transaction in progress")));
            }
            b'b' | b'P' | b'K' | b'r' | b'p' => {
                return Err(cursor.error_at(0, Fault::NotAskedFor("a prepared transaction")));
            }
            byte => return Err(cursor.error_at(0, Fault::UnknownMessage(byte))),
        };
        cursor.end()?;
        Ok(event)
    }

    fn begin(&mut self, cursor: &mut Cursor<'_>) -> Result<Begin, DecodeError> {
        if self.open.is_some() {
            let fault = Fault::OutOfPlace("a transaction begins within another one");
            return Err(cursor.error_at(0, fault));
        }
        let begin = Begin::read(cursor)?;
        let got = begin.commit.0;
        if let Some(last) = self.last_commit.filter(|last| *last >= got) {
            return Err(cursor.error_at(1, Fault::CommitOrder { last, got }));
        }
        self.open = Some(begin);
        Ok(begin)
    }

    fn commit(&mut self, cursor: &mut Cursor<'_>) -> Result<Commit, DecodeError> {
        let Some(begin) = self.open.take() else {
            let fault = Fault::OutOfPlace("a commit without a transaction");
            return Err(cursor.error_at(0, fault));
        };
        let commit = Commit::read(cursor)?;
        if commit.commit != begin.commit {
            let (want, got) = (begin.commit.0, commit.commit.0);
            return Err(cursor.error_at(2, Fault::OtherCommit { want, got }));
        }
        self.last_commit = Some(begin.commit.0);
        Ok(commit)
    }

    #[inline]
    fn must_be_open(&self, cursor: &Cursor<'_>) -> Result<(), DecodeError> {
        match self.open {
            Some(_) => Ok(()),
            None => Err(cursor.error_at(0, Fault::OutOfPlace("a change outside of a transaction"))),
        }
    }

    /// How many columns the relation has.
    #[inline]
    fn columns(&mut self, relation: u32, cursor: &Cursor<'_>) -> Result<usize, DecodeError> {
        if let Some((_, columns)) = self.recent.filter(|(recent, _)| *recent == relation) {
            return Ok(columns);
        }
        match self.relations.get(&relation) {
            Some(known) => {
                let columns = known.columns.len();
                self.recent = Some((relation, columns));
                Ok(columns)
            }
            None => Err(cursor.error_at(1, Fault::UnknownRelation(relation))),
        }
    }

    #[inline]
    fn must_fit(
        &self,
        relation: u32,
        want: usize,
        got: usize,
        cursor: &Cursor<'_>,
    ) -> Result<(), DecodeError> {
        if want == got {
            return Ok(());
        }
        let relation = match self.relations.get(&relation) {
            Some(known) => known.name.to_string(),
            None => relation.to_string(),
        };
        Err(cursor.error_at(5, Fault::ColumnCount { relation, want, got }))
    }
}

#[cfg(test)]
#[path = "decoder_tests.rs"]
mod tests;
