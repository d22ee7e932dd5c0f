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
    Scenario::new("tables_of_all_shapes", tables_of_all_shapes),
    Scenario::new("the_stream_goes_on_after_a_repair", the_stream_goes_on_after_a_repair),
    Scenario::new("needs_the_connector", needs_the_connector),
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
    let workload = Workload::start(&case, seed.fork(), Duration::from_millis(10));
    for _ in 0..2 {
        let (code, said) = verify(&case, &[]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(said["equal"], true, "{said}");
        assert!(said["indexes"][0]["rows"].as_u64().unwrap() > 0, "{said}");
    }
    assert!(workload.stop() > 0);
    case.check();
}

/// Writes a document behind the connector's back.
fn plant(case: &Case, index: &str, id: &str, version: u64, source: Option<&Value>) {
    let id = encoded(id);
    let path = format!("{index}/_doc/{id}?version={version}&version_type=external_gte");
    let (status, text) = match source {
        Some(source) => case.search.request("PUT", &path, Some(source)),
        None => case.search.request("DELETE", &path, None),
    };
    assert!(status < 300, "{path}: {status} {text}");
}

/// As it stands in a path.
fn encoded(id: &str) -> String {
    id.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn version_of(case: &Case, index: &str, id: &str) -> u64 {
    let found = case.search.find(&format!("{index}/_doc/{}", encoded(id))).unwrap();
    found["_version"].as_u64().unwrap()
}

/// Searches see what was planted.
fn show(case: &Case, index: &str) {
    case.search.expect("POST", &format!("{index}/_refresh"), None);
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

    let item = case.alias("item");
    let at = version_of(&case, &item, "7");
    let by_hand = |id: &str, version: u64, name: &str| {
        let id_of_row: u32 = id.parse().unwrap();
        plant(&case, &item, id, version, Some(&json!({"id": id_of_row, "name": name})));
    };
    plant(&case, &item, "7", at, None);
    by_hand("8", at, "by hand");
    by_hand("5000", at, "no row");
    by_hand("5001", 1, "own version");
    by_hand("9", 1 << 60, "streamed");
    // The same value in another text: nothing that readers could tell.
    let path = format!("{item}/_doc/10?version={at}&version_type=external_gte");
    let other = r#"{ "name": "\u0073treamed", "id": 10 }"#;
    assert_eq!(case.search.try_request("PUT", &path, Some(other)).unwrap().0, 200);
    show(&case, &item);
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

fn tables_of_all_shapes() {
    let mut case = Case::shared("verifying");
    case.table("empty", "id int PRIMARY KEY");
    case.table("pair", "a int, b text, v numeric, PRIMARY KEY (b, a)");
    case.table("long", "id text PRIMARY KEY, v jsonb");
    case.table("parts", "id int PRIMARY KEY, v text) PARTITION BY RANGE (id");
    case.table("few", "id int PRIMARY KEY, shown int, hidden text");
    case.config["indexes"][1]["settings"] = json!({"number_of_shards": 3});
    case.config["indexes"][4]["columns"] = json!(["id", "shown"]);
    case.execute(
        "CREATE TABLE low PARTITION OF parts FOR VALUES FROM (0) TO (50);
         CREATE TABLE high PARTITION OF parts FOR VALUES FROM (50) TO (1000);
         INSERT INTO pair SELECT n, 'text \" ' || n, n / 7.0 FROM generate_series(1, 100) n;
         INSERT INTO long SELECT repeat('long ', n * 5) || n, jsonb_build_object('n', n, 'x', 1.50) FROM generate_series(1, 100) n;
         INSERT INTO parts SELECT n, 'v' FROM generate_series(1, 99) n;
         INSERT INTO few SELECT n, n, 'hidden' FROM generate_series(1, 100) n",
    );
    let _connector = case.run();
    let (code, said) = verify(&case, &[]);
    assert_eq!(code, 0, "{said}");
    let count = |at: usize| (said["indexes"][at]["rows"].as_u64(), said["indexes"][at]["documents"].as_u64());
    assert_eq!(count(0), (Some(0), Some(0)));
    for (at, of) in [(1, 100), (2, 100), (3, 99), (4, 100)] {
        assert_eq!(count(at), (Some(of), Some(of)), "{said}");
    }
    // One document of each goes, and must be named and come back.
    let mut gone = Vec::new();
    for table in ["pair", "long", "parts", "few"] {
        let alias = case.alias(table);
        let documents = crate::support::oracle::documents(&case.search, &alias);
        let (id, document) = documents.into_iter().max_by_key(|(id, _)| (id.starts_with("sha256:"), id.len())).unwrap();
        plant(&case, &alias, &id, document.version, None);
        show(&case, &alias);
        gone.push(id);
    }
    assert!(gone[1].starts_with("sha256:"), "{gone:?}");
    let (code, said) = verify(&case, &["--repair"]);
    assert_eq!(code, 0, "{said}");
    for (at, id) in gone.iter().enumerate() {
        let found = &said["indexes"][at + 1]["differences"];
        assert_eq!(*found, json!([{"id": id, "kind": "missing", "version": null, "repaired": true, "reason": null}]));
    }
    let few = case.alias("few");
    assert_eq!(case.search.field(&few, &gone[3], "hidden"), None);
    assert!(case.search.field(&few, &gone[3], "shown").is_some());
    assert_eq!(case.search.count(&case.alias("pair")), Some(100));
    let (code, said) = verify(&case, &["--copies", &case.alias("pair")]);
    assert_eq!((code, &said["indexes"][0]["copies"]["compared"]), (0, &json!(3)), "{said}");
    let (code, said) = verify(&case, &[&case.alias("long")]);
    assert_eq!((code, said["indexes"].as_array().unwrap().len()), (0, 1), "{said}");
}

fn the_stream_goes_on_after_a_repair() {
    let mut case = Case::shared("verified");
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item SELECT n, 'name' FROM generate_series(1, 50) n");
    let _connector = case.run();
    let item = case.alias("item");
    let at = version_of(&case, &item, "1");
    for id in ["1", "2", "3"] {
        plant(&case, &item, id, at, None);
        let (changed, extra) = (format!("1{id}"), format!("20{id}"));
        plant(&case, &item, &changed, at, Some(&json!({"id": 0, "name": "wrong"})));
        plant(&case, &item, &extra, at, Some(&json!({"id": 0, "name": "extra"})));
    }
    show(&case, &item);
    let (code, said) = verify(&case, &["--repair"]);
    assert_eq!((code, named(&said).len()), (0, 9), "{said}");
    case.compare();
    case.execute(
        "UPDATE item SET name = 'new' WHERE id IN (1, 11); DELETE FROM item WHERE id IN (2, 12);
         INSERT INTO item VALUES (201, 'now there'), (202, 'and gone'); DELETE FROM item WHERE id = 202",
    );
    case.check();
    // A replay of what was before the repair changes nothing.
    case.execute("DELETE FROM item WHERE id IN (3, 13)");
    case.check();
}

fn needs_the_connector() {
    let mut case = Case::shared("verifier");
    case.one_item();
    case.command(&["verify"]).expect(2, &["wal2es"]);
    let connector = case.run();
    assert_eq!(verify(&case, &[]).0, 0);
    connector.stop();
    case.command(&["verify", "--timeout", "1s"]).expect(1, &["wal2es run", "can't be compared"]);
}
