//! A reader that searches all the time for rows that always carry the same number.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use super::search::Search;

/// What a reader has seen.
#[derive(Default)]
pub struct Seen {
    pub searches: u64,
    /// Searches that found two numbers, or not all rows.
    pub torn: u64,
    /// Different numbers.
    pub states: usize,
    /// The first torn one.
    pub example: String,
}

pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Sampler {
    /// Searches `index`, which holds `rows` documents with the same `n`.
    pub fn start(search: &Search, index: &str, rows: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, search, index) = (stop.clone(), search.clone(), index.to_owned());
        let thread = std::thread::spawn(move || {
            let (mut seen, mut states) = (Seen::default(), BTreeSet::new());
            while !stopped.load(Ordering::Relaxed) {
                look(&search, &index, rows, &mut seen, &mut states);
            }
            seen.states = states.len();
            seen
        });
        Sampler { stop, thread }
    }

    pub fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn look(search: &Search, index: &str, rows: u32, seen: &mut Seen, states: &mut BTreeSet<String>) {
    let query = json!({"size": rows, "query": {"match_all": {}}});
    let found = search.json("POST", &format!("{index}/_search?preference=reader"), Some(&query));
    let hits = found["hits"]["hits"].as_array().unwrap();
    let numbers: Vec<&Value> = hits.iter().map(|hit| &hit["_source"]["n"]).collect();
    let all_there = hits.len() == rows as usize;
    seen.searches += 1;
    if all_there && numbers.iter().all(|n| *n == numbers[0]) {
        states.insert(numbers[0].to_string());
    } else if all_there || !hits.is_empty() {
        seen.torn += 1;
        if seen.example.is_empty() {
            seen.example = format!("search {}: {numbers:?}", seen.searches);
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Seen { searches, torn, states, .. } = self;
        let share = 100.0 * *torn as f64 / (*searches).max(1) as f64;
        write!(f, "{torn} of {searches} searches torn ({share:.1} %), {states} states seen")
    }
}
