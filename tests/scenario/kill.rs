//! SIGKILL at any moment: nothing is lost, nothing is confirmed that the index does not hold.

use std::time::Duration;

use super::Scenario;
use crate::support::case::Case;
use crate::support::number;
use crate::support::seed::Seed;
use crate::support::workload::Workload;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("at_random_moments", at_random_moments),
    Scenario::new("during_the_first_copy", during_the_first_copy),
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
