//! A search server that can't be written to, or whose index is not ours to write.

use serde_json::json;

use super::Scenario;
use crate::support::case::Case;
use crate::support::{PATIENCE, shared};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("unreachable", unreachable),
    Scenario::new("read_only", read_only),
    Scenario::new("an_index_template_that_interferes", an_index_template_that_interferes),
    Scenario::new("a_foreign_index_of_that_name", a_foreign_index_of_that_name),
    Scenario::new("an_index_that_vanishes", an_index_that_vanishes),
    Scenario::new("an_index_that_was_replaced", an_index_that_was_replaced),
];

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.one_item();
    case
}

fn unreachable() {
    let mut case = case("notarget");
    case.config["target"]["url"] = json!(["http://127.0.0.1:1"]);
    case.command(&["run", "--setup"]).expect(1, &["127.0.0.1:1", "target.url"]);
    case.expect_nothing_in_target();
    // Something answers, but no search server.
    let postgres = format!("http://127.0.0.1:{}", case.database.port);
    case.config["target"]["url"] = json!([postgres]);
    let ended = case.command(&["run"]);
    assert!(matches!(ended.code, Some(1 | 2)), "{}", ended.stderr);
    case.expect_nothing_in_target();
}

fn read_only() {
    let pair = shared::fragile();
    let mut case = Case::on("readonly", &pair.postgres, &pair.search);
    case.one_item();
    let block = |value| json!({"persistent": {"cluster.blocks.read_only": value}});
    case.search.expect("PUT", "_cluster/settings", Some(&block(json!(true))));
    let ended = case.command(&["run", "--setup"]);
    case.search.expect("PUT", "_cluster/settings", Some(&block(json!(null))));
    let ended = ended.expect(2, &["read-only"]);
    assert!(ended.stderr.contains("remedy"), "{}", ended.stderr);
    case.expect_nothing_in_target();
    case.catch_up();
    case.compare();
}

fn an_index_template_that_interferes() {
    let mut case = case("template");
    let name = format!("{}-meddler", case.name);
    let template = json!({
        "index_patterns": [format!("{}-*", case.name)], "priority": 500,
        "template": {"mappings": {"properties": {"meddled": {"type": "keyword"}}}},
    });
    case.search.expect("PUT", &format!("_index_template/{name}"), Some(&template));
    let ended = case.command(&["run", "--setup"]);
    case.search.expect("DELETE", &format!("_index_template/{name}"), None);
    ended.expect(2, &["template-item", &name, "meddled"]);
    assert_eq!(case.search.count(&case.alias("item")), None, "readers see nothing of it");
    case.catch_up();
    case.compare();
}

fn a_foreign_index_of_that_name() {
    let mut case = case("foreignindex");
    let alias = case.alias("item");
    for taken in [alias.clone(), format!("{alias}-g1")] {
        case.search.expect("PUT", &format!("{taken}/_doc/1?refresh=true"), Some(&json!({"mine": true})));
        case.command(&["run", "--setup"]).expect(2, &[&alias, "not ours", "name"]);
        assert_eq!(case.search.field(&taken, "1", "mine"), Some(json!(true)));
        assert_eq!(case.search.count(&taken), Some(1));
        case.search.expect("DELETE", &taken, None);
    }
    case.catch_up();
    case.compare();
}

/// A write to an index that is gone makes it anew, with mappings of the server's own: that is noticed too.
fn an_index_that_vanishes() {
    let mut case = case("vanish");
    let connector = case.run();
    let index = case.search.behind(&case.alias("item")).unwrap();
    case.search.expect("DELETE", &index, None);
    case.execute("INSERT INTO item VALUES (2, 'two'); DELETE FROM item WHERE id = 1");
    let written = case.written();
    connector.end(PATIENCE / 2).expect(3, &[&index, "wal2es resync"]);
    assert!(case.confirmed() < written, "confirmed what was never in the index");
    case.command(&["run"]).expect(3, &[&index, "wal2es resync"]);
}

fn an_index_that_was_replaced() {
    let mut case = case("replace");
    case.catch_up();
    let index = case.search.behind(&case.alias("item")).unwrap();
    case.search.expect("DELETE", &index, None);
    case.search.expect("PUT", &index, Some(&json!({"aliases": {case.alias("item"): {}}})));
    case.execute("INSERT INTO item VALUES (2, 'two')");
    case.command(&["run"]).expect(3, &[&index, "another one", "wal2es resync"]);
    assert_eq!(case.search.count(&index), Some(0));
}
