//! Requests that were given up and are executed late: what was deleted meanwhile does not stay.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::fault::{Answers, Fault, Protocol, Proxy};
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("what_comes_back_is_deleted_again", what_comes_back_is_deleted_again),
    Scenario::new("a_restart_knows_what_may_come_back", a_restart_knows_what_may_come_back),
    Scenario::new("what_was_sent_before_a_kill_may_come_back", what_was_sent_before_a_kill_may_come_back),
];

/// A table with one row whose insert was never answered, and the version that the document got.
fn unanswered(name: &str, limit: &str) -> (Case, Proxy, Connector, u64) {
    let mut case = Case::shared(name);
    case.table("item", "id int PRIMARY KEY, name text");
    let port = case.search.url.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::start(Protocol::Http, port, fastrand::Rng::with_seed(1));
    case.config["target"]["url"] = json!([format!("http://127.0.0.1:{}", proxy.port)]);
    case.config["pipeline"] = json!({ "zombie_limit": limit });
    let connector = case.run();
    proxy.set(Fault::Answered(Answers::Lost, 100));
    case.execute("INSERT INTO item VALUES (1, 'back from the dead')");
    let alias = case.alias("item");
    let version = wait_for("the document", PATIENCE, || version_of(&case, &alias));
    proxy.heal();
    case.check();
    (case, proxy, connector, version)
}

fn version_of(case: &Case, alias: &str) -> Option<u64> {
    case.search.find(&format!("{alias}/_doc/1"))?["_version"].as_u64()
}

/// Does what a server does that executes the request only now, its tombstone being forgotten.
fn execute_late(case: &Case, version: u64) {
    let alias = case.alias("item");
    let index = case.search.generations(&alias).pop().unwrap();
    let gc_deletes = |value: &str| {
        let settings = json!({ "index.gc_deletes": value });
        case.search.expect("PUT", &format!("{index}/_settings"), Some(&settings));
    };
    gc_deletes("0s");
    let path = format!("{index}/_doc/1?version={version}&version_type=external");
    let ghost = json!({"id": 1, "name": "back from the dead"});
    wait_for("the tombstone to be forgotten", PATIENCE, || {
        case.search.expect("POST", &format!("{index}/_refresh"), None);
        let (status, _) = case.search.request("PUT", &path, Some(&ghost));
        (status == 201).then_some(())
    });
    case.search.expect("POST", &format!("{index}/_refresh"), None);
    gc_deletes("60s");
}

/// Neither a search nor a GET finds it any more.
fn expect_gone(case: &Case, connector: &mut Connector) {
    let alias = case.alias("item");
    wait_for("the document to go again", PATIENCE, || {
        connector.must_run();
        (version_of(case, &alias).is_none() && case.search.count(&alias) == Some(0)).then_some(())
    });
}

/// The documents of suspects that the state names.
fn named(case: &mut Case) -> Vec<String> {
    let state = case.state().unwrap();
    let ids = state["suspects"].as_array().unwrap().iter().map(|chunk| chunk["id"].clone());
    ids.map(|id| id.as_str().unwrap().to_owned()).collect()
}

fn what_comes_back_is_deleted_again() {
    let (mut case, _proxy, mut connector, version) = unanswered("late", "20s");
    case.execute("DELETE FROM item");
    case.check();
    let documents = named(&mut case);
    assert_eq!(documents.len(), 1);
    let suspects = wait_for("the status", PATIENCE, || {
        let status = case.command(&["status", "--json"]).expect_success();
        let status: Value = serde_json::from_str(&status.stdout).unwrap();
        status["suspects"].as_u64().filter(|suspects| *suspects > 0)
    });
    assert_eq!(suspects, 1);
    execute_late(&case, version);
    expect_gone(&case, &mut connector);
    assert!(connector.log().contains("is deleted again"), "{}", connector.log());
    // And one day it is over.
    wait_for("the end of it", PATIENCE, || named(&mut case).is_empty().then_some(()));
    wait_for("the documents to go", PATIENCE, || {
        case.search.find(&format!("wal2es-state/_doc/{}", documents[0])).is_none().then_some(())
    });
    case.check();
    connector.stop();
}

/// Whatever came back while nobody ran is deleted then.
fn a_restart_knows_what_may_come_back() {
    let (mut case, _proxy, connector, version) = unanswered("laterestart", "20s");
    connector.stop();
    // The key is kept, not only the delete.
    let connector = case.run();
    case.execute("DELETE FROM item");
    case.settle();
    connector.stop();
    assert!(!named(&mut case).is_empty());
    execute_late(&case, version);
    let mut connector = case.start(&["run"]);
    expect_gone(&case, &mut connector);
    connector.stop();
    case.check_positions();
}

/// The process before did not live to see an answer, or to keep that there was none.
fn what_was_sent_before_a_kill_may_come_back() {
    let mut case = Case::shared("latekill");
    case.table("item", "id int PRIMARY KEY, name text");
    let port = case.search.url.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Proxy::start(Protocol::Http, port, fastrand::Rng::with_seed(1));
    case.config["target"]["url"] = json!([format!("http://127.0.0.1:{}", proxy.port)]);
    case.config["pipeline"] = json!({ "zombie_limit": "20s" });
    let connector = case.run();
    proxy.set(Fault::Answered(Answers::Lost, 100));
    case.execute("INSERT INTO item VALUES (1, 'back from the dead')");
    let alias = case.alias("item");
    let version = wait_for("the document", PATIENCE, || version_of(&case, &alias));
    connector.kill();
    case.execute("DELETE FROM item");
    proxy.heal();
    let mut connector = case.run();
    case.check();
    execute_late(&case, version);
    expect_gone(&case, &mut connector);
    connector.stop();
}
