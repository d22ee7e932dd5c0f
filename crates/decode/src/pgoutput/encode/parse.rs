//! From bytes to a [`Message`], with the functions that the decoder reads with.

use change::Value;

use super::super::decoder::unknown;
use super::super::update::OldKind;
use super::super::{
    delete, insert, logical_message, relation, stream, transaction, truncate, update,
};
use super::{Image, Message, carries_xid};
use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

impl<'a> Message<'a> {
    /// Reads one message. Within a block of a streamed transaction (`in_block`) the messages for which
    /// [`is_part`](Self::is_part) holds carry a transaction id, which is answered too. `parallel` tells whether
    /// `streaming 'parallel'` was asked for, which makes a Stream Abort longer.
    ///
    /// # Errors
    /// A message that is malformed, or one of a prepared transaction.
    pub fn parse(
        bytes: &'a [u8],
        in_block: bool,
        parallel: bool,
    ) -> Result<(Option<u32>, Self), DecodeError> {
        let mut cursor = Cursor::new(bytes);
        let tag = cursor.u8("the kind of message")?;
        let xid = match in_block && carries_xid(tag) {
            true => Some(cursor.xid("the transaction id")?),
            false => None,
        };
        let message = match tag {
            b'I' | b'U' | b'D' => row(tag, &mut cursor)?,
            b'R' => relation(&mut cursor)?,
            b'T' => truncate(&mut cursor)?,
            b'S' | b'E' | b'c' | b'A' => stream(tag, &mut cursor, parallel)?,
            _ => other(tag, &mut cursor)?,
        };
        cursor.end()?;
        Ok((xid, message))
    }
}

fn row<'a>(tag: u8, cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    match tag {
        b'I' => Ok(Message::Insert { oid: insert::read(cursor, &mut new)?, new }),
        b'U' => {
            let (oid, kind) = update::read(cursor, &mut old, &mut new)?;
            Ok(Message::Update { oid, old: image(kind, old), new })
        }
        _ => {
            let (oid, kind) = delete::read(cursor, &mut old)?;
            match image(kind, old) {
                Some(old) => Ok(Message::Delete { oid, old }),
                None => Err(cursor.error(Fault::Truncated("the row that is gone"))),
            }
        }
    }
}

fn image(kind: OldKind, values: Vec<Value<'_>>) -> Option<Image<'_>> {
    match kind {
        OldKind::Absent => None,
        OldKind::Key => Some(Image::Key(values)),
        OldKind::Full => Some(Image::Full(values)),
    }
}

fn relation<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    let relation::Head { oid, schema, name, identity, columns } = relation::read_head(cursor)?;
    let columns = (0..columns).map(|_| relation::read_column(cursor)).collect::<Result<_, _>>()?;
    Ok(Message::Relation { oid, schema, name, identity, columns })
}

fn truncate<'a>(cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    let (count, options) = truncate::read_head(cursor)?;
    let oids = (0..count).map(|_| truncate::read_oid(cursor)).collect::<Result<_, _>>()?;
    Ok(Message::Truncate { oids, options })
}

fn stream<'a>(
    tag: u8,
    cursor: &mut Cursor<'a>,
    parallel: bool,
) -> Result<Message<'a>, DecodeError> {
    Ok(match tag {
        b'S' => {
            let (transaction, first) = stream::read_start(cursor)?;
            Message::StreamStart { transaction, first }
        }
        b'c' => Message::StreamCommit(stream::read_commit(cursor)?),
        b'A' => {
            let (part, at) = stream::read_abort(cursor, parallel)?;
            Message::StreamAbort { part, at }
        }
        _ => Message::StreamStop,
    })
}

fn other<'a>(tag: u8, cursor: &mut Cursor<'a>) -> Result<Message<'a>, DecodeError> {
    Ok(match tag {
        b'B' => Message::Begin(transaction::read_begin(cursor)?),
        b'C' => Message::Commit(transaction::read_commit(cursor)?),
        b'M' => Message::Logical(logical_message::read(cursor)?),
        b'O' => {
            let (commit, name) = transaction::read_origin(cursor)?;
            Message::Origin { commit, name }
        }
        b'Y' => {
            let (oid, schema, name) = relation::read_type(cursor)?;
            Message::Type { oid, schema, name }
        }
        _ => return Err(unknown(tag, cursor)),
    })
}
