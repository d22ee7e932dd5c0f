//! As much of HTTP as a benchmark needs: bodies with a length, connections that stay open.

use std::io::{Read, Write};
use std::net::TcpStream;

/// A message: its first line and its body.
pub struct Message {
    pub first: String,
    pub body: Vec<u8>,
}

/// Reads one message; none when the other side has closed the connection.
pub fn read(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Message> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if !more(stream, buffer, 4096) {
            return None;
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().unwrap())
    });
    let length: usize = length.unwrap_or(0);
    let mut body = buffer.split_off(end + 4);
    body.reserve(length.saturating_sub(body.len()));
    let missing = length.saturating_sub(body.len()) as u64;
    if stream.take(missing).read_to_end(&mut body).unwrap() as u64 != missing {
        return None;
    }
    *buffer = body.split_off(length);
    let first = head.lines().next().unwrap_or_default().to_owned();
    Some(Message { first, body })
}

fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>, count: usize) -> bool {
    let start = buffer.len();
    buffer.resize(start + count, 0);
    let read = stream.read(&mut buffer[start..]).unwrap_or(0);
    buffer.truncate(start + read);
    read > 0
}

/// Sends a request and reads its answer.
pub fn exchange(stream: &mut TcpStream, method: &str, path: &str, body: &[u8]) -> Message {
    let kind = if path.starts_with("/_bulk") { "x-ndjson" } else { "json" };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/{kind}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    read(stream, &mut Vec::new()).expect("an answer")
}

/// A connection, without waiting for small packets to become large.
pub fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// One request on a connection of its own.
pub fn request(address: &str, method: &str, path: &str, body: &str) -> Message {
    exchange(&mut connect(address), method, path, body.as_bytes())
}
