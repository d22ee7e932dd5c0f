//! `wal2es wait`: read your own writes.

use std::time::Duration;

use super::Scenario;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("returns_when_searchable", returns_when_searchable),
    Scenario::new("gives_up_in_time", gives_up_in_time),
    Scenario::new("for_a_transaction", for_a_transaction),
];

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO item VALUES (0, 0)");
    case
}

fn returns_when_searchable() {
    let mut case = case("wait");
    let _connector = case.run();
    let alias = case.alias("item");
    for n in 1..=30 {
        case.execute(&format!("INSERT INTO item SELECT i, 0 FROM generate_series({n} * 1000, {n} * 1000 + {n} * 20) i"));
        case.execute(&format!("UPDATE item SET n = {n} WHERE id = 0"));
        let said = case.command(&["wait"]).expect_success();
        assert!(said.stdout.contains("searchable"), "{}", said.stdout);
        assert_eq!(case.search.field(&alias, "0", "n"), Some(n.into()));
    }
    let said = case.command(&["wait", "--json"]).expect_success();
    let said: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert!(said["reached"].is_string(), "{said}");
}

fn gives_up_in_time() {
    let mut case = case("waits");
    case.command(&["wait"]).expect(2, &["run"]);
    let connector = case.run();
    case.command(&["wait", "FFFF/0", "--timeout", "300ms"]).expect(1, &["FFFF/0", "300ms", "wal2es run"]);
    connector.stop();
    case.execute("UPDATE item SET n = 1");
    case.command(&["wait", "--timeout", "300ms"]).expect(1, &["not reached"]);
    // Others write meanwhile, and nobody follows them any more.
    let written: String = case.sql.query_one("SELECT pg_current_wal_lsn()::text", &[]).unwrap().get(0);
    case.catch_up();
    case.command(&["wait", &written, "--timeout", "5s"]).expect_success();
    case.command(&["wait", "nonsense"]).expect(2, &["nonsense"]);
}

fn for_a_transaction() {
    let mut case = case("waitxid");
    let _connector = case.run();
    let alias = case.alias("item");
    case.execute("BEGIN; UPDATE item SET n = 7");
    let xid: String = case.sql.query_one("SELECT pg_current_xact_id()::text", &[]).unwrap().get(0);
    case.command(&["wait", "--xid", &xid, "--timeout", "300ms"]).expect(1, &[&xid, "open"]);
    let waiting = case.start(&["wait", "--xid", &xid]);
    case.execute("COMMIT");
    waiting.end(Duration::from_secs(30)).expect_success();
    assert_eq!(case.search.field(&alias, "0", "n"), Some(7.into()));
    case.execute("BEGIN; UPDATE item SET n = 8");
    let xid: String = case.sql.query_one("SELECT pg_current_xact_id()::text", &[]).unwrap().get(0);
    case.execute("ROLLBACK");
    case.command(&["wait", "--xid", &xid]).expect(2, &[&xid, "rolled back"]);
}
