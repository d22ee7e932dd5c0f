//! `COPY … TO STDOUT`, many rows at a time.
//!
//! [The exchange](https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY). The server puts each row
//! into a CopyData message; we hand them out by the buffer, so that a row costs neither an allocation nor a wake-up.

use std::fmt;

use bytes::Bytes;
use postgres_protocol::message::backend::Message;

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::frame::{self, Bodies};
use crate::login::unexpected;
use crate::wire::server_error;

/// Some CopyData messages of a [`CopyOut`], at least one; the memory is shared with no copy made.
#[derive(Clone)]
pub struct CopyChunk {
    frames: Bytes,
}

impl CopyChunk {
    /// The bodies of the messages, in order. Postgres sends one row in each.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> + '_ {
        Bodies::new(&self.frames)
    }

    /// Bytes on the wire: the bodies and five more for each.
    pub fn size(&self) -> usize {
        self.frames.len()
    }
}

/// Without the bytes: there are rows in them.
impl fmt::Debug for CopyChunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyChunk").field("size", &self.size()).finish_non_exhaustive()
    }
}

/// A running `COPY … TO STDOUT`.
///
/// Read it until [`CopyOut::next_chunk`] gives none: only then was the copy whole, and only then can the connection be
/// used again.
#[derive(Debug)]
pub struct CopyOut<'a> {
    connection: &'a mut Connection,
    sql: String,
    /// The server's error, kept until its ReadyForQuery has come.
    failure: Option<Error>,
    done: bool,
}

impl<'a> CopyOut<'a> {
    pub(crate) async fn start(connection: &'a mut Connection, sql: &str) -> Result<Self> {
        connection.start(sql).await?;
        loop {
            match connection.wire.message().await? {
                Message::CopyOutResponse(_) => {
                    connection.wire.pace_reads(true);
                    return Ok(CopyOut {
                        connection,
                        sql: sql.to_owned(),
                        failure: None,
                        done: false,
                    });
                }
                Message::ErrorResponse(body) => {
                    let error = server_error(&body, sql);
                    connection.finish_failed().await?;
                    return Err(error);
                }
                Message::ParameterStatus(body) => connection.note_parameter(&body),
                _ => return Err(unexpected(&connection.wire, "in answer to COPY … TO STDOUT")),
            }
        }
    }

    /// The next messages, as many as have arrived, or none at the end. The future may be dropped and called again.
    ///
    /// # Errors
    /// [`Error::Server`] if the copy fails half-way; what was received before is not the whole answer.
    pub async fn next_chunk(&mut self) -> Result<Option<CopyChunk>> {
        while !self.done {
            let (frames, _, next) = self.connection.wire.take_copy_data()?;
            if !frames.is_empty() {
                return Ok(Some(CopyChunk { frames }));
            }
            match next {
                Some(head) if head.tag != frame::COPY_DATA => self.control().await?,
                _ => self.connection.wire.fill().await?,
            }
        }
        Ok(None)
    }

    /// Anything but CopyData.
    async fn control(&mut self) -> Result<()> {
        let connection = &mut *self.connection;
        let Some(message) = connection.wire.one_message().await? else { return Ok(()) };
        match message {
            Message::ErrorResponse(body) => {
                self.failure = Some(server_error(&body, &self.sql));
                Ok(())
            }
            Message::ReadyForQuery(_) => {
                connection.wire.pace_reads(false);
                connection.busy = false;
                self.done = true;
                self.failure.take().map_or(Ok(()), Err)
            }
            Message::CopyDone | Message::CommandComplete(_) => Ok(()),
            Message::ParameterStatus(body) => {
                connection.note_parameter(&body);
                Ok(())
            }
            _ => Err(unexpected(&connection.wire, "in the middle of COPY")),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::login::Session;
    use crate::testing::{error_response, frame, pair};

    /// What a copy gives whose answer arrives in two parts.
    async fn copy(answer: &[u8], split: usize) -> (Vec<Vec<u8>>, Option<Error>) {
        let (wire, mut server) = pair();
        let mut connection = Connection { wire, session: Session::default(), busy: false };
        let mut rows = Vec::new();
        server.send(&frame(b'H', b"\0\0\x01\0\0")).await;
        let mut copy = connection.copy_out("copy t to stdout").await.unwrap();
        let feed = async {
            server.send(&answer[..split]).await;
            tokio::task::yield_now().await;
            server.send(&answer[split..]).await;
        };
        let read = async {
            loop {
                match copy.next_chunk().await {
                    Ok(Some(chunk)) => rows.extend(chunk.messages().map(<[u8]>::to_vec)),
                    Ok(None) => return None,
                    Err(error) => return Some(error),
                }
            }
        };
        let ((), error) = tokio::join!(feed, read);
        assert!(!connection.busy, "the connection can be used again");
        (rows, error)
    }

    fn rows() -> BytesMut {
        let mut answer = BytesMut::new();
        for row in ["1\ta\n", "", "2\tb\n"] {
            answer.extend(frame(b'd', row.as_bytes()));
        }
        answer
    }

    #[tokio::test]
    async fn the_same_rows_whatever_the_split() {
        let mut answer = rows();
        answer.extend(frame(b'N', b"SNOTICE\0C00000\0Mhm\0\0"));
        answer.extend(rows());
        answer.extend(frame(b'c', b""));
        answer.extend(frame(b'C', b"COPY 6\0"));
        answer.extend(frame(b'Z', b"I"));
        for split in 0..=answer.len() {
            let (rows, error) = copy(&answer, split).await;
            assert!(error.is_none());
            assert_eq!(
                rows,
                [b"1\ta\n", &b""[..], b"2\tb\n", b"1\ta\n", b"", b"2\tb\n"],
                "{split}"
            );
        }
    }

    #[tokio::test]
    async fn an_error_half_way() {
        let mut answer = rows();
        answer.extend(error_response("57014", "canceled"));
        answer.extend(frame(b'Z', b"I"));
        for split in 0..=answer.len() {
            let (rows, error) = copy(&answer, split).await;
            assert_eq!(rows.len(), 3);
            assert_eq!(error.unwrap().db_error().unwrap().code, "57014");
        }
    }

    #[tokio::test]
    async fn a_statement_that_is_no_copy() {
        let (wire, mut server) = pair();
        let mut connection = Connection { wire, session: Session::default(), busy: false };
        let mut answer = error_response("42601", "syntax");
        answer.extend(frame(b'Z', b"I"));
        server.send(&answer).await;
        assert!(connection.copy_out("cpoy").await.unwrap_err().db_error().is_some());
        server.send(&frame(b'T', b"\0\0")).await;
        assert!(matches!(connection.copy_out("select").await, Err(Error::Protocol { .. })));
    }
}
