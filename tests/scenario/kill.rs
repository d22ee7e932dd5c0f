//! SIGKILL at any moment: nothing is lost, nothing is confirmed that the index does not hold.

use std::time::{Duration, Instant};

use super::Scenario;
use crate::support::case::Case;
use crate::support::sampler::Sampler;
use crate::support::seed::Seed;
use crate::support::workload::Workload;
use crate::support::{PATIENCE, number};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("at_random_moments", at_random_moments),
    Scenario::new("during_the_first_copy", during_the_first_copy),
    Scenario::new("while_generations_change", while_generations_change),
];

/// Index and table are compared after so many kills.
const COMPARE_EVERY: u64 = 10;

fn at_random_moments() {
    let kills = number("WAL2ES_TEST_KILLS", 30);
    let mut seed = Seed::new();
    let mut case = Case::shared("kill");
    // Many small requests, so that most kills fall between two of them.
    case.config["pipeline"] = serde_json::json!({"batch_rows": 40});
    Workload::prepare(&mut case);
    case.catch_up();
    let workload = Workload::start(&case, seed.fork(), Duration::from_millis(1));
    for number in 1..=kills {
        let mut connector = case.start(&["run"]);
        std::thread::sleep(Duration::from_millis(seed.rng.u64(20..600)));
        connector.must_run();
        connector.kill();
        case.check_positions();
        if number % COMPARE_EVERY == 0 || number == kills {
            let _quiet = workload.pause();
            case.catch_up();
            case.compare();
        }
    }
    println!("{kills} SIGKILLs during {} transactions", workload.stop());
}

/// Two copies are never mixed.
fn during_the_first_copy() {
    let mut seed = Seed::new();
    let mut case = Case::shared("killcopy");
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item SELECT n, 'old' FROM generate_series(1, 20000) n");
    case.command(&["setup"]).expect_success();
    for round in 0..6 {
        let mut connector = case.start(&["run"]);
        std::thread::sleep(Duration::from_millis(seed.rng.u64(50..900)));
        connector.must_run();
        connector.kill();
        case.check_positions();
        case.execute(&format!("DELETE FROM item WHERE id % 50 = {round}; UPDATE item SET name = 'new' WHERE id % 60 = {round}"));
    }
    case.catch_up();
    case.compare();
}

/// Kills of a connector, and of resyncs beside it or in its place: readers always find the whole of a table, and nothing is
/// left behind.
fn while_generations_change() {
    let kills = number("WAL2ES_TEST_KILLS", 30) / 2;
    let mut seed = Seed::new();
    let mut case = Case::shared("kill_resync");
    case.config["pipeline"] = serde_json::json!({"batch_rows": 200, "keep_generation": "0s"});
    Workload::prepare(&mut case);
    case.table("still", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO still SELECT n, 7 FROM generate_series(1, 3000) n");
    case.catch_up();
    let workload = Workload::start(&case, seed.fork(), Duration::from_millis(2));
    let sampler = Sampler::start(&case.search, &case.alias("still"), 3000);
    let (mut done, mut checked) = (0, 0);
    while done < kills {
        // Alone or beside each other; whoever is not killed goes on until the next turn.
        let (with_run, with_resync) = [(true, true), (true, false), (false, true)][seed.rng.usize(..3)];
        let run = with_run.then(|| case.start(&["run"]));
        let resync = with_resync.then(|| case.start(&["resync"]));
        std::thread::sleep(Duration::from_millis(seed.rng.u64(50..3500)));
        let running: Vec<_> = [run, resync].into_iter().flatten().collect();
        for mut process in running {
            match process.ended().map(|status| status.code()) {
                // Done, or in the way of the other one.
                Some(Some(0 | 1)) => {}
                Some(code) => panic!("{code:?}: {}", process.log()),
                None => {
                    process.kill();
                    done += 1;
                }
            }
            std::thread::sleep(Duration::from_millis(seed.rng.u64(0..300)));
        }
        if done >= checked + COMPARE_EVERY || done >= kills {
            checked = done;
            let _quiet = workload.pause();
            case.catch_up();
            case.compare();
            assert_eq!(super::resync::slots(&mut case), ["kill_resync"]);
            let connector = case.run();
            for alias in ["kv", "log", "still"].map(|table| case.alias(table)) {
                one_index_is_left(&mut case, &alias);
            }
            connector.stop();
        }
    }
    let seen = sampler.stop();
    assert_eq!((seen.torn, seen.states), (0, 1), "{seen} {}", seen.example);
    println!("{done} SIGKILLs during {} transactions", workload.stop());
}

/// Nothing is left of what was built before, after a while.
fn one_index_is_left(case: &mut Case, alias: &str) {
    let began = Instant::now();
    while case.search.generations(alias).len() != 1 {
        if began.elapsed() > PATIENCE {
            let (left, state) = (case.search.generations(alias), case.state());
            let all = case.search.find("wal2es-state/_search?size=50&_source=indexes.index,step");
            panic!("left: {left:?}; state: {state:?}; documents: {all:?}");
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
