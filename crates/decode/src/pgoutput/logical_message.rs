//! [Message](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-MESSAGE):
//! what an application wrote with `pg_logical_emit_message`.

use change::Lsn;

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// A message of an application; never a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogicalMessage<'a> {
    /// Part of the transaction that is open, rather than of none.
    pub transactional: bool,
    /// Where it lies in the log.
    pub lsn: Lsn,
    /// Whose it is.
    pub prefix: &'a str,
    /// What it says.
    pub content: &'a [u8],
}

impl<'a> LogicalMessage<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, DecodeError> {
        let at = cursor.position();
        let transactional = match cursor.u8("the flags")? {
            0 => false,
            1 => true,
            byte => {
                return Err(cursor.error_at(at, Fault::UnknownByte { what: "message flag", byte }));
            }
        };
        let lsn = cursor.lsn("the LSN")?;
        let prefix = cursor.string("the prefix")?;
        let len = cursor.length("the content")?;
        Ok(LogicalMessage { transactional, lsn, prefix, content: cursor.take(len, "the content")? })
    }
}
