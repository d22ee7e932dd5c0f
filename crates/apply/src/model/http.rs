//! The server in memory behind HTTP.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::server::{Reply, Server};
use crate::stub::read_request;

/// A request on hold is cut after this.
const HOLD: Duration = Duration::from_millis(20);

/// Serves until it is dropped.
pub(super) struct Http {
    pub(super) url: String,
    pub(super) server: Arc<Mutex<Server>>,
    listening: tokio::task::JoinHandle<()>,
}

impl Http {
    pub(super) async fn start(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Mutex::new(server));
        let shared = server.clone();
        let listening = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Http { url, server, listening }
    }
}

impl Drop for Http {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn serve(mut stream: TcpStream, server: Arc<Mutex<Server>>) {
    stream.set_nodelay(true).unwrap();
    while let Some((head, body)) = read_request(&mut stream).await {
        let mut words = head.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let reply = server.lock().unwrap().handle(method, path, query, &body);
        match reply {
            Reply::Cut => return,
            Reply::Hold => {
                let _ = tokio::time::timeout(HOLD, stream.read_u8()).await;
                server.lock().unwrap().given_up(body);
                return;
            }
            Reply::Answer(status, body) => {
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    }
}
