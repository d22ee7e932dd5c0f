//! From a [`Message`] to bytes.

use change::{Lsn, ReplicaIdentity, Value};

use super::{Column, Image, Message};
use crate::Commit;

/// A message that has no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A zero byte within a string, where it would end it.
    #[error("a zero byte within {0}")]
    Zero(&'static str),
    /// More than the field that counts it can hold.
    #[error("{what} of {len}, at most {max} can be said")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// How many there are.
        len: usize,
        /// How many there can be.
        max: usize,
    },
    /// The transaction id 0.
    #[error("transaction 0 is none")]
    NoTransaction,
}

impl Message<'_> {
    /// Appends the message to `out`, with `in_block_xid` behind its first byte if it [is part](Self::is_part) of a
    /// transaction; the other messages are the same within a block.
    ///
    /// # Errors
    /// A message that can't be written; `out` is as before then.
    pub fn write(&self, in_block_xid: Option<u32>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let start = out.len();
        let result = self.write_all(in_block_xid, &mut Writer { out });
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    fn write_all(&self, xid: Option<u32>, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        to.u8(self.tag());
        if let Some(xid) = xid.filter(|_| self.is_part()) {
            to.xid(xid)?;
        }
        match self {
            Message::Begin(begin) => {
                to.lsn(begin.commit.0);
                to.i64(begin.committed_at);
                to.u32(begin.xid);
                Ok(())
            }
            Message::Commit(commit) => {
                to.commit(commit);
                Ok(())
            }
            Message::Origin { commit, name } => {
                to.lsn(*commit);
                to.string("the origin's name", name)
            }
            Message::Relation { oid, schema, name, identity, columns } => {
                to.u32(*oid);
                to.string("the schema", schema)?;
                to.string("the table's name", name)?;
                to.u8(identity_byte(*identity));
                to.columns(columns)
            }
            Message::Type { oid, schema, name } => {
                to.u32(*oid);
                to.string("the type's schema", schema)?;
                to.string("the type's name", name)
            }
            Message::Insert { .. } | Message::Update { .. } | Message::Delete { .. } => {
                self.write_row(to)
            }
            Message::Truncate { oids, options } => {
                to.length("the relations", oids.len())?;
                to.u8(u8::from(options.cascade) | u8::from(options.restart_identity) << 1);
                oids.iter().for_each(|oid| to.u32(*oid));
                Ok(())
            }
            Message::Logical(message) => {
                to.u8(u8::from(message.transactional));
                to.lsn(message.lsn);
                to.string("the prefix", message.prefix)?;
                to.length("the content", message.content.len())?;
                to.out.extend_from_slice(message.content);
                Ok(())
            }
            Message::StreamStart { .. }
            | Message::StreamStop
            | Message::StreamCommit(_)
            | Message::StreamAbort { .. } => self.write_stream(to),
        }
    }

    fn write_stream(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        match self {
            Message::StreamStart { transaction, first } => {
                to.xid(*transaction)?;
                to.u8(u8::from(*first));
            }
            Message::StreamCommit(release) => {
                to.xid(release.transaction)?;
                to.commit(&release.commit);
            }
            Message::StreamAbort { part, at } => {
                to.xid(part.transaction)?;
                to.xid(part.part)?;
                if let Some((lsn, aborted_at)) = at {
                    to.lsn(*lsn);
                    to.i64(*aborted_at);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn write_row(&self, to: &mut Writer<'_>) -> Result<(), EncodeError> {
        let (oid, old, new) = match self {
            Message::Insert { oid, new } => (oid, None, Some(new)),
            Message::Update { oid, old, new } => (oid, old.as_ref(), Some(new)),
            Message::Delete { oid, old } => (oid, Some(old), None),
            _ => return Ok(()),
        };
        to.u32(*oid);
        match old {
            None => {}
            Some(Image::Key(values)) => to.tuple(b'K', values)?,
            Some(Image::Full(values)) => to.tuple(b'O', values)?,
        }
        new.map_or(Ok(()), |values| to.tuple(b'N', values))
    }
}

fn identity_byte(identity: ReplicaIdentity) -> u8 {
    match identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Index => b'i',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Nothing => b'n',
    }
}

struct Writer<'o> {
    out: &'o mut Vec<u8>,
}

impl Writer<'_> {
    fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn i64(&mut self, value: i64) {
        self.out.extend_from_slice(&value.to_be_bytes());
    }

    fn lsn(&mut self, value: Lsn) {
        self.out.extend_from_slice(&value.get().to_be_bytes());
    }

    fn xid(&mut self, value: u32) -> Result<(), EncodeError> {
        if value == 0 {
            return Err(EncodeError::NoTransaction);
        }
        self.u32(value);
        Ok(())
    }

    fn string(&mut self, what: &'static str, value: &str) -> Result<(), EncodeError> {
        if value.contains('\0') {
            return Err(EncodeError::Zero(what));
        }
        self.out.extend_from_slice(value.as_bytes());
        self.u8(0);
        Ok(())
    }

    /// A length in 32 bits.
    fn length(&mut self, what: &'static str, len: usize) -> Result<(), EncodeError> {
        let max = i32::MAX;
        let too_many = || EncodeError::TooMany { what, len, max: max.unsigned_abs() as usize };
        let len = i32::try_from(len).map_err(|_| too_many())?;
        self.out.extend_from_slice(&len.to_be_bytes());
        Ok(())
    }

    /// A count in 16 bits.
    fn count(&mut self, what: &'static str, len: usize) -> Result<(), EncodeError> {
        let max = usize::from(i16::MAX.unsigned_abs());
        let len = i16::try_from(len).map_err(|_| EncodeError::TooMany { what, len, max })?;
        self.out.extend_from_slice(&len.to_be_bytes());
        Ok(())
    }

    fn commit(&mut self, commit: &Commit) {
        self.u8(0);
        self.lsn(commit.commit.0);
        self.lsn(commit.end);
        self.i64(commit.committed_at);
    }

    fn columns(&mut self, columns: &[Column<'_>]) -> Result<(), EncodeError> {
        self.count("the columns", columns.len())?;
        for column in columns {
            self.u8(u8::from(column.in_identity));
            self.string("the column's name", column.name)?;
            self.u32(column.type_oid);
            self.out.extend_from_slice(&column.type_modifier.to_be_bytes());
        }
        Ok(())
    }

    fn tuple(&mut self, kind: u8, values: &[Value<'_>]) -> Result<(), EncodeError> {
        self.u8(kind);
        self.count("the columns of a row", values.len())?;
        for value in values {
            match value {
                Value::Null => self.u8(b'n'),
                Value::Unchanged => self.u8(b'u'),
                Value::Text(text) => {
                    self.u8(b't');
                    self.length("a value", text.len())?;
                    self.out.extend_from_slice(text);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_no_bytes_is_refused_and_leaves_none() {
        let mut out = b"before".to_vec();
        let start = Message::StreamStart { transaction: 0, first: true };
        assert_eq!(start.write(None, &mut out), Err(EncodeError::NoTransaction));
        let ty = Message::Type { oid: 1, schema: "a\0", name: "b" };
        let zero = Err(EncodeError::Zero("the type's schema"));
        assert_eq!(ty.write(Some(1), &mut out), zero);
        assert_eq!(ty.write(Some(0), &mut out), Err(EncodeError::NoTransaction));
        let wide = Message::Insert { oid: 1, new: vec![Value::Null; 32_768] };
        let error = wide.write(None, &mut out).unwrap_err();
        let expected = "the columns of a row of 32768, at most 32767 can be said";
        assert_eq!(error.to_string(), expected);
        assert_eq!(out, b"before");
    }
}
