//! What `run` answers over HTTP, asked for byte by byte: a client would not send what is wrong.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::connector::Connector;
use super::{PATIENCE, wait_for};

/// Where it listens.
pub fn port(connector: &mut Connector) -> u16 {
    wait_for("the HTTP endpoint", PATIENCE, || {
        connector.must_run();
        let log = connector.log();
        let line = log.lines().find(|line| line.contains("answering HTTP"))?;
        line.rsplit(':').next()?.trim().parse().ok()
    })
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

/// GET of `path` as this machine.
pub fn get(port: u16, path: &str) -> Answer {
    send(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n"))
}

/// Sends these bytes and reads the answer to its end.
pub fn send(port: u16, request: &str) -> Answer {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Answer { status: status.unwrap_or(0), head: head.to_ascii_lowercase(), body: body.to_owned() }
}
