//! The fault proxy does what it says, to the bytes and to the answers.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use super::Scenario;
use crate::support::fault::{Answers, Canned, End, Fault, Protocol, Proxy};
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("lines", lines),
    Scenario::new("ends", ends),
    Scenario::new("answers", answers),
];

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone";
const REQUEST: &[u8] = b"POST /_bulk HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello";

/// A server that answers each piece that it gets, and tells what it got.
fn server(answer: &'static [u8]) -> (u16, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let tell = tell.clone();
            std::thread::spawn(move || {
                let mut piece = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut piece) {
                    if tell.send(piece[..read].to_vec()).is_err() {
                        return;
                    }
                    let _ = stream.write_all(answer);
                }
            });
        }
    });
    (port, told)
}

fn proxy(protocol: Protocol, port: u16) -> Proxy {
    Proxy::start(protocol, port, fastrand::Rng::with_seed(1))
}

fn client(proxy: &Proxy) -> TcpStream {
    let client = TcpStream::connect(("127.0.0.1", proxy.port)).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client
}

/// What comes back, and how the connection ended, if it did.
fn all(client: &mut TcpStream) -> (Vec<u8>, Option<ErrorKind>) {
    let mut got = Vec::new();
    let ended = client.read_to_end(&mut got).err().map(|error| error.kind());
    (got, ended)
}

fn exchange(client: &mut TcpStream) {
    client.write_all(b"ping").unwrap();
    let mut got = [0; 4];
    client.read_exact(&mut got).unwrap();
    assert_eq!(&got, b"pong");
}

fn lines() {
    let (port, told) = server(b"pong");
    let proxy = proxy(Protocol::Bytes, port);
    let mut before = client(&proxy);
    exchange(&mut before);
    for fault in [Fault::Delayed(Duration::from_millis(5)), Fault::Slow(100_000), Fault::Refused] {
        proxy.set(fault);
        exchange(&mut before);
    }
    wait_for("nobody who listens", PATIENCE, || {
        let refused = TcpStream::connect(("127.0.0.1", proxy.port));
        refused.is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused).then_some(())
    });
    proxy.heal();
    wait_for("somebody who listens", PATIENCE, || TcpStream::connect(("127.0.0.1", proxy.port)).ok());
    let mut after = client(&proxy);
    exchange(&mut after);
    while told.try_recv().is_ok() {}

    // What was stalled comes later.
    proxy.set(Fault::Stalled);
    before.write_all(b"late").unwrap();
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
    proxy.heal();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), b"late");

    // What was swallowed does not, and the connection can't go on.
    proxy.set(Fault::HalfOpen);
    after.write_all(b"lost").unwrap();
    let mut unanswered = client(&proxy);
    unanswered.write_all(b"lost too").unwrap();
    assert!(told.recv_timeout(Duration::from_millis(50)).is_err());
    proxy.heal();
    for client in [&mut after, &mut unanswered] {
        assert_eq!(all(client), (Vec::new(), Some(ErrorKind::ConnectionReset)));
    }
    assert!(told.try_recv().is_err());
}

fn ends() {
    let (port, _told) = server(b"pong");
    let proxy = proxy(Protocol::Bytes, port);
    for (end, seen) in [(End::Cut, None), (End::Reset, Some(ErrorKind::ConnectionReset))] {
        let mut client = client(&proxy);
        exchange(&mut client);
        proxy.end(end);
        assert_eq!(all(&mut client), (Vec::new(), seen));
    }
}

fn answers() {
    let (port, told) = server(ANSWER);
    let proxy = proxy(Protocol::Http, port);
    let asked = |answers| {
        proxy.set(Fault::Answered(answers, 100));
        let mut client = client(&proxy);
        client.write_all(REQUEST).unwrap();
        let got = all(&mut client).0;
        let told: Vec<u8> = told.recv_timeout(Duration::from_millis(500)).unwrap_or_default();
        (got, told)
    };
    let nothing = Vec::new;
    assert_eq!(asked(Answers::Lost), (nothing(), REQUEST.to_vec()));
    assert_eq!(asked(Answers::Truncated(9)), (b"HTTP/1.1 ".to_vec(), REQUEST.to_vec()));
    assert_eq!(asked(Answers::HalfAsked(10)), (nothing(), REQUEST[..10].to_vec()));
    let (got, told_of) = asked(Answers::Instead(Canned::TooMany));
    assert!(got.starts_with(b"HTTP/1.1 429 ") && told_of.is_empty());
    let (got, told_of) = asked(Answers::Instead(Canned::TooLarge));
    assert!(got.starts_with(b"HTTP/1.1 413 ") && told_of.is_empty());
    let (got, told_of) = asked(Answers::After(Canned::Gateway(504)));
    assert!(got.starts_with(b"HTTP/1.1 504 ") && told_of == REQUEST);
    assert_eq!(proxy.spoilt(), 6);

    // No word, until it is over.
    proxy.set(Fault::Answered(Answers::Never, 100));
    let mut client = client(&proxy);
    client.write_all(REQUEST).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE).unwrap(), REQUEST);
    proxy.heal();
    assert_eq!(all(&mut client), (Vec::new(), Some(ErrorKind::ConnectionReset)));

    // In two pieces, and then another one on the same connection.
    let mut client = self::client(&proxy);
    for _ in 0..2 {
        let (first, second) = REQUEST.split_at(30);
        client.write_all(first).unwrap();
        client.write_all(second).unwrap();
        assert_eq!(told.recv_timeout(PATIENCE).unwrap(), REQUEST);
        let mut got = vec![0; ANSWER.len()];
        client.read_exact(&mut got).unwrap();
        assert_eq!(got, ANSWER);
    }
}
