//! Begin, Commit and Origin: what stands around the rows of a transaction.

use change::{CommitLsn, Lsn};

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};
use crate::{Begin, Commit};

/// [Begin](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-BEGIN).
pub(super) fn read_begin(cursor: &mut Cursor<'_>) -> Result<Begin, DecodeError> {
    Ok(Begin {
        commit: CommitLsn(cursor.lsn("the final LSN")?),
        committed_at: cursor.i64("the commit time")?,
        xid: cursor.u32("the transaction id")?,
    })
}

/// [Commit](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-COMMIT),
/// and the end of a Stream Commit.
pub(super) fn read_commit(cursor: &mut Cursor<'_>) -> Result<Commit, DecodeError> {
    let at = cursor.position();
    match cursor.u8("the flags")? {
        0 => {}
        byte => {
            return Err(cursor.error_at(at, Fault::UnknownByte { what: "commit flag", byte }));
        }
    }
    Ok(Commit {
        commit: CommitLsn(cursor.lsn("the commit LSN")?),
        end: cursor.lsn("the end LSN")?,
        committed_at: cursor.i64("the commit time")?,
    })
}

/// [Origin](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-ORIGIN):
/// the transaction came from another server, by this name, and committed there at this position. It makes no
/// difference to a document.
pub(super) fn read_origin<'a>(cursor: &mut Cursor<'a>) -> Result<(Lsn, &'a str), DecodeError> {
    Ok((cursor.lsn("the origin's commit LSN")?, cursor.string("the origin's name")?))
}
