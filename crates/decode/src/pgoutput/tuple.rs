//! [TupleData](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TUPLEDATA):
//! the values of one row.

use change::{Cell, Value};

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// What a value is read as: its place in the message, for the decoder, or itself.
pub(super) trait Field<'a>: Sized {
    const NULL: Self;
    const UNCHANGED: Self;

    /// The value `text`, which begins at the byte `start` of the message. `None` if it lies too far out.
    fn text(start: usize, text: &'a [u8]) -> Option<Self>;
}

impl Field<'_> for Cell {
    const NULL: Self = Cell::NULL;
    const UNCHANGED: Self = Cell::UNCHANGED;

    #[inline]
    fn text(start: usize, text: &[u8]) -> Option<Self> {
        Cell::text(start, text.len())
    }
}

impl<'a> Field<'a> for Value<'a> {
    const NULL: Self = Value::Null;
    const UNCHANGED: Self = Value::Unchanged;

    fn text(_: usize, text: &'a [u8]) -> Option<Self> {
        Some(Value::Text(text))
    }
}

/// Reads one tuple into `fields`, which are cleared first.
#[inline]
pub(super) fn read<'a, F: Field<'a>>(
    cursor: &mut Cursor<'a>,
    fields: &mut Vec<F>,
) -> Result<(), DecodeError> {
    fields.clear();
    let count = cursor.count("the number of columns")?;
    for _ in 0..count {
        let at = cursor.position();
        let field = match cursor.u8("the kind of a value")? {
            b't' => {
                let len = cursor.length("a value")?;
                let start = cursor.position();
                let text = cursor.take(len, "a value")?;
                F::text(start, text).ok_or_else(|| {
                    cursor.error_at(at, Fault::Length { what: "a value", length: i64::MAX })
                })?
            }
            b'n' => F::NULL,
            b'u' => F::UNCHANGED,
            b'b' => return Err(cursor.error_at(at, Fault::NotAskedFor("a value in binary form"))),
            byte => {
                return Err(cursor.error_at(at, Fault::UnknownByte { what: "kind of value", byte }));
            }
        };
        fields.push(field);
    }
    Ok(())
}
