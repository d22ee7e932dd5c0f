//! A server that says what a test tells it to.

use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

use crate::conninfo::ConnInfo;
use crate::login::pins;
use crate::transport::Transport;
use crate::wire::Wire;

/// Nothing in a test takes longer, unless it hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One message.
pub(crate) fn frame(tag: u8, body: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_u8(tag);
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.put_slice(body);
    out
}

pub(crate) fn error_response(code: &str, message: &str) -> BytesMut {
    frame(b'E', format!("SFEHLER\0VERROR\0C{code}\0M{message}\0\0").as_bytes())
}

/// XLogData inside of CopyData.
pub(crate) fn wal_data(start: u64, payload: &[u8]) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u8(b'w');
    body.put_u64(start);
    body.put_u64(start);
    body.put_i64(0);
    body.put_slice(payload);
    frame(b'd', &body)
}

/// A keepalive inside of CopyData.
pub(crate) fn keepalive(wal_end: u64, reply: bool) -> BytesMut {
    let mut body = BytesMut::new();
    body.put_u8(b'k');
    body.put_u64(wal_end);
    body.put_i64(0);
    body.put_u8(u8::from(reply));
    frame(b'd', &body)
}

/// The server's end of a connection.
pub(crate) struct Server<S> {
    pub(crate) stream: S,
}

/// A logged-in connection, both ends of it.
pub(crate) fn pair() -> (Wire, Server<UnixStream>) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let mut wire = Wire::new(Transport::Unix(ours));
    wire.allow_large_messages();
    (wire, Server { stream: theirs })
}

/// The same over TCP.
pub(crate) async fn tcp_pair() -> (Wire, Server<TcpStream>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = Transport::tcp(listener.local_addr().unwrap()).await.unwrap();
    let server = accept(listener).await;
    server.stream.set_nodelay(true).unwrap();
    let mut wire = Wire::new(Transport::Tcp(ours));
    wire.allow_large_messages();
    (wire, server)
}

/// The settings to reach a server that this listener will play.
pub(crate) async fn listen(more: &str) -> (TcpListener, ConnInfo) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let text = format!("host=127.0.0.1 port={port} user=u dbname=d sslmode=disable {more}");
    (listener, text.parse().unwrap())
}

pub(crate) async fn accept(listener: TcpListener) -> Server<TcpStream> {
    let (stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    Server { stream }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Server<S> {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        timeout(PATIENCE, self.stream.write_all(bytes)).await.unwrap().unwrap();
    }

    /// Tag and body of the next message.
    pub(crate) async fn read(&mut self) -> (u8, Vec<u8>) {
        let reading = async {
            let tag = self.stream.read_u8().await.unwrap();
            (tag, self.read_body().await)
        };
        timeout(PATIENCE, reading).await.unwrap()
    }

    async fn read_body(&mut self) -> Vec<u8> {
        let length = self.stream.read_u32().await.unwrap();
        let mut body = vec![0; usize::try_from(length).unwrap() - 4];
        self.stream.read_exact(&mut body).await.unwrap();
        body
    }

    /// The startup message's parameters.
    pub(crate) async fn startup(&mut self) -> Vec<(String, String)> {
        let body = timeout(PATIENCE, self.read_body()).await.unwrap();
        assert_eq!(body[..4], [0, 3, 0, 0]);
        let texts: Vec<String> = body[4..]
            .split(|&byte| byte == 0)
            .map(|text| String::from_utf8(text.to_vec()).unwrap())
            .collect();
        let pairs = texts.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone()));
        pairs.filter(|(name, _)| !name.is_empty()).collect()
    }

    /// Takes the client in, with the parameters that it hears of.
    pub(crate) async fn welcome(&mut self, parameters: &[(&str, &str)]) {
        let mut out = frame(b'R', &[0; 4]);
        for (name, value) in parameters {
            out.extend(frame(b'S', format!("{name}\0{value}\0").as_bytes()));
        }
        out.extend(frame(b'K', &[0, 0, 0, 1, 0, 0, 0, 2]));
        out.extend(frame(b'Z', b"I"));
        self.send(&out).await;
    }

    /// Answers the question for the session's settings as a good server does, but for those in `other`. Gives the
    /// question.
    pub(crate) async fn settings(&mut self, other: &[(&str, &str)]) -> String {
        let (tag, body) = self.read().await;
        let question = String::from_utf8(body).unwrap().trim_end_matches('\0').to_owned();
        assert!(tag == b'Q' && question.starts_with("SELECT "), "{question}");
        let asked = question.split("pg_catalog.").skip(1);
        let values: Vec<&str> = asked
            .map(|expression| {
                let name = expression.split('\'').nth(1).unwrap();
                let other = other.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
                other.unwrap_or_else(|| pins::shown(name))
            })
            .collect();
        let mut row = BytesMut::new();
        row.put_u16(values.len().try_into().unwrap());
        for value in values {
            row.put_u32(value.len().try_into().unwrap());
            row.put_slice(value.as_bytes());
        }
        let mut out = frame(b'T', b"\0\0");
        out.extend(frame(b'D', &row));
        out.extend(frame(b'C', b"SELECT 1\0"));
        out.extend(frame(b'Z', b"I"));
        self.send(&out).await;
        question
    }

    /// The next status update: written, flushed, applied, whether it asks for a reply.
    pub(crate) async fn status(&mut self) -> [u64; 4] {
        let (tag, body) = self.read().await;
        assert_eq!((tag, body[0], body.len()), (b'd', b'r', 34), "{body:?}");
        let number = |at: usize| u64::from_be_bytes(body[at..at + 8].try_into().unwrap());
        [number(1), number(9), number(17), u64::from(body[33])]
    }
}
