//! Writing ids and documents.

use change::{OldImage, Row, Value};

use super::{KeyColumn, Plan};
use crate::error::DocumentError;
use crate::escape::utf8;
use crate::{Scratch, id};

impl Plan {
    /// Appends the `_id` of `row`, not escaped: for the action line of a bulk request pass it through
    /// [`write_json_string`](crate::write_json_string). A key image of a delete will do for a row. The id is UTF-8, 1 to
    /// [`MAX_ID_BYTES`](crate::MAX_ID_BYTES) long.
    ///
    /// # Errors
    /// When a key column is NULL, was not sent, or is not UTF-8. `out` is then as it was.
    pub fn write_id(&self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), DocumentError> {
        self.write_new_id(row, OldImage::Absent, out)
    }

    /// As [`write_id`](Plan::write_id), of the row that an update made: a key column that Postgres did not send, because
    /// it is large and the update left it alone, is taken from the image before it.
    ///
    /// # Errors
    /// As [`write_id`](Plan::write_id).
    pub fn write_new_id(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        let start = out.len();
        self.append_id(new, old, out).inspect_err(|_| out.truncate(start))
    }

    fn append_id(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        self.check_width(new)?;
        if let [column] = self.key.as_slice() {
            id::write_single(key_text(column, new, old)?, out);
            return Ok(());
        }
        let start = out.len();
        for (place, column) in self.key.iter().enumerate() {
            id::write_element(place == 0, key_text(column, new, old)?.as_bytes(), out);
        }
        out.push(b']');
        id::shorten(start, out);
        Ok(())
    }

    /// True when both rows have the same `_id`: their key columns have the same bytes. One that was not sent in either
    /// counts as the same, as it is Postgres' word that the update left it alone.
    pub fn same_id(&self, a: &Row<'_>, b: &Row<'_>) -> bool {
        self.key.iter().all(|column| match (a.get(column.index), b.get(column.index)) {
            (Value::Unchanged, _) | (_, Value::Unchanged) => true,
            (a, b) => a == b,
        })
    }

    /// Appends the document of the row `new`: one JSON object, in one line. Values that an update did not send are
    /// taken from `old`: any from a full image, those of the replica identity from a key image.
    ///
    /// # Errors
    /// [`DocumentError::Unchanged`] when a value is in neither row; else the row has something that Postgres does not
    /// print. `out` is then as it was.
    pub fn write_source(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        let start = out.len();
        self.append_source(new, old, scratch, out).inspect_err(|_| out.truncate(start))
    }

    fn append_source(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        self.check_width(new)?;
        for field in &self.fields {
            out.extend_from_slice(&field.prefix);
            let value = match new.get(field.index) {
                Value::Unchanged => earlier(field.index, field.in_identity, old),
                sent => sent,
            };
            match value {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Text(text) => {
                    field
                        .writer
                        .write(text, scratch, out)
                        .map_err(|error| error.of(&field.name))?;
                }
                Value::Unchanged => return Err(unchanged(&field.name)),
            }
        }
        out.extend_from_slice(if self.fields.is_empty() { b"{}" } else { b"}" });
        Ok(())
    }

    /// A row of another width is of another shape of the table, and its columns would be mistaken.
    fn check_width(&self, row: &Row<'_>) -> Result<(), DocumentError> {
        if row.len() == self.width {
            return Ok(());
        }
        Err(DocumentError::Width { expected: self.width, found: row.len() })
    }
}

fn key_text<'a>(
    column: &KeyColumn,
    new: &Row<'a>,
    old: OldImage<'a>,
) -> Result<&'a str, DocumentError> {
    let value = match new.get(column.index) {
        Value::Unchanged => earlier(column.index, true, old),
        sent => sent,
    };
    match value {
        Value::Text(text) => utf8(text).map_err(|error| error.of(&column.name)),
        Value::Null => Err(DocumentError::NullKey { column: column.name.clone() }),
        Value::Unchanged => Err(unchanged(&column.name)),
    }
}

/// The value before the update, or [`Value::Unchanged`] where it is not known. In a key image NULL means that the
/// column is not part of it.
fn earlier<'a>(index: usize, in_identity: bool, old: OldImage<'a>) -> Value<'a> {
    match old {
        OldImage::Full(row) => row.get(index),
        OldImage::Key(row) if in_identity => match row.get(index) {
            Value::Null => Value::Unchanged,
            value => value,
        },
        OldImage::Key(_) | OldImage::Absent => Value::Unchanged,
    }
}

#[cold]
fn unchanged(column: &str) -> DocumentError {
    DocumentError::Unchanged { column: column.to_owned() }
}
