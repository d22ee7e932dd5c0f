//! Memory is bounded, however large a table or a transaction is.

use std::time::Duration;

use super::Scenario;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::oracle;
use crate::support::{number, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("of_a_large_copy_and_transaction", large),
    Scenario::new("of_a_large_transaction_that_is_held", held),
];

const LIMIT_KB: u64 = 100 * 1024;
/// Above idle.
const HELD_KB: u64 = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(600);

fn large() {
    let rows = number("WAL2ES_TEST_ROWS", 1_000_000);
    let mut case = Case::shared("memory");
    for table in ["copied", "streamed"] {
        case.table(table, "id int PRIMARY KEY, name text, amount numeric(12, 2), at timestamptz");
    }
    case.execute(&insert("copied", rows));
    let connector = case.start(&["run", "--setup"]);
    let took = arrive(&mut case, connector, "copied", rows, LIMIT_KB);
    let connector = case.run();
    case.execute(&insert("streamed", rows));
    let took = (took, arrive(&mut case, connector, "streamed", rows, LIMIT_KB));
    println!("copy of {rows} rows: {}; transaction of {rows} rows: {}", took.0, took.1);
    some_are_equal(&mut case, &["copied", "streamed"], rows);
}

/// Through the spill directory: above what an idle connector has, not more than 64 MB.
fn held() {
    let rows = number("WAL2ES_TEST_ROWS", 1_000_000);
    let mut case = Case::shared("memory_held");
    case.read_by("streaming");
    case.table("streamed", "id int PRIMARY KEY, name text, amount numeric(12, 2), at timestamptz");
    let connector = case.run();
    let idle = peak_kb(&connector);
    case.execute(&insert("streamed", rows));
    let alias = case.alias("streamed");
    let took = arrive(&mut case, connector, "streamed", rows, idle + HELD_KB);
    println!("transaction of {rows} rows, held: {took}, idle {} MB", idle / 1024);
    assert_eq!(case.search.count(&alias), Some(rows));
    some_are_equal(&mut case, &["streamed"], rows);
}

fn insert(table: &str, rows: u64) -> String {
    format!(
        "INSERT INTO {table} SELECT n, 'a name of some length, number ' || n, n / 100.0, \
         timestamptz '2024-02-29' + n * interval '1 second' FROM generate_series(1, {rows}) n"
    )
}

/// Waits until all rows are there and tells how it went.
fn arrive(case: &mut Case, mut connector: Connector, table: &str, rows: u64, limit: u64) -> String {
    let began = std::time::Instant::now();
    let alias = case.alias(table);
    wait_for("all rows", PATIENCE, || {
        connector.must_run();
        (case.search.count(&alias) == Some(rows)).then_some(())
    });
    let took = began.elapsed();
    let peak = peak_kb(&connector);
    connector.stop();
    assert!(peak < limit, "{table}: {peak} kB resident at most, the limit is {limit}");
    format!("{:.0} rows/s, {} MB at most", rows as f64 / took.as_secs_f64(), peak / 1024)
}

/// The most that was ever resident.
fn peak_kb(connector: &Connector) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", connector.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The number of documents is right; of so many, some hundreds are compared.
fn some_are_equal(case: &mut Case, tables: &[&str], rows: u64) {
    let mut rng = fastrand::Rng::new();
    for &table in tables {
        let ids: Vec<String> = (0..500).map(|_| rng.u64(1..=rows).to_string()).collect();
        let filter = format!("id IN ({})", ids.join(", "));
        let alias = case.alias(table);
        oracle::compare_some(&mut case.sql, &case.search, table, &alias, &filter, &ids).expect_none();
    }
    case.check_positions();
}
