//! What capturing changes costs those who write: rows committed one by one by several sessions, as applications do.
//!
//! `benches/outbox.sh` starts the server. Each way has a table of its own and is measured in turn, several rounds of all of
//! them, so that what disturbs the machine disturbs all; the median of the rounds counts. Nothing reads what was captured
//! meanwhile: what that costs is the reader's, and depends on where it runs.

#![allow(
    missing_docs,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench fails by panicking and prints"
)]

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use outbox::{Captured, Queue};
use postgres::{Client, NoTls};

const WAYS: [&str; 4] = ["alone", "queue", "copied", "slot"];
const COLUMNS: &str = "(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text, price numeric(10,2), made timestamptz DEFAULT now())";

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let (Some(replica), Some(logical)) = (arguments.next(), arguments.next()) else {
        println!("started by benches/outbox.sh");
        return;
    };
    let number =
        |text: Option<String>, default: u64| text.map_or(default, |text| text.parse().unwrap());
    let writers = number(arguments.next(), 4);
    let seconds = number(arguments.next(), 4);
    let rounds = number(arguments.next(), 5);
    prepare(&replica, &logical);
    let mut rates: Vec<Vec<u64>> = vec![Vec::new(); WAYS.len()];
    for _ in 0..rounds {
        for (way, rates) in WAYS.iter().zip(&mut rates) {
            let server = if *way == "slot" { &logical } else { &replica };
            rates.push(insert(server, way, writers, Duration::from_secs(seconds)));
        }
    }
    let medians: Vec<u64> = rates.iter_mut().map(|rates| median(rates)).collect();
    for (way, rate) in WAYS.iter().zip(&medians) {
        let ratio = *rate as f64 / medians[0] as f64;
        println!("{way:8} {rate:>7} inserts/s  {ratio:.2} of alone");
    }
}

fn prepare(replica: &str, logical: &str) {
    let mut client = Client::connect(replica, NoTls).unwrap();
    for way in WAYS {
        client.batch_execute(&format!("CREATE TABLE {way} {COLUMNS}")).unwrap();
    }
    let oid = client.query_one("SELECT 'queue'::regclass::oid", &[]).unwrap().get(0);
    let name = change::TableName::new("public", "queue");
    let captured = Captured {
        oid,
        name,
        key: vec!["id".into()],
        depends_on_settings: false,
        parts: Vec::new(),
    };
    client.batch_execute(&Queue::new("wal2es").install(&[captured])).unwrap();
    client
        .batch_execute(
            "CREATE TABLE copy (LIKE copied INCLUDING INDEXES); \
             CREATE FUNCTION copy() RETURNS trigger LANGUAGE plpgsql AS \
               $$ BEGIN INSERT INTO copy SELECT NEW.*; RETURN NULL; END $$; \
             CREATE TRIGGER copy AFTER INSERT ON copied FOR EACH ROW EXECUTE FUNCTION copy()",
        )
        .unwrap();
    let mut client = Client::connect(logical, NoTls).unwrap();
    client.batch_execute(&format!("CREATE TABLE slot {COLUMNS}")).unwrap();
    let slot = "SELECT pg_create_logical_replication_slot('bench', 'pgoutput')";
    client.batch_execute(slot).unwrap();
}

/// Inserts a second, by so many sessions.
fn insert(server: &str, table: &str, writers: u64, time: Duration) -> u64 {
    let (stop, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..writers {
            scope.spawn(|| {
                let mut client = Client::connect(server, NoTls).unwrap();
                let sql = format!(
                    "INSERT INTO {table} (name, price) VALUES ('an item of some length', 12.34)"
                );
                let insert = client.prepare(&sql).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    client.execute(&insert, &[]).unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        std::thread::sleep(time);
        stop.store(true, Ordering::Relaxed);
    });
    let micros = u64::try_from(began.elapsed().as_micros()).unwrap();
    done.into_inner() * 1_000_000 / micros
}

fn median(rates: &mut [u64]) -> u64 {
    rates.sort_unstable();
    rates[rates.len() / 2]
}
