//! Begin, Commit and Origin: what stands around the rows of a transaction.

use change::{CommitLsn, Lsn};

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// [Begin](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-BEGIN).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Begin {
    /// Where the commit record of this transaction starts.
    pub commit: CommitLsn,
    /// When it committed, in microseconds since 2000-01-01 UTC, by the server's clock.
    pub committed_at: i64,
    /// Its transaction id.
    pub xid: u32,
}

impl Begin {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        Ok(Begin {
            commit: CommitLsn(cursor.lsn("the final LSN")?),
            committed_at: cursor.i64("the commit time")?,
            xid: cursor.u32("the transaction id")?,
        })
    }
}

/// [Commit](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-COMMIT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Where the commit record starts, as Begin said.
    pub commit: CommitLsn,
    /// Where it ends: what is confirmed once the transaction is durable elsewhere.
    pub end: Lsn,
    /// As in [`Begin::committed_at`].
    pub committed_at: i64,
}

impl Commit {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
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
}

/// Checks an [Origin](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-ORIGIN),
/// which says that the transaction came from another server. It makes no difference to a document.
pub(crate) fn read_origin(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    cursor.lsn("the origin's commit LSN")?;
    cursor.string("the origin's name")?;
    Ok(())
}
