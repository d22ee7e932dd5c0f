//! Messages over a [`Transport`]: one input buffer, one output buffer.
//!
//! The state of a half-read message is in the buffer and never in a future, so every future here may be dropped and
//! called again. Whole CopyData messages leave as one [`Bytes`] that shares the input buffer: one allocation serves
//! many messages, and nothing is copied but the incomplete tail when a buffer is full.

use std::fmt;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::backend::{ErrorResponseBody, Message, NoticeResponseBody};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout_at;

use crate::error::{DbError, Error, Result};
use crate::frame::{self, Head, Run};
use crate::pace::Pace;
use crate::transport::Transport;

/// The size of a read buffer.
pub(crate) const READ: usize = 256 * 1024;

/// A buffer with less room than this is replaced before the next read.
const LEAST_ROOM: usize = 32 * 1024;

pub(crate) struct Wire {
    transport: Transport,
    input: BytesMut,
    output: BytesMut,
    /// Bytes received before `input`.
    position: u64,
    /// The largest message that is accepted.
    limit: usize,
    pace: Pace,
}

impl Wire {
    pub(crate) fn new(transport: Transport) -> Self {
        Wire {
            transport,
            input: BytesMut::new(),
            output: BytesMut::new(),
            position: 0,
            limit: frame::MAX_LOGIN_FRAME,
            pace: Pace::default(),
        }
    }

    pub(crate) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The transport, and what was read from it and not used.
    pub(crate) fn into_parts(self) -> (Transport, BytesMut) {
        (self.transport, self.input)
    }

    /// Accepts messages of any size that Postgres can send; called once the login is through.
    pub(crate) fn allow_large_messages(&mut self) {
        self.limit = frame::MAX_FRAME;
    }

