//! What somebody does to the target while the connector runs is noticed, named, and stops it; nothing more is confirmed.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("settings_of_an_index", settings_of_an_index),
    Scenario::new("mapping_of_an_index", mapping_of_an_index),
    Scenario::new("an_alias_turned_elsewhere", an_alias_turned_elsewhere),
    Scenario::new("an_index_deleted", an_index_deleted),
    Scenario::new("a_state_document_deleted", a_state_document_deleted),
    Scenario::new("a_document_with_a_foreign_version", a_document_with_a_foreign_version),
    Scenario::new("nothing", nothing),
];

/// Runs, does something to the target, and expects the connector to stop and say these words. With `write`, it is the
/// next write that notices.
fn stops(name: &str, write: bool, tamper: impl Fn(&mut Case, &str), words: &[&str]) {
    let mut case = Case::shared(name);
    case.config["target"]["check_interval"] = json!("300ms");
    case.one_item();
    let connector = case.run();
    let index = format!("{}-g1", case.alias("item"));
    tamper(&mut case, &index);
    let before = case.confirmed();
    if write {
        case.execute("UPDATE item SET name = 'changed'");
    }
    connector.end(PATIENCE).expect(3, words);
    assert!(!write || case.confirmed() == before, "confirmed what the index may not hold");
}

fn put(case: &Case, path: &str, body: &Value) {
    case.search.json("PUT", path, Some(body));
}

fn settings_of_an_index() {
    stops(
        "tampersettings",
        false,
        |case, index| put(case, &format!("{index}/_settings"), &json!({"index.translog.durability": "async"})),
        &["index.translog.durability", "async", "wal2es resync"],
    );
}

fn mapping_of_an_index() {
    stops(
        "tampermapping",
        false,
        |case, index| put(case, &format!("{index}/_mapping"), &json!({"properties": {"more": {"type": "long"}}})),
        &["mapping", "properties.more was added", "wal2es resync"],
    );
}

fn an_alias_turned_elsewhere() {
    stops(
        "tamperalias",
        false,
        |case, index| {
            put(case, "tamperalias-other", &json!({}));
            let alias = case.alias("item");
            let actions = json!({"actions": [
                {"remove": {"index": index, "alias": alias}}, {"add": {"index": "tamperalias-other", "alias": alias}},
            ]});
            case.search.json("POST", "_aliases", Some(&actions));
        },
        &["alias tamperalias-item", "tamperalias-other", "turn it back"],
    );
    let search = Case::shared("tamperalias2").search.clone();
    let _ = search.try_request("DELETE", "tamperalias-other", None);
}

fn an_index_deleted() {
    stops(
        "tamperdeleted",
        true,
        |case, index| {
            case.search.json("DELETE", index, None);
        },
        &["tamperdeleted-item-g1", "wal2es resync"],
    );
}

fn a_state_document_deleted() {
    stops(
        "tamperstate",
        true,
        |case, _| {
            let id = case.state_id();
            case.search.json("DELETE", &format!("wal2es-state/_doc/{id}"), None);
        },
        &["state document", "deleted by somebody else"],
    );
}

fn a_document_with_a_foreign_version() {
    stops(
        "tamperversion",
        true,
        |case, index| {
            let path = format!("{index}/_doc/1?version=4611686018427387904&version_type=external");
            put(case, &path, &json!({"id": 1, "name": "foreign"}));
        },
        &["document \"1\"", "4611686018427387904", "somebody else writes to this index"],
    );
}

/// Truncations, generations and rollbacks are no tampering.
fn nothing() {
    let mut case = Case::shared("tampernot");
    case.config["target"]["check_interval"] = json!("100ms");
    case.one_item();
    let mut connector = case.run();
    for round in 0..20 {
        case.execute(&format!("TRUNCATE item; INSERT INTO item VALUES ({round}, 'again')"));
        case.settle();
    }
    case.command(&["resync"]).expect_success();
    let alias = case.alias("item");
    for _ in 0..3 {
        case.command(&["rollback", &alias]).expect_success();
        case.command(&["rollback", "--undo", &alias]).expect_success();
        case.command(&["resync"]).expect_success();
    }
    connector.must_run();
    case.check();
    connector.stop();
}
