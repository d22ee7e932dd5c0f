//! What the stream is made of.
//!
//! [The messages](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-XLOGDATA) are
//! read one by one from the bytes that they came in, when the consumer asks for them.

use std::fmt;

use bytes::Bytes;
use change::Lsn;

use crate::error::{Error, Result};
use crate::frame::{Bodies, HEADER};

/// Some messages of the stream, at least one; it owns their bytes, which no copy was made of.
#[derive(Clone)]
pub struct Chunk {
    frames: Bytes,
    /// Of the first byte, on the connection.
    position: u64,
}

impl Chunk {
    pub(super) fn new(frames: Bytes, position: u64) -> Self {
        Chunk { frames, position }
    }

    /// The messages, in order. It ends after the first error.
    pub fn messages(&self) -> Messages<'_> {
        Messages {
            bodies: Bodies::new(&self.frames),
            end: self.position + self.frames.len() as u64,
        }
    }

    /// Bytes on the wire.
    pub fn size(&self) -> usize {
        self.frames.len()
    }
}

/// Without the bytes: there are rows in them.
impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chunk").field("size", &self.size()).finish_non_exhaustive()
    }
}

/// One message of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message<'a> {
    /// XLogData: one message of the output plugin.
    WalData {
        /// The position that the plugin gave the message; 0/0 where it has none of its own.
        start: Lsn,
        /// The server's idea of the end of WAL at that time.
        end: Lsn,
        /// When it was sent, by the server's clock: microseconds since 2000-01-01 UTC.
        sent_at: i64,
        /// What the plugin wrote.
        payload: &'a [u8],
    },
    /// Nothing before `wal_end` is still to come.
    Keepalive {
        /// How far the server has sent.
        wal_end: Lsn,
        /// Whether the server wants an answer; the [`Pump`](crate::Pump) has given it.
        reply_requested: bool,
    },
}

/// The messages of a [`Chunk`].
#[derive(Debug, Clone)]
pub struct Messages<'a> {
    bodies: Bodies<'a>,
    /// Position behind the last message.
    end: u64,
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let position = self.end - self.bodies.remaining() as u64 + HEADER as u64;
        let body = self.bodies.next()?;
        let message = parse(body, position);
        if message.is_err() {
            self.bodies = Bodies::new(&[]);
        }
        Some(message)
    }
}

/// Reads one message; `position` is that of its first byte.
#[inline]
pub(super) fn parse(body: &[u8], position: u64) -> Result<Message<'_>> {
    match body {
        [b'w', rest @ ..] => {
            if let Some((start, rest)) = number(rest)
                && let Some((end, rest)) = number(rest)
                && let Some((sent_at, payload)) = rest.split_first_chunk::<8>()
            {
                return Ok(Message::WalData {
                    start: Lsn::new(start),
                    end: Lsn::new(end),
                    sent_at: i64::from_be_bytes(*sent_at),
                    payload,
                });
            }
        }
        [b'k', rest @ ..] => {
            if let Some((wal_end, rest)) = number(rest)
                && let Some((_sent_at, &[reply @ (0 | 1)])) = rest.split_first_chunk::<8>()
            {
                return Ok(Message::Keepalive {
                    wal_end: Lsn::new(wal_end),
                    reply_requested: reply == 1,
                });
            }
        }
        _ => {}
    }
    Err(malformed(body, position))
}

fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}

#[cold]
fn malformed(body: &[u8], position: u64) -> Error {
    let what = match body.first() {
        None => "an empty message in the replication stream".to_owned(),
        Some(kind @ (b'w' | b'k')) => format!(
            "message {:?} of the replication stream has {} bytes or a field out of range",
            char::from(*kind),
            body.len()
        ),
        Some(byte) => format!(
            "unknown message {:?} (0x{byte:02x}) in the replication stream",
            char::from(*byte)
        ),
    };
    Error::protocol(position, what)
}
