//! [Truncate](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TRUNCATE):
//! several tables emptied at once.

use change::TruncateOptions;

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// Reads everything before the OIDs: how many follow, by [`read_oid`], and the options. The count is only a claim
/// until the OIDs are there: nothing may be reserved for it.
pub(super) fn read_head(cursor: &mut Cursor<'_>) -> Result<(usize, TruncateOptions), DecodeError> {
    let count = cursor.length("the number of relations")?;
    let at = cursor.position();
    match cursor.u8("the options")? {
        byte @ 0..=3 => {
            let options =
                TruncateOptions { cascade: byte & 1 != 0, restart_identity: byte & 2 != 0 };
            Ok((count, options))
        }
        byte => Err(cursor.error_at(at, Fault::UnknownByte { what: "set of options", byte })),
    }
}

/// Reads the OID of one emptied table.
pub(super) fn read_oid(cursor: &mut Cursor<'_>) -> Result<u32, DecodeError> {
    cursor.u32("a relation's OID")
}
