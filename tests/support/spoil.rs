//! A relay in front of a search server that shows the documents of one node otherwise than they are: as if its copy of a shard
//! had rotted, which no server can be made to let happen.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// What the next answer on a connection is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Other,
    /// A point in time of the node is opened.
    Opening,
    /// Documents of such a point.
    Documents,
}

struct Spoil {
    /// In requests for the node alone.
    node: String,
    text: &'static str,
    instead: &'static str,
    /// The points in time of the node.
    points: Mutex<HashSet<String>>,
}

/// Listens for as long as the process lives, and gives its port. In place of `text` searches of the node find `instead`, which
/// is as long.
pub fn start(server: u16, node: &str, text: &'static str, instead: &'static str) -> u16 {
    assert_eq!(text.len(), instead.len());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let node = format!("_only_nodes:{node}");
    let spoil = Arc::new(Spoil { node, text, instead, points: Mutex::default() });
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let server = TcpStream::connect(("127.0.0.1", server)).unwrap();
            relay(&client, &server, &spoil);
        }
    });
    port
}

fn relay(client: &TcpStream, server: &TcpStream, spoil: &Arc<Spoil>) {
    let next = Arc::new(Mutex::new(Next::Other));
    let requests = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let answers = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (asked, told) = ((spoil.clone(), next.clone()), (spoil.clone(), next));
    std::thread::spawn(move || {
        carry(requests, |piece| {
            let text = String::from_utf8_lossy(piece).into_owned();
            asked.0.asked(&text, &mut asked.1.lock().unwrap());
        });
    });
    std::thread::spawn(move || carry(answers, |piece| told.0.told(piece, *told.1.lock().unwrap())));
}

fn carry((mut from, mut to): (TcpStream, TcpStream), mut look: impl FnMut(&mut Vec<u8>)) {
    let mut room = vec![0; 1 << 20];
    while let Ok(read @ 1..) = from.read(&mut room) {
        let mut piece = room[..read].to_vec();
        look(&mut piece);
        if to.write_all(&piece).is_err() {
            return;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Write);
}

impl Spoil {
    fn asked(&self, piece: &str, next: &mut Next) {
        if piece.contains(" HTTP/1.1\r\n") {
            *next = if piece.contains(&self.node) { Next::Opening } else { Next::Other };
        }
        if self.points.lock().unwrap().iter().any(|point| piece.contains(point)) {
            *next = Next::Documents;
        }
    }

    fn told(&self, piece: &mut Vec<u8>, next: Next) {
        let text = String::from_utf8_lossy(piece).into_owned();
        match next {
            Next::Other => {}
            Next::Opening => {
                let id = text.split("\"pit_id\":\"").nth(1).and_then(|rest| rest.split('"').next());
                self.points.lock().unwrap().extend(id.map(str::to_owned));
            }
            Next::Documents => *piece = text.replace(self.text, self.instead).into_bytes(),
        }
    }
}
