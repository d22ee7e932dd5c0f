//! A search server that only reads: it counts what it is sent and says that everything has been done.
//!
//! It knows the calls of a first load and of writing what comes after it, and no others. Documents of the state are kept, because they are read again.

use std::collections::HashMap;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::{Map, Value, json};

use super::http::{self, Message};

/// A running one, for the rest of the process.
pub struct Sink {
    address: SocketAddr,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    items: u64,
    with_bodies: bool,
    bodies: Vec<Vec<u8>>,
    /// How each index was made.
    indices: HashMap<String, Value>,
    documents: HashMap<String, Value>,
    /// The index behind each.
    aliases: HashMap<String, String>,
}

impl Sink {
    /// Starts one; `with_bodies` it keeps the bodies of all bulk requests.
    pub fn start(with_bodies: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Arc::new(Mutex::new(Kept { with_bodies, ..Kept::default() }));
        let shared = kept.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let kept = shared.clone();
                std::thread::spawn(move || serve(stream.unwrap(), &kept));
            }
        });
        Sink { address, kept }
    }

    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Operations of all bulk requests.
    pub fn items(&self) -> u64 {
        self.kept.lock().unwrap().items
    }

    /// The bodies that were kept.
    pub fn bodies(&self) -> Vec<Vec<u8>> {
        self.kept.lock().unwrap().bodies.clone()
    }

    /// The index of the load, and how it was made.
    pub fn index(&self) -> (String, String) {
        let kept = self.kept.lock().unwrap();
        let (name, body) = kept.indices.iter().find(|(name, _)| name.ends_with("-g1")).unwrap();
        (name.clone(), body.to_string())
    }
}

fn serve(mut stream: TcpStream, kept: &Mutex<Kept>) {
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    while let Some(message) = http::read(&mut stream, &mut buffer) {
        let mut words = message.first.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let (status, body) = match path.starts_with("/_bulk") {
            true => (200, bulk(message, kept)),
            false => {
                let (status, body) = answer(&mut kept.lock().unwrap(), method, path, &message.body);
                (status, body.to_string())
            }
        };
        let head = format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).unwrap();
    }
}

/// Two lines are an operation.
fn bulk(message: Message, kept: &Mutex<Kept>) -> String {
    const ITEM: &str = r#"{"index":{"result":"created","status":201}},"#;
    let count = message.body.iter().filter(|byte| **byte == b'\n').count() / 2;
    let mut kept = kept.lock().unwrap();
    kept.items += count as u64;
    if kept.with_bodies {
        kept.bodies.push(message.body);
    }
    format!(r#"{{"errors":false,"items":[{}]}}"#, ITEM.repeat(count).trim_end_matches(','))
}

fn answer(kept: &mut Kept, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let shards = json!({"total": 1, "successful": 1, "failed": 0});
    let of_all = |names: &str, what: Value| -> Value {
        let one = |name: &str| (name.to_owned(), what.clone());
        Value::Object(names.split(',').map(one).collect())
    };
    match (method, parts.as_slice()) {
        ("GET", [""]) => (
            200,
            json!({"name": "sink", "cluster_name": "sink", "cluster_uuid": "sink",
                   "version": {"distribution": "opensearch", "number": "3.6.0"}}),
        ),
        ("PUT", [name]) => {
            kept.indices.insert((*name).to_owned(), body);
            (200, json!({"acknowledged": true, "shards_acknowledged": true, "index": name}))
        }
        ("GET", [name]) => match kept.indices.get(*name) {
            Some(made_by) => (200, json!({*name: as_found(made_by)})),
            None if name.contains('*') => (200, json!({})),
            None => (404, json!({"error": {"type": "index_not_found_exception", "reason": ""}})),
        },
        ("GET", [names, "_settings", _]) => {
            (200, of_all(names, json!({"settings": {"index.uuid": "sink"}})))
        }
        ("GET", [names, "_stats", _]) => {
            let shard = json!({"routing": {"primary": true}, "commit": {"user_data": {"history_uuid": "sink"}}});
            (200, json!({"indices": of_all(names, json!({"shards": {"0": [shard]}}))}))
        }
        ("POST", [_, "_refresh"]) => (200, json!({"_shards": shards})),
        ("GET", [_, "_count"]) => (200, json!({"count": kept.items, "_shards": shards})),
        ("GET", [_, "_doc", id]) => match kept.documents.get(*id) {
            Some(source) => {
                (200, json!({"found": true, "_seq_no": 1, "_primary_term": 1, "_source": source}))
            }
            None => (404, json!({"found": false})),
        },
        ("PUT", [_, "_doc", id]) => {
            kept.documents.insert((*id).to_owned(), body);
            (200, json!({"_seq_no": 1, "_primary_term": 1}))
        }
        ("POST", ["_aliases"]) => {
            for action in body["actions"].as_array().into_iter().flatten() {
                let text = |name: &str| action["add"][name].as_str().unwrap_or_default().to_owned();
                kept.aliases.insert(text("alias"), text("index"));
            }
            (200, json!({"acknowledged": true}))
        }
        ("GET", ["_alias", name]) => match kept.aliases.get(*name) {
            Some(index) => (200, json!({index: {}})),
            None => (404, json!({})),
        },
        _ => (200, json!({"acknowledged": true})),
    }
}

/// An index as it is shown: its settings as texts.
fn as_found(made_by: &Value) -> Value {
    let mut settings = Map::new();
    settings.insert("index.uuid".to_owned(), json!("sink"));
    for (key, value) in made_by["settings"].as_object().into_iter().flatten() {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        settings.insert(key.clone(), json!(text));
    }
    json!({"aliases": {}, "mappings": made_by["mappings"], "settings": settings})
}
