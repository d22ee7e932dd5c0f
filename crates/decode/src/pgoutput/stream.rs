//! Stream Start, Stop, Commit and Abort: what stands around the blocks of a transaction that still runs. Stream Stop
//! has no fields.

use change::Lsn;

use super::transaction;
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};
use crate::{Part, Release};

/// [Stream Start](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-START):
/// the transaction, and whether this is its first block.
pub(super) fn read_start(cursor: &mut Cursor<'_>) -> Result<(u32, bool), DecodeError> {
    let transaction = cursor.xid("the transaction id")?;
    let at = cursor.position();
    match cursor.u8("the first-segment flag")? {
        0 => Ok((transaction, false)),
        1 => Ok((transaction, true)),
        byte => Err(cursor.error_at(at, Fault::UnknownByte { what: "first-segment flag", byte })),
    }
}

/// [Stream Commit](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-COMMIT).
pub(super) fn read_commit(cursor: &mut Cursor<'_>) -> Result<Release, DecodeError> {
    Ok(Release {
        transaction: cursor.xid("the transaction id")?,
        commit: transaction::read_commit(cursor)?,
    })
}

/// [Stream Abort](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-STREAM-ABORT):
/// what is void, and with `parallel` where and when it was aborted. The position is 0/0 for a transaction that a crash
/// of the server ended.
pub(super) fn read_abort(
    cursor: &mut Cursor<'_>,
    parallel: bool,
) -> Result<(Part, Option<(Lsn, i64)>), DecodeError> {
    let part = Part {
        transaction: cursor.xid("the transaction id")?,
        part: cursor.xid("the subtransaction id")?,
    };
    let at = match parallel {
        true => Some((cursor.lsn("the abort LSN")?, cursor.i64("the abort time")?)),
        false => None,
    };
    Ok((part, at))
}
