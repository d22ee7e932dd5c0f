//! What `setup` makes and `teardown` removes.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::oracle::{self, Versions};
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("prints_what_it_would_do", prints_what_it_would_do),
    Scenario::new("may_be_done_twice", may_be_done_twice),
    Scenario::new("without_a_file", without_a_file),
    Scenario::new("teardown_keeps_indices", teardown_keeps_indices),
    Scenario::new("teardown_with_indices", teardown_with_indices),
    Scenario::new("teardown_of_a_running_one", teardown_of_a_running_one),
    Scenario::new("status_tells", status_tells),
];

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item VALUES (1, 'one'), (2, 'two')");
    case
}

fn prints_what_it_would_do() {
    let mut case = case("setupprint");
    let sql = case.command(&["setup", "--print"]).expect_success().stdout;
    case.expect_nothing_made();
    for statement in sql.split(";\n") {
        case.execute(statement);
    }
    case.command(&["run", "--until-caught-up"]).expect_success();
    case.compare();
}

fn may_be_done_twice() {
    let mut case = case("setuptwice");
    for _ in 0..2 {
        case.command(&["setup"]).expect_success();
    }
    case.expect_nothing_in_target();
    for _ in 0..2 {
        let said = case.command(&["run", "--until-caught-up"]).expect_success();
        assert!(said.stdout.contains("searchable"), "{}", said.stdout);
        case.compare();
    }
}

/// Slot and publication get their default names, so no other test may do this.
fn without_a_file() {
    let mut case = Case::shared("fileless");
    case.execute("CREATE TABLE fileless_item (id int PRIMARY KEY, name text)");
    case.execute("INSERT INTO fileless_item VALUES (1, 'one')");
    let (source, target) = (case.database.url(), case.search.url.clone());
    let mut arguments = vec!["run", "--source", &source, "--target", &target];
    arguments.extend(["--table", "public.fileless_item", "--until-caught-up"]);
    for name in ["two", "three"] {
        let run = Connector::start(case.dir.path(), &arguments, &[]);
        run.end(PATIENCE).expect_success();
        oracle::compare(&mut case.sql, &case.search, "fileless_item", "fileless_item", Versions::Commits(None)).expect_none();
        case.execute(&format!("INSERT INTO fileless_item SELECT max(id) + 1, '{name}' FROM fileless_item"));
    }
    case.search.expect("DELETE", "fileless_item-g1", None);
}

fn teardown_keeps_indices() {
    let mut case = case("teardown");
    case.catch_up();
    let alias = case.alias("item");
    assert_eq!(refresh_interval(&case, &alias), json!("-1"));
    let said = case.command(&["teardown"]).expect_success();
    assert!(said.stdout.contains("kept"), "{}", said.stdout);
    nothing_is_left(&mut case);
    assert_eq!(case.search.count(&alias), Some(2));
    // The index refreshes itself again.
    assert_eq!(refresh_interval(&case, &alias), Value::Null);
    let put = json!({"id": 3});
    case.search.expect("PUT", &format!("{alias}/_doc/3"), Some(&put));
    wait_for("a refresh", PATIENCE, || (case.search.count(&alias) == Some(3)).then_some(()));
}

fn refresh_interval(case: &Case, alias: &str) -> Value {
    let found = case.search.find(&format!("{alias}/_settings?flat_settings=true")).unwrap();
    let index = found.as_object().unwrap().values().next().unwrap();
    index["settings"]["index.refresh_interval"].clone()
}

fn nothing_is_left(case: &mut Case) {
    assert_eq!(case.state(), None);
    for query in ["SELECT count(*) FROM pg_publication", "SELECT count(*) FROM pg_replication_slots WHERE database = current_database()"] {
        assert_eq!(case.sql.query_one(query, &[]).unwrap().get::<_, i64>(0), 0, "{query}");
    }
}

fn teardown_with_indices() {
    let mut case = case("teardownall");
    case.catch_up();
    case.command(&["teardown", "--indices"]).expect_success();
    nothing_is_left(&mut case);
    case.expect_nothing_made();
    case.command(&["teardown", "--indices"]).expect_success();
    // And everything again from the start.
    case.catch_up();
    case.compare();
}

fn teardown_of_a_running_one() {
    let mut case = case("teardownrun");
    let _connector = case.run();
    case.command(&["teardown", "--indices"]).expect(1, &["teardownrun", "in use", "stop"]);
    case.check();
}

fn status_tells() {
    let mut case = case("status");
    let state = |case: &Case| -> Value {
        let said = case.command(&["status", "--json"]).expect_success();
        serde_json::from_str(&said.stdout).unwrap()
    };
    assert_eq!(state(&case)["state"], "no slot");
    case.command(&["setup"]).expect_success();
    assert_eq!(state(&case)["state"], "never run");
    let connector = case.run();
    let running = state(&case);
    assert_eq!(running["state"], "streaming");
    assert_eq!(running["indexes"][0]["name"], case.alias("item"));
    assert!(running["lag_bytes"].is_u64());
    connector.stop();
    wait_for("the slot to be free", PATIENCE, || (state(&case)["state"] == "stopped").then_some(()));
}
