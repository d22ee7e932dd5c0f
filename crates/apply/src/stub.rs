//! A search server for tests that answers bulk requests by a script, and everything else as a real one would.
//!
//! Only for answers, and orders of requests, that a real server can't be made to show.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::target::{Target, TargetConfig};

/// What the stub does with one bulk request.
pub(crate) enum Reply {
    Answer(u16, String),
    /// Reads the request and cuts the connection.
    Cut,
}

/// See the module. Bulk requests beyond the script succeed.
pub(crate) struct Stub {
    url: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    /// Method and path of every request, without the query.
    requests: Vec<String>,
    bulks: Vec<String>,
    script: VecDeque<Reply>,
    /// For requests of single documents; beyond it they succeed.
    documents: VecDeque<Reply>,
}

impl Stub {
    /// What to answer to requests of single documents.
    pub(crate) fn answer_documents(&self, script: Vec<Reply>) {
        self.seen.lock().unwrap().documents = script.into();
    }

    pub(crate) async fn start(script: Vec<Reply>) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Seen { script: script.into(), ..Seen::default() }));
        let shared = seen.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, shared.clone()));
            }
        });
        Stub { url, seen }
    }

    pub(crate) fn url(&self) -> String {
        self.url.clone()
    }

    pub(crate) async fn target(&self) -> Target {
        let config =
            TargetConfig { urls: vec![self.url.clone()], credentials: None, ca_file: None };
        Target::connect(&config).await.unwrap()
    }

    /// The body of bulk request number `request`.
    pub(crate) fn bulk(&self, request: usize) -> String {
        self.seen.lock().unwrap().bulks[request].clone()
    }

    /// The ids in bulk request number `request`, in order.
    pub(crate) fn ids(&self, request: usize) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let actions = seen.bulks[request].lines().filter(|line| line.contains("\"_id\""));
        actions.map(|line| line.split('"').nth(9).unwrap().to_owned()).collect()
    }

    /// The bodies of the bulk requests so far.
    pub(crate) fn bulks(&self) -> Vec<String> {
        self.seen.lock().unwrap().bulks.clone()
    }

    /// What was asked for so far, without the first `GET /`.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.seen.lock().unwrap().requests.iter().skip(1).cloned().collect()
    }
}

async fn serve(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    while let Some((head, body)) = read_request(&mut stream).await {
        let Reply::Answer(status, body) = seen.lock().unwrap().reply(&head, body) else { return };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

impl Seen {
    fn reply(&mut self, head: &str, body: String) -> Reply {
        let request = head.split([' ', '?']).take(2).collect::<Vec<_>>().join(" ");
        self.requests.push(request.clone());
        let (_, path) = request.split_once(' ').unwrap();
        let answer = match path.rsplit('/').next().unwrap() {
            "" => {
                r#"{"cluster_uuid":"c","version":{"number":"3.6.0","distribution":"opensearch"}}"#
                    .to_owned()
            }
            "_refresh" => r#"{"_shards":{"successful":1,"failed":0}}"#.to_owned(),
            "_bulk" => {
                let done = Reply::done(&body);
                self.bulks.push(body);
                return self.script.pop_front().unwrap_or(done);
            }
            "index.uuid" => r#"{"p-g1":{"settings":{"index.uuid":"U"}}}"#.to_owned(),
            "docs" => r#"{"indices":{"p-g1":{"shards":{"0":[{"routing":{"primary":true},"commit":{"user_data":{"history_uuid":"h"}}}]}}}}"#.to_owned(),
            _ if path.contains("/_doc/") => {
                let written = r#"{"_seq_no":1,"_primary_term":1}"#.to_owned();
                return self.documents.pop_front().unwrap_or(Reply::Answer(200, written));
            }
            _ => "{}".to_owned(),
        };
        Reply::Answer(200, answer)
    }
}

impl Reply {
    fn done(body: &str) -> Reply {
        let items = body.lines().filter_map(|line| match line.get(..8) {
            Some("{\"index\"") => Some(r#"{"index":{"status":201,"result":"created"}}"#),
            Some("{\"delete") => Some(r#"{"delete":{"status":200,"result":"deleted"}}"#),
            _ => None,
        });
        let items = items.collect::<Vec<_>>().join(",");
        Reply::Answer(200, format!(r#"{{"errors":false,"items":[{items}]}}"#))
    }
}

pub(crate) async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < length {
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    Some((head, String::from_utf8(bytes).unwrap()))
}
