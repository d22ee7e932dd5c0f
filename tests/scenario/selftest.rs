//! `wal2es selftest`, on the servers that the tests have.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("finds_nothing_and_leaves_nothing", finds_nothing_and_leaves_nothing),
    Scenario::new("finds_what_is_wrong", finds_what_is_wrong),
];

fn made(case: &mut Case) -> i64 {
    let query = "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'wal2es_selftest%') \
                 + (SELECT count(*) FROM pg_publication) + (SELECT count(*) FROM pg_replication_slots WHERE database = $1)";
    case.sql.query_one(query, &[&case.database.name]).unwrap().get(0)
}

fn finds_nothing_and_leaves_nothing() {
    let mut case = Case::shared("selftest");
    let done = case.command(&["--json", "selftest", "--rounds", "2", "--seed", "7"]).expect_success();
    let said: Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!((&said["equal"], &said["rounds"], &said["seed"]), (&json!(true), &json!(2), &json!("7")));
    assert!(said["transactions"].as_u64().unwrap() > 0 && said["rows_compared"].as_u64().unwrap() > 0, "{said}");
    let faults = ["kills", "stops", "cuts_of_source", "cuts_of_target"].map(|kind| said[kind].as_u64().unwrap());
    assert!(faults.iter().sum::<u64>() >= 4, "{said}");
    assert_eq!(made(&mut case), 0);
}

/// Somebody else puts a document into its index.
fn finds_what_is_wrong() {
    let mut case = Case::shared("selftestbad");
    let over = AtomicBool::new(false);
    let search = case.search.clone();
    let done = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let found = search.find("wal2es_selftest_*_page").unwrap_or_default();
                for index in found.as_object().into_iter().flatten().map(|(index, _)| index) {
                    // Only the index of this test's database.
                    let owner = found[index]["mappings"]["_meta"]["wal2es"]["source"].to_string();
                    if owner.contains("selftestbad") {
                        let path = format!("{index}/_doc/nobody?version=1&version_type=external_gte");
                        let _ = search.try_request("PUT", &path, Some(r#"{"id": 0}"#));
                        let _ = search.try_request("POST", &format!("{index}/_refresh"), None);
                    }
                }
                std::thread::sleep(std::time::Duration::from_millis(200));
            }
        });
        let done = case.command(&["selftest", "--rounds", "1"]);
        over.store(true, Ordering::Relaxed);
        done
    });
    let done = done.expect(1, &["differ", "seed"]);
    assert!(done.stdout.contains("nobody"), "{}", done.stdout);
    assert!(made(&mut case) > 0, "it is left to be looked at");
    for index in search.find("wal2es_selftest_*").unwrap_or_default().as_object().into_iter().flatten() {
        if index.1.to_string().contains("selftestbad") {
            let _ = search.try_request("DELETE", index.0, None);
        }
    }
}
