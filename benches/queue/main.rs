//! The trigger queue from its entries to the index, and events: how many rows a second, and how long one commit takes.
//! `benches/queue.sh` runs it, with servers.
//!
//! `queue BINARY POSTGRES SEARCH ROWS RUNS COMMITS`: a Postgres to make a table in (`host=… port=… user=…`), and
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

mod connector;
#[path = "../first_load/http.rs"]
#[allow(dead_code, reason = "the first load has more to ask")]
mod http;
mod latency;
#[path = "../first_load/sink.rs"]
#[allow(dead_code, reason = "the first load asks it for more")]
mod sink;
#[path = "../first_load/table.rs"]
#[allow(dead_code, reason = "no slot is to be dropped")]
mod table;

use std::time::{Duration, Instant};

use connector::Connector;
use nix::sys::signal::Signal;
use postgres::{Client, NoTls};
use sink::Sink;

/// Rows of a transaction.
const TOGETHER: u64 = 1_000;

fn main() {
    let arguments: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    // Without arguments it was started by `cargo bench` or `cargo test`, and has nothing to do.
    let [binary, postgres, search, rows, runs, commits] = arguments.as_slice() else { return };
    let (rows, runs): (u64, usize) = (rows.parse().unwrap(), runs.parse().unwrap());
    table::make(postgres, rows);
    consume(binary, postgres, rows, runs);
    for order in ["transaction-id", "table-lock", "stream"] {
        read(binary, postgres, order, rows, runs);
    }
    latency::measure(binary, postgres, search, commits.parse().unwrap());
}

/// Entries are written while the consumer stands still; from the moment that it goes on until the queue is empty.
fn consume(binary: &str, postgres: &str, rows: u64, runs: usize) {
    let mut client = Client::connect(postgres, NoTls).unwrap();
    let sink = Sink::start(false);
    let connector =
        Connector { binary, postgres, target: &sink.address(), name: "sink", order: None };
    let running = connector.run();
    println!("{:<28} {:>12} {:>10} {:>9}", "", "rows/s", "µs CPU/row", "MB most");
    for _ in 0..runs {
        running.signal(Signal::SIGSTOP);
        change(&mut client, rows);
        let (items, cpu) = (sink.items(), running.cpu());
        let began = Instant::now();
        running.signal(Signal::SIGCONT);
        while client.query_one("SELECT EXISTS (SELECT FROM sink.queue)", &[]).unwrap().get(0) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (took, cpu) = (began.elapsed(), running.cpu() - cpu);
        assert_eq!(sink.items() - items, rows, "every row, once");
        let rate = rows as f64 / took.as_secs_f64();
        let cpu = cpu.as_micros() as f64 / rows as f64;
        let mb = running.peak_kb() as f64 / 1024.0;
        println!("{:<28} {rate:>12.0} {cpu:>10.2} {mb:>9.1}", "entries into a sink");
    }
    connector.tear_down(running);
}

/// Events are written while the reader stands still; from the moment that it goes on until all are in the sink.
fn read(binary: &str, postgres: &str, order: &str, rows: u64, runs: usize) {
    let mut client = Client::connect(postgres, NoTls).unwrap();
    client
        .batch_execute(
            "DROP TABLE IF EXISTS event; \
             CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key bigint NOT NULL, payload jsonb, \
               transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()); \
             CREATE INDEX ON event (transaction_id, id)",
        )
        .unwrap();
    let sink = Sink::start(false);
    let connector =
        Connector { binary, postgres, target: &sink.address(), name: "events", order: Some(order) };
    let running = connector.run();
    for _ in 0..runs {
        running.signal(Signal::SIGSTOP);
        for first in (1..=rows).step_by(usize::try_from(TOGETHER).unwrap()) {
            let last = first + TOGETHER - 1;
            let sql = format!(
                "INSERT INTO event (key, payload) SELECT id, to_jsonb(item) FROM item WHERE id BETWEEN {first} AND {last}"
            );
            client.batch_execute(&sql).unwrap();
        }
        let (items, cpu) = (sink.items(), running.cpu());
        let began = Instant::now();
        running.signal(Signal::SIGCONT);
        while sink.items() < items + rows {
            std::thread::sleep(Duration::from_millis(20));
        }
        let (took, cpu) = (began.elapsed(), running.cpu() - cpu);
        let rate = rows as f64 / took.as_secs_f64();
        let cpu = cpu.as_micros() as f64 / rows as f64;
        let mb = running.peak_kb() as f64 / 1024.0;
        println!("{:<28} {rate:>12.0} {cpu:>10.2} {mb:>9.1}", format!("events by {order}"));
    }
    connector.tear_down(running);
}

/// Makes an entry for each row.
fn change(client: &mut Client, rows: u64) {
    for first in (1..=rows).step_by(usize::try_from(TOGETHER).unwrap()) {
        let last = first + TOGETHER - 1;
        let sql = format!("UPDATE item SET stars = stars + 1 WHERE id BETWEEN {first} AND {last}");
        client.batch_execute(&sql).unwrap();
    }
}
