//! [Insert](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-INSERT).

use super::tuple::{self, Field};
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// Reads the row into `new` and returns the relation.
#[inline]
pub(super) fn read<'a, F: Field<'a>>(
    cursor: &mut Cursor<'a>,
    new: &mut Vec<F>,
) -> Result<u32, DecodeError> {
    let relation = cursor.u32("the relation's OID")?;
    let at = cursor.position();
    match cursor.u8("the kind of image")? {
        b'N' => tuple::read(cursor, new)?,
        byte => {
            return Err(
                cursor.error_at(at, Fault::UnknownByte { what: "image of an insert", byte })
            );
        }
    }
    Ok(relation)
}
