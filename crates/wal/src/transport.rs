//! The byte stream to a server: TCP, a unix socket, or TLS over TCP.
//!
//! `SO_RCVLOWAT` is the one unusual thing. A walsender sends every row with a `send()` of its own, so a reader that
//! keeps up is woken for each row; with a low-water mark the kernel wakes it once for many. The option works below
//! TLS, too. It means nothing to `poll` on unix sockets, so [`Transport::set_receive_low_water`] says whether it took
//! effect. No crate has a safe function for it, but nix exports the macro that its own options are made with.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use nix::libc;
use nix::sys::socket::SetSockOpt;
use nix::{setsockopt_impl, sockopt_impl};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, BufReader, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::client::TlsStream;

sockopt_impl!(
    /// Bytes that must be there before a reader is woken; not inherited, and 1 by default.
    ReceiveLowWater,
    SetOnly,
    libc::SOL_SOCKET,
    libc::SO_RCVLOWAT,
    usize
);

/// rustls asks for 4 KiB at a time; this much is fetched from the kernel at once.
pub(crate) const TLS_READ_BUFFER: usize = 128 * 1024;

/// How long the kernel may try to deliver our bytes, or wait for an answer to its probes, before the connection is
/// broken: 20 s idle + 4 probes, 10 s apart.
const DEAD_AFTER: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) enum Transport {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<BufReader<TcpStream>>>),
}

impl Transport {
    pub(crate) async fn tcp(address: SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(
            &TcpKeepalive::new()
                .with_time(Duration::from_secs(20))
                .with_interval(Duration::from_secs(10))
                .with_retries(4),
        )?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(DEAD_AFTER))?;
        Ok(stream)
    }

    pub(crate) async fn unix(path: &Path) -> io::Result<Transport> {
        UnixStream::connect(path).await.map(Transport::Unix)
    }

    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Transport::Tls(_))
    }

    /// Whether nobody between us and the server can listen.
    pub(crate) fn is_private(&self) -> bool {
        match self {
            Transport::Unix(_) | Transport::Tls(_) => true,
            Transport::Tcp(stream) => stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()),
        }
    }

    /// Lets the kernel wake us only when `bytes` are there (1: at once). Lowering the mark wakes the reader for what
    /// is there already. False where it has no effect.
    pub(crate) fn set_receive_low_water(&self, bytes: usize) -> bool {
        let stream = match self {
            Transport::Tcp(stream) => stream,
            Transport::Tls(stream) => stream.get_ref().0.get_ref(),
            Transport::Unix(_) => return false,
        };
        cfg!(target_os = "linux") && ReceiveLowWater.set(stream, &bytes).is_ok()
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Transport::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Transport::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Transport::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $call
            }
        }
    };
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, stream => stream.poll_shutdown(cx))
    }
}
