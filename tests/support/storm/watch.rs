//! A reader that looks at the indices all the time, past the proxies.
//!
//! What it must never see: a row of something that was rolled back; the rows of `twin` with different numbers, or not all of
//! them; a document whose version is lower than when it was seen before. Two things are not promised and not held against
//! anybody: what GET shows of a write that the search server then loses by being killed before it has answered it; and what
//! searches show between such a kill and the next refresh, of a transaction that took more than one request. With a trigger
//! queue searches see batches of its entries, so the rows of `twin` need not have the same number; versions are ids of entries,
//! and rise as others do.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::statements::TWINS;
use crate::support::search::Search;

const PAUSE: Duration = Duration::from_millis(40);

/// What a reader has seen.
#[derive(Default)]
pub struct Seen {
    pub looks: u64,
    /// What should not have been.
    pub wrong: Vec<String>,
    /// Keys that were gone and were there again with a version of before.
    pub reappeared: u64,
}

/// Where the tables' documents are.
#[derive(Clone)]
pub struct Aliases {
    pub all: String,
    pub kv: String,
    pub twin: String,
}

pub struct Watch {
    stop: Arc<AtomicBool>,
    kills: Arc<AtomicU64>,
    thread: Option<JoinHandle<Seen>>,
}

impl Watch {
    /// `whole`: searches see whole transactions.
    pub fn start(search: &Search, aliases: Aliases, whole: bool) -> Self {
        let (stop, kills) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut reader = Reader {
            search: search.clone(),
            aliases,
            whole,
            kills: kills.clone(),
            searched: Versions::default(),
            got: Versions::default(),
            seen: Seen::default(),
        };
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                reader.look();
                std::thread::sleep(PAUSE);
            }
            reader.seen
        });
        Watch { stop, kills, thread: Some(thread) }
    }

    /// To be told before the search server is killed.
    pub fn search_is_killed(&self) {
        self.kills.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends it.
    pub fn stop(&mut self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().map(|thread| thread.join().unwrap()).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Reader {
    search: Search,
    aliases: Aliases,
    whole: bool,
    kills: Arc<AtomicU64>,
    searched: Versions,
    got: Versions,
    seen: Seen,
}

impl Reader {
    fn look(&mut self) {
        self.seen.looks += 1;
        self.for_ghosts();
        self.for_twins();
        self.at_searched_versions();
        self.at_got_versions();
    }

    fn for_ghosts(&mut self) {
        let query = json!({"size": 3, "query": {"term": {"ghost": true}}});
        let path = format!("{}/_search?ignore_unavailable=true", self.aliases.all);
        let Some(found) = self.ask(&path, &query) else { return };
        for hit in hits(&found) {
            self.seen.wrong.push(format!("never committed: {hit}"));
        }
    }

    fn for_twins(&mut self) {
        if self.kills.load(Ordering::Relaxed) > 0 {
            return;
        }
        let path = format!("{}/_search", self.aliases.twin);
        let Some(found) = self.ask(&path, &json!({"size": 2 * TWINS, "version": true})) else {
            return;
        };
        let numbers: Vec<&Value> = hits(&found).iter().map(|hit| &hit["_source"]["n"]).collect();
        let equal = !self.whole || numbers.iter().all(|n| *n == numbers[0]);
        let whole = numbers.len() == TWINS && equal;
        // The server may have been killed while it answered.
        if !whole && self.kills.load(Ordering::Relaxed) == 0 {
            self.seen.wrong.push(format!("half of a transaction: {numbers:?}"));
        }
    }

    fn at_searched_versions(&mut self) {
        let path = format!("{}/_search", self.aliases.kv);
        let query = json!({"size": 1_000, "version": true, "_source": false});
        let Some(found) = self.ask(&path, &query) else { return };
        let versions = hits(&found).iter().map(id_and_version).collect();
        self.searched.compare("search", versions, &mut self.seen);
    }

    fn at_got_versions(&mut self) {
        let before = self.kills.load(Ordering::Relaxed);
        let ids: Vec<String> = (0..40).map(|k| (k * 3).to_string()).collect();
        let path = format!("{}/_mget?_source=false", self.aliases.kv);
        let found = self.ask(&path, &json!({"ids": ids}));
        if before != self.got.kills {
            self.got = Versions { kills: before, ..Versions::default() };
        }
        let Some(found) = found else { return };
        if self.kills.load(Ordering::Relaxed) != before {
            return;
        }
        let documents = found["docs"].as_array().map_or(&[][..], Vec::as_slice);
        // Without an index there is an error for each.
        if documents.iter().any(|document| document.get("error").is_some()) {
            return;
        }
        let there = documents.iter().filter(|document| document["found"] == true);
        self.got.compare("GET", there.map(id_and_version).collect(), &mut self.seen);
    }

    /// None while the server is away or the alias leads nowhere.
    fn ask(&self, path: &str, query: &Value) -> Option<Value> {
        let (status, text) =
            self.search.try_request("POST", path, Some(&query.to_string())).ok()?;
        let answer: Value = serde_json::from_str(&text).ok().filter(|_| status == 200)?;
        let failed = answer.pointer("/_shards/failed").and_then(Value::as_u64).unwrap_or(0);
        (failed == 0).then_some(answer)
    }
}

fn hits(found: &Value) -> &[Value] {
    found.pointer("/hits/hits").and_then(Value::as_array).map_or(&[][..], Vec::as_slice)
}

fn id_and_version(document: &Value) -> (String, u64) {
    (document["_id"].as_str().unwrap().to_owned(), document["_version"].as_u64().unwrap())
}

/// The highest of each id.
#[derive(Default)]
struct Versions {
    highest: HashMap<String, u64>,
    last: HashMap<String, u64>,
    kills: u64,
}

impl Versions {
    fn compare(&mut self, how: &str, now: HashMap<String, u64>, seen: &mut Seen) {
        for (id, version) in &now {
            let highest = self.highest.entry(id.clone()).or_insert(*version);
            if *version < *highest {
                if self.last.contains_key(id) {
                    seen.wrong.push(format!("{how}: {id} went from {highest} to {version}"));
                } else {
                    seen.reappeared += 1;
                }
            }
            *highest = (*highest).max(*version);
        }
        self.last = now;
    }
}
