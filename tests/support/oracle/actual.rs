//! What searches find in an index.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::super::search::Search;

/// A document as it is in the index.
pub struct Document {
    pub version: u64,
    /// Byte for byte.
    pub source: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(rename = "_scroll_id")]
    scroll: String,
    hits: Hits,
}

#[derive(Deserialize)]
struct Hits {
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Hit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_version")]
    version: u64,
    #[serde(rename = "_source")]
    source: Box<RawValue>,
}

/// All of them, by id.
pub fn documents(search: &Search, alias: &str) -> HashMap<String, Document> {
    matching(search, alias, &json!({"match_all": {}}))
}

/// Those with these ids.
pub fn some(search: &Search, alias: &str, ids: &[String]) -> HashMap<String, Document> {
    matching(search, alias, &json!({"ids": {"values": ids}}))
}

fn matching(search: &Search, alias: &str, query: &Value) -> HashMap<String, Document> {
    let mut all = HashMap::new();
    let query = json!({"size": 5000, "version": true, "sort": ["_doc"], "query": query});
    let path = format!("{alias}/_search?scroll=1m");
    let mut page = read(&search.expect("POST", &path, Some(&query)));
    while !page.hits.hits.is_empty() {
        for hit in page.hits.hits {
            let document = Document { version: hit.version, source: hit.source.get().to_owned() };
            let before = all.insert(hit.id.clone(), document);
            assert!(before.is_none(), "two documents have the id {}", hit.id);
        }
        let next = json!({"scroll": "1m", "scroll_id": page.scroll});
        page = read(&search.expect("POST", "_search/scroll", Some(&next)));
    }
    search.expect("DELETE", "_search/scroll", Some(&json!({"scroll_id": [page.scroll]})));
    all
}

fn read(text: &str) -> Page {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}
