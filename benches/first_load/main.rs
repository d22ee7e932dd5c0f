//! A whole first load by the real binary: into a sink that only reads, and into a search server beside what that server
//! takes at most. `benches/first_load.sh` runs it, with servers.
//!
//! `first_load BINARY POSTGRES ROWS RUNS [SEARCH]`: a Postgres to make a table in (`host=… port=… user=…`), and
//! `HOST:PORT` of a search server.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a benchmark"
)]

mod ceiling;
mod http;
mod load;
mod sink;
mod table;

use load::{Load, Loaded};
use sink::Sink;

/// Connections that the ceiling is looked for with.
const CONNECTIONS: [usize; 2] = [2, 4];

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    // Without arguments it was started by `cargo bench` or `cargo test`, and has nothing to do.
    let [binary, postgres, rows, runs, search @ ..] = arguments.as_slice() else { return };
    let (rows, runs): (u64, usize) = (rows.parse().unwrap(), runs.parse().unwrap());
    table::make(postgres, rows);
    println!("{:<28} {:>12} {:>10} {:>9}", "", "rows/s", "µs CPU/row", "MB most");
    for _ in 0..runs {
        let sink = Sink::start(false);
        let loaded = Load { binary, postgres, target: &sink.address(), rows }.run();
        assert_eq!(sink.items(), rows, "every row, once");
        print("into a sink", &loaded, rows);
    }
    if let [search] = search {
        let sink = Sink::start(true);
        Load { binary, postgres, target: &sink.address(), rows }.run();
        beside_the_ceiling(search, &sink, &Load { binary, postgres, target: search, rows }, runs);
    }
}

/// The search server is warm after the first turn, which is not counted. The ceiling is the best that any number of
/// connections has reached in the turn.
fn beside_the_ceiling(search: &str, sink: &Sink, load: &Load<'_>, runs: usize) {
    let mut ratios = Vec::new();
    for turn in 0..=runs {
        let ceilings = CONNECTIONS.map(|connections| {
            let took = ceiling::measure(search, sink, connections);
            let rate = load.rows as f64 / took.as_secs_f64();
            println!("{:<28} {rate:>12.0}", format!("raw bulk, {connections} connections"));
            rate
        });
        let loaded = load.run();
        print("into the search server", &loaded, load.rows);
        if turn > 0 {
            let ceiling = ceilings.into_iter().fold(0.0, f64::max);
            ratios.push(loaded.rate(load.rows) / ceiling);
        }
    }
    ratios.sort_by(f64::total_cmp);
    println!("of the ceiling: {:.2} (median of {ratios:.2?})", ratios[ratios.len() / 2]);
}

fn print(what: &str, loaded: &Loaded, rows: u64) {
    let cpu = loaded.cpu.as_micros() as f64 / rows as f64;
    let mb = loaded.peak_kb as f64 / 1024.0;
    println!("{what:<28} {:>12.0} {cpu:>10.2} {mb:>9.1}", loaded.rate(rows));
}
