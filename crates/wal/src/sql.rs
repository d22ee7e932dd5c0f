//! Ordinary SQL, by `tokio-postgres`, over a session that we opened ourselves.
//!
//! `tokio-postgres` has neither our TLS modes nor our session settings, would send a password in clear text over any
//! connection, and can set parameters only through `options`. So it does not log in: [`Connection`](crate::Connection) does, and then the
//! open session is handed over. `tokio-postgres` can only begin with a startup message; [`Handover`] swallows that
//! message and answers it with what the real server said at the real login.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::{Client, NoTls};

use crate::connect;
use crate::conninfo::ConnInfo;
use crate::error::{Error, Result};
use crate::login::pins::Reader;
use crate::login::{Mode, Session};
use crate::transport::Transport;

/// Opens a session for ordinary SQL, with the settings that all sessions of this crate have.
///
/// Nothing happens on it until the future that comes with the client is spawned or polled beside it; that future ends
/// when the client is dropped or the connection breaks.
///
/// # Errors
/// Those of [`Connection::connect`](crate::Connection::connect).
pub async fn connect(
    info: &ConnInfo,
) -> Result<(Client, impl Future<Output = Result<(), tokio_postgres::Error>> + Send + 'static)> {
    let connection = connect::connect(info, Mode::Ordinary, Reader::Utf8).await?;
    let replay = replay(&connection.session);
    let (transport, input) = connection.wire.into_parts();
    let replay = replay.into_iter().chain(input).collect();
    let handover = Handover { transport, replay, startup: BytesMut::new(), swallowed: false };
    let mut config = tokio_postgres::Config::new();
    config.user(&info.user).ssl_mode(tokio_postgres::config::SslMode::Disable);
    config.connect_raw(handover, NoTls).await.map_err(Error::Handover)
}

/// AuthenticationOk, the ParameterStatus messages, BackendKeyData, ReadyForQuery.
fn replay(session: &Session) -> BytesMut {
    let mut out = BytesMut::new();
    message(&mut out, b'R', |body| body.put_i32(0));
    for (name, value) in &session.parameters {
        message(&mut out, b'S', |body| {
            for text in [name, value] {
                body.put_slice(text.as_bytes());
                body.put_u8(0);
            }
        });
    }
    message(&mut out, b'K', |body| {
        body.put_i32(session.process_id);
        body.put_i32(session.secret_key);
    });
    message(&mut out, b'Z', |body| body.put_u8(b'I'));
    out
}

fn message(out: &mut BytesMut, tag: u8, body: impl FnOnce(&mut BytesMut)) {
    let mut bytes = BytesMut::new();
    body(&mut bytes);
    out.put_u8(tag);
    out.put_u32(u32::try_from(bytes.len() + 4).unwrap_or(u32::MAX));
    out.put_slice(&bytes);
}

/// A session that looks like a fresh connection.
struct Handover {
    transport: Transport,
    /// What is read before anything of the transport.
    replay: Bytes,
    /// The length of the startup message, as far as it was written.
    startup: BytesMut,
    swallowed: bool,
}

impl Handover {
    /// Bytes of `bytes` that belong to the startup message.
    fn swallow(&mut self, bytes: &[u8]) -> usize {
        let before = self.startup.len();
        self.startup.extend_from_slice(bytes);
        if let Some((length, _)) = self.startup.split_first_chunk::<4>() {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            if self.startup.len() >= length {
                self.swallowed = true;
                self.startup.clear();
                return length.saturating_sub(before);
            }
        }
        bytes.len()
    }
}

impl AsyncRead for Handover {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.replay.is_empty() {
            return Pin::new(&mut self.transport).poll_read(cx, buf);
        }
        let count = self.replay.len().min(buf.remaining());
        buf.put_slice(&self.replay[..count]);
        self.replay.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Handover {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.swallowed {
            return Poll::Ready(Ok(self.swallow(bytes)));
        }
        Pin::new(&mut self.transport).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.transport).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn the_startup_message_is_swallowed_however_it_is_cut() {
        let startup = [0, 0, 0, 12, 0, 3, 0, 0, b'u', 0, b'x', 0];
        for first in 0..=startup.len() {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut handover = Handover {
                transport: Transport::Unix(ours),
                replay: Bytes::from_static(b"replayed"),
                startup: BytesMut::new(),
                swallowed: false,
            };
            handover.write_all(&startup[..first]).await.unwrap();
            let rest = [&startup[first..], b"query"].concat();
            handover.write_all(&rest).await.unwrap();
            theirs.write_all(b" and read").await.unwrap();
            let mut read = [0; 17];
            handover.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"replayed and read");
            let mut query = [0; 5];
            theirs.read_exact(&mut query).await.unwrap();
            assert_eq!(&query, b"query");
        }
    }
}
