//! [Message](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-MESSAGE):
//! what an application wrote with `pg_logical_emit_message`.

use crate::LogicalMessage;
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// Reads whether the message is part of a transaction.
pub(super) fn read_transactional(cursor: &mut Cursor<'_>) -> Result<bool, DecodeError> {
    let at = cursor.position();
    match cursor.u8("the flags")? {
        0 => Ok(false),
        1 => Ok(true),
        byte => Err(cursor.error_at(at, Fault::UnknownByte { what: "message flag", byte })),
    }
}

/// Reads the whole message.
pub(super) fn read<'a>(cursor: &mut Cursor<'a>) -> Result<LogicalMessage<'a>, DecodeError> {
    let transactional = read_transactional(cursor)?;
    let lsn = cursor.lsn("the LSN")?;
    let prefix = cursor.string("the prefix")?;
    let len = cursor.length("the content")?;
    Ok(LogicalMessage { transactional, lsn, prefix, content: cursor.take(len, "the content")? })
}
