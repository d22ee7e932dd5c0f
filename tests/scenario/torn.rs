//! Searches see committed states: a transaction is there as a whole or not at all.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::sampler::Sampler;
use crate::support::seed::Seed;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("one_shard_is_never_torn", one_shard_is_never_torn),
    Scenario::new("a_transaction_of_two_requests_is_never_torn", two_requests_are_never_torn),
    Scenario::new("two_shards_are_counted", two_shards_are_counted),
];

/// How long the connector is killed again and again.
const TIME: Duration = Duration::from_secs(12);

fn one_shard_is_never_torn() {
    killed_all_the_time("torn", 10_000, Duration::from_millis(2));
}

/// One row to a request: most kills leave half of a transaction in the index, which must stay hidden.
fn two_requests_are_never_torn() {
    // No faster than so many small requests can follow.
    killed_all_the_time("tornhalf", 1, Duration::from_millis(60));
}

fn pairs(name: &str, rows: u32) -> Case {
    let mut case = Case::shared(name);
    case.table("pair", "id int PRIMARY KEY, n bigint");
    case.execute(&format!("INSERT INTO pair SELECT i, 0 FROM generate_series(1, {rows}) i"));
    case
}

fn killed_all_the_time(name: &str, batch_rows: u32, pause: Duration) {
    let mut seed = Seed::new();
    let mut case = pairs(name, 2);
    case.config["pipeline"] = json!({"batch_rows": batch_rows});
    case.catch_up();
    let load = Load::start(&case, pause);
    let sampler = Sampler::start(&case.search, &case.alias("pair"), 2);
    let began = Instant::now();
    while began.elapsed() < TIME {
        let mut connector = case.start(&["run"]);
        std::thread::sleep(Duration::from_millis(seed.rng.u64(100..2000)));
        connector.must_run();
        connector.kill();
    }
    let seen = sampler.stop();
    load.stop();
    println!("{name}: {seen}");
    assert_eq!(seen.torn, 0, "{}", seen.example);
    assert!(seen.searches > 30 && seen.states > 2, "too little was looked at");
    case.catch_up();
    case.compare();
}

/// Writes one number to all rows, then the next.
struct Load {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Load {
    fn start(case: &Case, pause: Duration) -> Self {
        let mut session = case.database.session();
        Self::of(pause, move |n| {
            session.execute("UPDATE pair SET n = $1", &[&n]).unwrap();
        })
    }

    fn of(pause: Duration, mut write: impl FnMut(i64) + Send + 'static) -> Self {
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for n in 1.. {
                if stopped.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                write(n);
                std::thread::sleep(pause);
            }
        });
        Load { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

/// With two shards a search may meet one before and one after a refresh. How often, beside an index that refreshes
/// itself every second, is printed.
fn two_shards_are_counted() {
    const ROWS: u32 = 8;
    let mut case = pairs("tornshards", ROWS);
    case.config["indexes"][0]["settings"] = json!({"number_of_shards": 2});
    let _connector = case.run();
    let plain = format!("{}-plain", case.alias("pair"));
    let settings = json!({"index.number_of_shards": 2, "index.number_of_replicas": 0, "index.refresh_interval": "1s"});
    case.search.expect("PUT", &plain, Some(&json!({"settings": settings})));

    let feed = case.search.clone();
    let pause = Duration::from_millis(2);
    let ours = Load::start(&case, pause);
    let index = plain.clone();
    let theirs = Load::of(pause, move |n| {
        let bulk = (1..=ROWS).fold(String::new(), |bulk, id| {
            let action: Value = json!({"index": {"_id": id.to_string()}});
            let source = json!({"id": id, "n": n});
            bulk + &format!("{action}\n{source}\n")
        });
        feed.try_request("POST", &format!("{index}/_bulk"), Some(&bulk)).unwrap();
    });
    let samplers = [case.alias("pair"), plain.clone()]
        .map(|index| Sampler::start(&case.search, &index, ROWS));
    std::thread::sleep(Duration::from_secs(6));
    let [ours_seen, theirs_seen] = samplers.map(Sampler::stop);
    ours.stop();
    theirs.stop();
    println!("two shards by wal2es:                  {ours_seen}");
    println!("two shards with refresh_interval: 1s:  {theirs_seen}");
    case.search.expect("DELETE", &plain, None);
    assert!(ours_seen.searches > 20 && ours_seen.states > 1);
    case.check();
}
