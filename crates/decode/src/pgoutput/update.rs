//! [Update](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-UPDATE).

use super::tuple::{self, Field};
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// Which image of the row before an update or delete carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum OldKind {
    Absent,
    Key,
    Full,
}

/// Reads the row before into `old`, the row after into `new`, and returns the relation.
#[inline]
pub(super) fn read<'a, F: Field<'a>>(
    cursor: &mut Cursor<'a>,
    old: &mut Vec<F>,
    new: &mut Vec<F>,
) -> Result<(u32, OldKind), DecodeError> {
    let relation = cursor.u32("the relation's OID")?;
    let mut kind = OldKind::Absent;
    loop {
        let at = cursor.position();
        match cursor.u8("the kind of image")? {
            b'N' => {
                tuple::read(cursor, new)?;
                return Ok((relation, kind));
            }
            b'K' if kind == OldKind::Absent => kind = OldKind::Key,
            b'O' if kind == OldKind::Absent => kind = OldKind::Full,
            byte => {
                return Err(
                    cursor.error_at(at, Fault::UnknownByte { what: "image of an update", byte })
                );
            }
        }
        tuple::read(cursor, old)?;
    }
}