    /// Bytes received before the next message.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// Where messages to be sent are written to.
    pub(crate) fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Sends what is in the output buffer.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        let sent = async {
            self.transport.write_all_buf(&mut self.output).await?;
            self.transport.flush().await
        };
        sent.await.map_err(Error::io("writing to the server"))
    }

    /// Reads what is there, waiting for the first byte; an error at the end of the connection.
    pub(crate) async fn fill(&mut self) -> Result<()> {
        self.make_room();
        let read = async {
            if let Some(deadline) = self.pace.deadline() {
                let held =
                    timeout_at(deadline, read_all(&mut self.transport, &mut self.input)).await;
                if let Ok(read) = held {
                    return read;
                }
                self.pace.release(&self.transport);
            }
            read_all(&mut self.transport, &mut self.input).await
        };
        let count = read.await.map_err(Error::io("reading from the server"))?;
        if count == 0 {
            return Err(Error::Closed { what: "connection" });
        }
        self.pace.after_read(count, &self.transport);
        Ok(())
    }

    /// Whether reads may wait for more bytes while many come; see [`Pace`].
    pub(crate) fn pace_reads(&mut self, on: bool) {
        self.pace.enable(on, &self.transport);
    }

    /// All whole CopyData messages that have arrived, with the position of their first byte, and the head of what
    /// follows.
    pub(crate) fn take_copy_data(&mut self) -> Result<(Bytes, u64, Option<Head>)> {
        let Run { whole, next } = frame::copy_data_run(&self.input, self.limit, self.position)?;
        let position = self.position;
        let frames = self.input.split_to(whole).freeze();
        self.position += whole as u64;
        Ok((frames, position, next))
    }

    /// The next message that is not a notice.
    pub(crate) async fn message(&mut self) -> Result<Message> {
        loop {
            if let Some(message) = self.one_message().await? {
                return Ok(message);
            }
        }
    }

    /// The next message, which must be one that `postgres-protocol` knows; none if it was a notice, which is logged.
    pub(crate) async fn one_message(&mut self) -> Result<Option<Message>> {
        loop {
            match self.take_message()? {
                Some(Message::NoticeResponse(notice)) => {
                    log_notice(&notice);
                    return Ok(None);
                }
                Some(message) => return Ok(Some(message)),
                None => self.fill().await?,
            }
        }
    }

    /// The head of the next message.
    pub(crate) async fn head(&mut self) -> Result<Head> {
        loop {
            if let Some(head) = self.peek()? {
                return Ok(head);
            }
            self.fill().await?;
        }
    }

    /// Reads the next message whole and throws it away.
    pub(crate) async fn skip(&mut self) -> Result<()> {
        let head = self.head().await?;
        while self.input.len() < head.size {
            self.fill().await?;
        }
        self.input.advance(head.size);
        self.position += head.size as u64;
        Ok(())
    }

    /// Whether the next message, whose head this is, has arrived whole.
    pub(crate) fn holds(&self, head: Head) -> bool {
        self.input.len() >= head.size
    }

    fn peek(&self) -> Result<Option<Head>> {
        frame::head(&self.input, self.limit, self.position)
    }

    fn take_message(&mut self) -> Result<Option<Message>> {
        let Some(head) = self.peek()? else { return Ok(None) };
        if self.input.len() < head.size {
            return Ok(None);
        }
        let mut whole = self.input.split_to(head.size);
        let position = self.position;
        self.position += head.size as u64;
        let wrong = |what: String| {
            let tag = char::from(head.tag);
            Error::protocol(position, format!("message {tag:?} (0x{:02x}): {what}", head.tag))
        };
        Message::parse(&mut whole)
            .map_err(|error| wrong(error.to_string()))?
            .map_or_else(|| Err(wrong("incomplete".to_owned())), |message| Ok(Some(message)))
    }

    /// Makes room for a read. A message larger than the buffer lets it grow with what has arrived, not with what its
    /// length promises; a buffer that grew is given up when the large message has left it.
    fn make_room(&mut self) {
        let waiting = self.input.len();
        let missing = match self.peek() {
            Ok(Some(head)) => head.size.saturating_sub(waiting),
            _ => 0,
        };
        if self.input.capacity() - waiting < LEAST_ROOM.max(missing.min(READ)) {
            self.input.reserve(waiting.min(missing).max(READ));
        }
        if waiting < READ && self.input.capacity() > 4 * READ {
            let mut fresh = BytesMut::with_capacity(2 * READ);
            fresh.extend_from_slice(&self.input);
            self.input = fresh;
        }
    }
}

/// Without the buffers: there are passwords and rows in them.
impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("transport", &self.transport)
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Reads until the transport has nothing more, or the buffer is full. Several turns are needed for TLS, which hands
/// out one record at a time; for a plain socket the second one costs no system call.
async fn read_all(transport: &mut Transport, input: &mut BytesMut) -> io::Result<usize> {
    let before = input.len();
    poll_fn(|cx| {
        loop {
            let got = input.len() - before;
            if got > 0 && input.len() == input.capacity() {
                return Poll::Ready(Ok(got));
            }
            match pin!(transport.read_buf(input)).poll(cx) {
                Poll::Ready(Ok(1..)) => {}
                // What was read comes first; the end or the error will be met again.
                Poll::Ready(_) | Poll::Pending if got > 0 => return Poll::Ready(Ok(got)),
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending => return Poll::Pending,
            }
        }
    })
    .await
}

fn log_notice(body: &NoticeResponseBody) {
    if let Ok(notice) = DbError::read(body.fields()) {
        tracing::debug!(%notice, "notice from the server");
    }
}

/// A server's error as ours.
pub(crate) fn server_error(body: &ErrorResponseBody, doing: &str) -> Error {
    match DbError::read(body.fields()) {
        Ok(error) => {
            Error::Server { doing: shorten(doing), error: Box::new(error), remedy: String::new() }
        }
        Err(error) => Error::protocol(0, format!("ErrorResponse: {error}")),
    }
}

/// The beginning of a command, for a message.
pub(crate) fn shorten(command: &str) -> String {
    match command.char_indices().nth(200) {
        Some((end, _)) => format!("{}…", &command[..end]),
        None => command.to_owned(),
    }
}
