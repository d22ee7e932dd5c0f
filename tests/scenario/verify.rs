//! `wal2es verify`: what differs is named, and nothing else.

use std::time::Duration;

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::seed::Seed;
use crate::support::workload::Workload;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("clean_under_constant_writes", clean_under_constant_writes),
    Scenario::new("differences_are_named", differences_are_named),
];

/// What `verify --json` says of its first index, and the exit code.
fn verify(case: &Case, arguments: &[&str]) -> (i32, Value) {
    let mut all = vec!["verify", "--json"];
    all.extend(arguments);
    let ended = case.command(&all);
    let said: Value = serde_json::from_str(&ended.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}{}", ended.stdout, ended.stderr));
    (ended.code.unwrap(), said)
}

/// `id: kind` of each difference of the first index, in order.
fn named(said: &Value) -> Vec<String> {
    let differences = said["indexes"][0]["differences"].as_array().unwrap();
    let text = |found: &Value| {
        format!("{}: {}", found["id"].as_str().unwrap(), found["kind"].as_str().unwrap())
    };
    let mut named: Vec<String> = differences.iter().map(text).collect();
    named.sort();
    named
}

fn clean_under_constant_writes() {
    let mut seed = Seed::new();
    let mut case = Case::shared("verify");
    Workload::prepare(&mut case);
    case.execute("INSERT INTO kv SELECT n, 0, 't' FROM generate_series(1, 300) n");
    let _connector = case.run();
    let workload = Workload::start(&case, seed.fork(), Duration::from_millis(2));
    for _ in 0..3 {
        let (code, said) = verify(&case, &[]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(said["equal"], true, "{said}");
        assert!(said["indexes"][0]["rows"].as_u64().unwrap() > 0, "{said}");
    }
    assert!(workload.stop() > 0);
    case.check();
}

/// Writes a document behind the connector's back.
fn plant(case: &Case, id: &str, version: u64, source: Option<&Value>) {
    let index = case.alias("item");
    let path = format!("{index}/_doc/{id}?version={version}&version_type=external_gte");
    let (status, text) = match source {
        Some(source) => case.search.request("PUT", &path, Some(source)),
        None => case.search.request("DELETE", &path, None),
    };
    assert!(status < 300, "{path}: {status} {text}");
}

fn version_of(case: &Case, id: &str) -> u64 {
    let found = case.search.find(&format!("{}/_doc/{id}", case.alias("item"))).unwrap();
    found["_version"].as_u64().unwrap()
}

fn differences_are_named() {
    let mut case = Case::shared("verifies");
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item SELECT n, 'name ' || n FROM generate_series(1, 1000) n");
    let _connector = case.run();
    case.execute("UPDATE item SET name = 'streamed' WHERE id <= 500");
    case.settle();
    let (code, said) = verify(&case, &[]);
    assert_eq!((code, &said["equal"]), (0, &json!(true)), "{said}");
    assert_eq!(said["indexes"][0]["documents"], 1000, "{said}");

    let at = version_of(&case, "7");
    plant(&case, "7", at, None);
    plant(&case, "8", at, Some(&json!({"id": 8, "name": "by hand"})));
    plant(&case, "5000", at, Some(&json!({"id": 5000, "name": "no row"})));
    plant(&case, "5001", 1, Some(&json!({"id": 5001, "name": "own version"})));
    plant(&case, "9", 1 << 60, Some(&json!({"id": 9, "name": "streamed"})));
    case.search.expect("POST", &format!("{}/_refresh", case.alias("item")), None);
    let (code, said) = verify(&case, &[]);
    assert_eq!(code, 1, "{said}");
    assert_eq!(
        named(&said),
        ["5000: extra", "5001: foreign version", "7: missing", "8: different", "9: foreign version"]
    );
    case.command(&["verify"]).expect(1, &["differ", "--repair"]);

    let (code, said) = verify(&case, &["--repair"]);
    assert_eq!(code, 1, "{said}");
    let not_repaired: Vec<&Value> = said["indexes"][0]["differences"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|found| found["repaired"] != true)
        .collect();
    assert_eq!(not_repaired.len(), 1, "{said}");
    assert_eq!(not_repaired[0]["id"], "9", "{said}");
    let (_, said) = verify(&case, &[]);
    assert_eq!(named(&said), ["9: foreign version"]);
    assert_eq!(case.search.field(&case.alias("item"), "8", "name"), Some("streamed".into()));
    case.command(&["verify", "nothing"]).expect(2, &["no index nothing"]);
}
