//! [TupleData](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TUPLEDATA):
//! the values of one row.

use change::Cell;

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// Reads one tuple into `cells`, which are cleared first. Their offsets count from the beginning of the message.
#[inline]
pub(crate) fn read(cursor: &mut Cursor<'_>, cells: &mut Vec<Cell>) -> Result<(), DecodeError> {
    cells.clear();
    let count = cursor.count("the number of columns")?;
    for _ in 0..count {
        let at = cursor.position();
        let cell = match cursor.u8("the kind of a value")? {
            b't' => {
                let len = cursor.length("a value")?;
                let start = cursor.position();
                cursor.take(len, "a value")?;
                Cell::text(start, len).ok_or_else(|| {
                    cursor.error_at(at, Fault::Length { what: "a value", length: i64::MAX })
                })?
            }
            b'n' => Cell::NULL,
            b'u' => Cell::UNCHANGED,
            b'b' => return Err(cursor.error_at(at, Fault::NotAskedFor("a value in binary form"))),
            byte => {
                return Err(cursor.error_at(at, Fault::UnknownByte { what: "kind of value", byte }));
            }
        };
        cells.push(cell);
    }
    Ok(())
}
