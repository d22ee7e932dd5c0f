//! SIGTERM: what has arrived is finished and confirmed.

use std::time::Duration;

use super::Scenario;
use crate::support::case::Case;
use crate::support::postgres::lsn;
use crate::support::seed::Seed;
use crate::support::workload::Workload;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("drains_and_confirms", drains_and_confirms),
    Scenario::new("under_load", under_load),
];

fn drains_and_confirms() {
    let mut case = Case::shared("stop");
    case.table("item", "id int PRIMARY KEY, name text");
    let connector = case.run();
    case.execute("INSERT INTO item SELECT n, 'item' FROM generate_series(1, 20000) n");
    case.settle();
    connector.stop();
    case.compare();
    let state = confirmed_is_applied(&mut case);
    assert_eq!(state["visible_lsn"], state["applied_lsn"]);

    case.execute("UPDATE item SET name = 'while stopped' WHERE id % 7 = 0");
    case.execute("DELETE FROM item WHERE id % 11 = 0");
    let connector = case.run();
    case.compare();
    connector.stop();
    case.catch_up();
    case.compare();
}

fn confirmed_is_applied(case: &mut Case) -> serde_json::Value {
    let state = case.state().unwrap();
    let applied = lsn(state["applied_lsn"].as_str().unwrap());
    assert_eq!(case.confirmed(), applied, "confirmed and applied");
    state
}

fn under_load() {
    let mut seed = Seed::new();
    let mut case = Case::shared("stops");
    Workload::prepare(&mut case);
    let workload = Workload::start(&case, seed.fork(), Duration::from_millis(1));
    for _ in 0..5 {
        let connector = case.run_busy();
        let enough = workload.done() + seed.rng.u64(10..200);
        wait_for("some load", PATIENCE, || (workload.done() > enough).then_some(()));
        connector.stop();
        confirmed_is_applied(&mut case);
    }
    workload.stop();
    case.catch_up();
    case.compare();
}
