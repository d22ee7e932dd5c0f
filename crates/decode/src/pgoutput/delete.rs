//! [Delete](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-DELETE).

use super::tuple::{self, Field};
use super::update::OldKind;
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// Reads the row that is gone into `old` and returns the relation.
#[inline]
pub(super) fn read<'a, F: Field<'a>>(
    cursor: &mut Cursor<'a>,
    old: &mut Vec<F>,
) -> Result<(u32, OldKind), DecodeError> {
    let relation = cursor.u32("the relation's OID")?;
    let at = cursor.position();
    let kind = match cursor.u8("the kind of image")? {
        b'K' => OldKind::Key,
        b'O' => OldKind::Full,
        byte => {
            return Err(cursor.error_at(at, Fault::UnknownByte { what: "image of a delete", byte }));
        }
    };
    tuple::read(cursor, old)?;
    Ok((relation, kind))
}
