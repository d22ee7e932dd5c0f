//! What a message within a transaction says, whether the transaction is sent or read again.

use change::{Cell, OldImage, Row, RowChange, RowOp, TableName};

use super::known::Known;
use super::update::OldKind;
use super::{delete, insert, logical_message, relation, truncate, update};
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};
use crate::{Event, Truncate, TruncatedTable};

/// The relations, and two tables of cells that every row reuses, so that a row costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) known: Known,
    old: Vec<Cell>,
    new: Vec<Cell>,
}

impl Changes {
    /// Reads `message` of the kind I, U or D, of which `cursor` has read what stands before the OID.
    #[inline]
    pub(super) fn row<'s>(
        &'s mut self,
        tag: u8,
        mut cursor: Cursor<'s>,
        message: &'s [u8],
    ) -> Result<Event<'s>, DecodeError> {
        let at = cursor.position();
        let Changes { known, old, new } = self;
        let read = match tag {
            b'I' => insert::read(&mut cursor, new).map(|oid| (oid, OldKind::Absent)),
            b'U' => update::read(&mut cursor, old, new),
            _ => delete::read(&mut cursor, old),
        };
        let (oid, kind) = match read.and_then(|read| cursor.end().map(|()| read)) {
            Ok(read) => read,
            Err(error) => return Err(error.about(named(message, at, known))),
        };
        let Some(relation) = known.get(oid) else {
            return Err(cursor.error_at(at, Fault::UnknownRelation(oid)));
        };
        let row = |cells: &'s [Cell]| {
            let (want, got) = (relation.columns.len(), cells.len());
            if want == got {
                return Ok(Row::new(message, cells));
            }
            let error = cursor.error_at(at + 4, Fault::ColumnCount { want, got });
            Err(error.about(Some(&relation.name)))
        };
        let old = match kind {
            OldKind::Absent => OldImage::Absent,
            OldKind::Key => OldImage::Key(row(old)?),
            OldKind::Full => OldImage::Full(row(old)?),
        };
        let change = match tag {
            b'I' => RowChange::Insert { new: row(new)? },
            b'U' => RowChange::Update { old, new: row(new)? },
            _ => RowChange::Delete { old },
        };
        Ok(Event::Row(RowOp { relation: relation.number, change }, relation))
    }

    /// Reads a Relation, from its OID on.
    pub(super) fn relation<'s>(
        &'s mut self,
        mut cursor: Cursor<'s>,
    ) -> Result<Event<'s>, DecodeError> {
        let relation = relation::read(&mut cursor)?;
        cursor.end()?;
        let described = relation.oid.and_then(|oid| self.known.describe(oid, relation));
        Ok(described.map_or(Event::Nothing, Event::Relation))
    }

    /// Reads a Truncate, from its count on.
    pub(super) fn truncate<'s>(
        &mut self,
        mut cursor: Cursor<'s>,
    ) -> Result<Event<'s>, DecodeError> {
        let (count, options) = truncate::read_head(&mut cursor)?;
        let mut tables = Vec::new();
        for _ in 0..count {
            let at = cursor.position();
            let oid = truncate::read_oid(&mut cursor)?;
            let Some(relation) = self.known.get(oid) else {
                return Err(cursor.error_at(at, Fault::UnknownRelation(oid)));
            };
            tables.push(TruncatedTable { oid: Some(oid), name: relation.name.clone() });
            // Four bytes become two names here, so what can be named again and again would be a lever.
            if tables.len() > self.known.len() {
                return Err(cursor.error_at(at, Fault::OutOfPlace("a table is named twice")));
            }
        }
        cursor.end()?;
        Ok(Event::Truncate(Truncate { tables, options }))
    }
}

/// The table whose OID is at the byte `at` of a message that could not be read, if it is known.
#[cold]
fn named<'k>(message: &[u8], at: usize, known: &'k mut Known) -> Option<&'k TableName> {
    let oid = message.get(at..)?.first_chunk()?;
    known.get(u32::from_be_bytes(*oid)).map(|relation| &relation.name)
}

/// Reads a Message, from its flags on; where it is transactional it must be `within` a transaction.
pub(super) fn message<'a>(mut cursor: Cursor<'a>, within: bool) -> Result<Event<'a>, DecodeError> {
    let message = logical_message::read(&mut cursor)?;
    cursor.end()?;
    if message.transactional && !within {
        let fault = Fault::OutOfPlace("a transactional message outside of a transaction");
        return Err(cursor.error_at(0, fault));
    }
    Ok(Event::Message(message))
}

/// Checks a Type, from its OID on.
pub(super) fn ty<'a>(mut cursor: Cursor<'_>) -> Result<Event<'a>, DecodeError> {
    relation::read_type(&mut cursor)?;
    cursor.end()?;
    Ok(Event::Nothing)
}
