//! So many deletes at once that the target could not remember all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Scenario;
use crate::support::case::Case;
use crate::support::search::Search;
use crate::support::servers::Server;
use crate::support::shared::postgres_kind;
use crate::support::{number, wait_for};

pub const SCENARIOS: &[Scenario] =
    &[Scenario::long("two_million_on_a_small_heap", two_million_on_a_small_heap)];

/// How long the deletes may take, and `gc_deletes` to be put back.
const LONG: Duration = Duration::from_secs(600);

fn two_million_on_a_small_heap() {
    let rows = number("WAL2ES_TEST_DELETES", 2_000_000);
    let search = Server::start("opensearch", &["--heap", "512m"]);
    let postgres = Server::start(&postgres_kind(), &["--set", "max_wal_size=4GB"]);
    let mut case = Case::on("massdelete", &postgres, &search);
    case.table("item", "id int PRIMARY KEY");
    case.execute(&format!("INSERT INTO item SELECT n FROM generate_series(1, {rows}) n"));
    case.execute("INSERT INTO item VALUES (0)");
    let mut connector = case.start(&["run", "--setup"]);
    wait_for("the first load", LONG, || {
        connector.must_run();
        case.state().filter(|state| state["step"] == "streaming")
    });
    let index = case.search.generations(&case.alias("item")).pop().unwrap();
    let watch = Watch::start(&case.search, &index);
    let began = Instant::now();
    case.execute("DELETE FROM item WHERE id > 0");
    wait_for("the deletes", LONG, || {
        connector.must_run();
        (case.search.count(&case.alias("item")) == Some(1)).then_some(())
    });
    let took = began.elapsed();
    assert!(watch.lowered.load(Ordering::Relaxed), "gc_deletes was never lowered");
    wait_for("gc_deletes to be as before", LONG, || {
        (gc_deletes(&case.search, &index) == "60s").then_some(())
    });
    watch.stop();
    let log = connector.log();
    assert!(!log.contains("did not take a batch"), "{log}");
    let tripped = breakers(&case.search);
    println!("{rows} deletes in {took:?}; circuit breakers tripped {tripped} times");
    assert_eq!(tripped, 0);
    case.check();
    connector.stop();
}

fn gc_deletes(search: &Search, index: &str) -> String {
    let path = format!("{index}/_settings/index.gc_deletes?flat_settings=true");
    let found = search.json("GET", &path, None);
    found[index]["settings"]["index.gc_deletes"].as_str().unwrap_or_default().to_owned()
}

/// How often circuit breakers have tripped.
fn breakers(search: &Search) -> u64 {
    let stats = search.json("GET", "_nodes/stats/breaker", None);
    let nodes = stats["nodes"].as_object().unwrap().values();
    let all = nodes.flat_map(|node| node["breakers"].as_object().unwrap().values());
    all.map(|breaker: &Value| breaker["tripped"].as_u64().unwrap()).sum()
}

/// Looks at the setting meanwhile.
struct Watch {
    lowered: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Watch {
    fn start(search: &Search, index: &str) -> Self {
        let (lowered, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (search, index) = (search.clone(), index.to_owned());
        let (seen, ends) = (lowered.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                let (_, stats) = search.request("GET", &format!("{index}/_stats/segments,merge,docs,refresh,flush?filter_path=_all.primaries"), None);
                let (_, jvm) = search.request("GET", "_nodes/stats/jvm,breaker?filter_path=nodes.*.jvm.mem.heap_used_in_bytes,nodes.*.jvm.mem.pools.old.used_in_bytes,nodes.*.jvm.gc,nodes.*.breakers.*.tripped", None);
                println!("{:?} {stats} {jvm}", Instant::now());
                if gc_deletes(&search, &index) == "5s" {
                    seen.store(true, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        Watch { lowered, stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}
