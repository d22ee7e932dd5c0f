//! [Truncate](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TRUNCATE).

use change::TruncateOptions;

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// Several tables emptied at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Truncate {
    /// The OIDs of the published ones among them.
    pub relations: Vec<u32>,
    /// What else was said.
    pub options: TruncateOptions,
}

impl Truncate {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let count = cursor.length("the number of relations")?;
        let at = cursor.position();
        let bits = cursor.u8("the options")?;
        if bits & !3 != 0 {
            return Err(
                cursor.error_at(at, Fault::UnknownByte { what: "set of options", byte: bits })
            );
        }
        let options = TruncateOptions { cascade: bits & 1 != 0, restart_identity: bits & 2 != 0 };
        // Collected without reserving: the count is only a claim until the OIDs are there.
        let mut relations = Vec::new();
        for _ in 0..count {
            relations.push(cursor.u32("a relation's OID")?);
        }
        Ok(Truncate { relations, options })
    }
}
