//! Values that Postgres can hold and the target can't: the row has no document but a dead letter, and the stream goes on.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::{PATIENCE, http, wait_for};
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("from_the_copy", from_the_copy),
    Scenario::new("from_the_stream", from_the_stream),
    Scenario::new("after_a_document_and_before_another", after_a_document_and_before_another),
    Scenario::new("tried_again_and_discarded", tried_again_and_discarded),
    Scenario::new("shown_once_it_is_taken", shown_once_it_is_taken),
    Scenario::new("more_than_there_may_be", more_than_there_may_be),
    Scenario::new("goes_with_its_index", goes_with_its_index),
];

/// Type, value, and the reason that is given: years that no date field takes, numbers of more than 1,000 digits,
/// numbers that are infinite as a double, JSON that is too deep.
const VALUES: &[(&str, &str, &str)] = &[
    ("date", "'0044-03-15 BC'", "0044-03-15 BC"),
    ("date", "'10000-01-01'", "10000-01-01"),
    ("timestamp", "'294276-12-31 23:59:59.999999'", "294276-12-31T23:59:59.999999"),
    ("timestamptz", "'4713-01-01 00:00:00+00 BC'", "4713-01-01T00:00:00Z BC"),
    ("date[]", "'{2024-02-29,10000-01-01}'", "10000-01-01"),
    ("daterange", "'[2024-01-01,12024-01-01)'", "12024-01-01"),
    ("numeric", "('0.' || repeat('1', 1000))::numeric", "1001"),
    ("numeric[]", "ARRAY[repeat('9', 1001)::numeric]", "1001"),
    ("jsonb", "('{\"n\": ' || repeat('9', 1001) || '}')::jsonb", "1001"),
    ("numeric", "'1e309'", "finite"),
    ("json", "(repeat('[', 1001) || repeat(']', 1001))::json", "at most 1000"),
];

/// The dead letters, as the command lists them.
fn letters(case: &Case) -> Vec<Value> {
    let listed = case.command(&["--json", "dead-letters", "list"]).expect_success();
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    listed["dead_letters"].as_array().unwrap().clone()
}

fn from_the_copy() {
    let mut case = tables("refusedcopy");
    insert(&mut case);
    let connector = case.run();
    expect_letters(&mut case);
    correct(&mut case);
    connector.stop();
}

fn from_the_stream() {
    let mut case = tables("refusedstream");
    let connector = case.run();
    insert(&mut case);
    for (at, _) in VALUES.iter().enumerate() {
        case.execute(&format!("INSERT INTO t{at} VALUES ('behind it', NULL)"));
    }
    expect_letters(&mut case);
    // The same from the beginning.
    connector.kill();
    let connector = case.run();
    expect_letters(&mut case);
    correct(&mut case);
    connector.stop();
}

fn tables(name: &str) -> Case {
    let mut case = Case::shared(name);
    for (at, (ty, ..)) in VALUES.iter().enumerate() {
        case.table(&format!("t{at}"), &format!("id text PRIMARY KEY, v {ty}"));
        case.execute(&format!("INSERT INTO t{at} VALUES ('good', NULL)"));
    }
    case
}

fn insert(case: &mut Case) {
    for (at, (_, value, _)) in VALUES.iter().enumerate() {
        case.execute(&format!("INSERT INTO t{at} VALUES ('the bad one', {value})"));
    }
}

fn expect_letters(case: &mut Case) {
    case.settle();
    let letters = letters(case);
    assert_eq!(letters.len(), VALUES.len());
    for (at, (ty, _, reason)) in VALUES.iter().enumerate() {
        let table = format!("public.t{at}");
        let letter = letters.iter().find(|letter| letter["table"] == table).unwrap();
        assert_eq!(letter["id"], "the bad one");
        assert!(letter["reason"].as_str().unwrap().contains(reason), "{letter}");
        let has_document = letter["document"].as_str().is_some_and(|document| document.contains("the bad one"));
        assert_eq!(has_document, *ty != "json", "{letter}");
        let alias = case.alias(&format!("t{at}"));
        let query = format!("SELECT count(*) FROM t{at} WHERE id <> 'the bad one'");
        let rows: i64 = case.sql.query_one(&query, &[]).unwrap().get(0);
        assert_eq!(case.search.count(&alias), Some(rows.unsigned_abs()));
    }
    let waited = case.command(&["--json", "wait"]).expect_success();
    let waited: Value = serde_json::from_str(&waited.stdout).unwrap();
    assert_eq!(waited["dead_letters"], VALUES.len());
    let verified = case.command(&["verify"]).expect_success();
    let told = verified.stdout.matches("1 rows have no document, as their dead letters say").count();
    assert_eq!(told, VALUES.len(), "{}", verified.stdout);
    let status = case.command(&["status"]).expect_success();
    assert!(status.stdout.contains("11 rows have no document"), "{}", status.stdout);
}

/// A later version of each row that the target takes, and the last one deleted.
fn correct(case: &mut Case) {
    let last = VALUES.len() - 1;
    for at in 0..last {
        case.execute(&format!("UPDATE t{at} SET v = NULL"));
    }
    case.execute(&format!("DELETE FROM t{last} WHERE id = 'the bad one'"));
    case.check();
    assert_eq!(letters(case), [] as [Value; 0]);
}

/// What searches find is never an older state of the row, nor one within its transaction.
fn after_a_document_and_before_another() {
    let mut case = Case::shared("refusedafter");
    case.config["pipeline"] = json!({"batch_rows": 2});
    case.table("item", "id int PRIMARY KEY, d date, body text");
    case.execute("ALTER TABLE item ALTER body SET STORAGE EXTERNAL");
    case.execute("INSERT INTO item SELECT n, '2024-01-01', repeat('long' || n, 2000) FROM generate_series(1, 5) n");
    let connector = case.run();
    let there = |case: &Case, id: u32| case.search.find(&format!("{}/_doc/{id}", case.alias("item"))).is_some();
    case.execute("UPDATE item SET d = '10000-01-01' WHERE id = 1");
    case.execute("BEGIN; INSERT INTO item SELECT n, '2024-01-01' FROM generate_series(6, 9) n; \
                  UPDATE item SET d = '2024-01-02' WHERE id = 2; UPDATE item SET d = NULL WHERE id > 6; \
                  UPDATE item SET d = '20000-01-01' WHERE id = 2; COMMIT");
    case.settle();
    assert!(!there(&case, 1) && !there(&case, 2) && there(&case, 6));
    assert_eq!(letters(&case).len(), 2);
    // The values that are left alone are not in the index any more.
    case.execute("UPDATE item SET d = '2024-02-29' WHERE id < 3");
    case.check();
    assert_eq!(letters(&case).len(), 0);
    // With another key; and refused, put right and refused again in one go.
    case.execute("UPDATE item SET id = 100, d = '10000-01-01' WHERE id = 3");
    connector.stop();
    for d in ["10000-01-01", "2024-01-03", "10000-01-02"] {
        case.execute(&format!("UPDATE item SET d = '{d}' WHERE id = 4"));
    }
    case.catch_up();
    let found = letters(&case);
    let mut ids: Vec<_> = found.iter().map(|letter| letter["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["100", "4"]);
    assert!(!there(&case, 3) && !there(&case, 4));
    case.execute("UPDATE item SET d = NULL; DELETE FROM item WHERE id = 4");
    case.catch_up();
    case.compare();
    assert_eq!(letters(&case).len(), 0);
}

fn tried_again_and_discarded() {
    let mut case = Case::shared("refusedretry");
    case.table("item", "id int PRIMARY KEY, v text");
    let alias = case.alias("item");
    case.config["indexes"][0]["settings"] = json!({"index.mapping.total_fields.limit": 1000});
    case.execute("ALTER TABLE item ADD d date; INSERT INTO item VALUES (1, 'a', '10000-01-01'), (2, 'b', '10000-01-02'), (3, 'c', NULL)");
    case.catch_up();
    let retried = case.command(&["dead-letters", "retry"]).expect(1, &[]);
    assert!(retried.stdout.contains("2 are left"), "{}", retried.stdout);
    case.command(&["dead-letters", "retry", "nothing"]).expect(2, &["nothing", &alias]);
    case.command(&["dead-letters", "discard"]).expect(2, &["--all"]);
    case.command(&["dead-letters", "discard", &alias, "7"]).expect(2, &["7", "dead-letters list"]);
    case.command(&["dead-letters", "discard", &alias, "1"]).expect_success();
    assert_eq!(letters(&case).len(), 1);
    // The target takes it now, as it is.
    let mapping = json!({"properties": {"d": {"type": "date", "ignore_malformed": true}}});
    case.search.json("PUT", &format!("{alias}-g1/_mapping"), Some(&mapping));
    case.command(&["dead-letters", "retry", &alias]).expect_success();
    assert_eq!(letters(&case).len(), 0);
    let document = case.search.find(&format!("{alias}/_doc/2")).unwrap();
    assert_eq!(document["_source"]["d"], "10000-01-02");
}

/// Without a further change of its table.
fn shown_once_it_is_taken() {
    let mut case = Case::shared("refusedshown");
    case.table("item", "id int PRIMARY KEY, d date");
    case.execute("INSERT INTO item VALUES (1, '10000-01-01')");
    let mut connector = case.run();
    let alias = case.alias("item");
    // A target that has changed its mind, as far as this row goes.
    let query = json!({"query": {"term": {"alias": alias}}});
    let found = case.search.json("POST", "wal2es-dead-letters/_search?version=true", Some(&query));
    let mut letter = found["hits"]["hits"][0].clone();
    letter["_source"]["document"] = json!(r#"{"id":1,"d":null}"#);
    let path = "wal2es-dead-letters/_doc";
    let (name, version) = (letter["_id"].as_str().unwrap(), &letter["_version"]);
    let path = format!("{path}/{name}?version={version}&version_type=external_gte");
    case.search.json("PUT", &path, Some(&letter["_source"]));
    case.command(&["dead-letters", "retry", &alias]).expect_success();
    wait_for("the document", PATIENCE, || (case.search.count(&alias) == Some(1)).then_some(()));
    connector.must_run();
    connector.stop();
    // Nothing is made anew that is gone.
    case.search.json("DELETE", &format!("{alias}-g1"), None);
    case.command(&["dead-letters", "retry"]).expect(3, &["has vanished", "wal2es resync"]);
    assert_eq!(case.search.find(&format!("{alias}-g1")), None);
}

fn more_than_there_may_be() {
    let mut case = Case::shared("refusedcap");
    case.config["pipeline"] = json!({"dead_letters": {"cap": 3}});
    case.table("item", "id int PRIMARY KEY, d date");
    let connector = case.run();
    case.execute("INSERT INTO item SELECT n, '10000-01-01' FROM generate_series(1, 3) n");
    case.settle();
    let confirmed = case.confirmed();
    case.execute("INSERT INTO item VALUES (4, '10000-01-01')");
    connector.end(PATIENCE).expect(3, &["4 rows have no document", "dead_letters.cap is 3", "dead-letters list"]);
    assert_eq!(letters(&case).len(), 3);
    case.command(&["run"]).expect(3, &["dead_letters.cap"]);
    assert!(case.confirmed() >= confirmed);
    case.config["pipeline"] = json!({"dead_letters": {"cap": 4}});
    case.catch_up();
    assert_eq!(letters(&case).len(), 4);
    case.execute("UPDATE item SET d = NULL WHERE id < 3");
    case.catch_up();
    assert_eq!(letters(&case).len(), 2);
}

fn goes_with_its_index() {
    let mut case = Case::shared("refusedindex");
    case.table("item", "id int PRIMARY KEY, d date");
    case.execute("INSERT INTO item VALUES (1, '10000-01-01')");
    case.config["http"] = json!({"listen": "127.0.0.1:0"});
    let mut connector = case.run();
    case.execute("TRUNCATE item; INSERT INTO item VALUES (2, '10000-01-01')");
    case.settle();
    let found = letters(&case);
    assert_eq!((found.len(), &found[0]["id"]), (1, &json!("2")));
    let metrics = http::get(http::port(&mut connector), "/metrics").body;
    assert!(metrics.contains("\nwal2es_dead_letters 1\n"), "{metrics}");
    case.command(&["resync"]).expect_success();
    case.settle();
    let found = letters(&case);
    assert_eq!((found.len(), &found[0]["index"]), (1, &json!(format!("{}-g2", case.alias("item")))));
    connector.stop();
    case.command(&["teardown", "--indices"]).expect_success();
    let query = json!({"query": {"prefix": {"index": case.alias("item")}}});
    let left = case.search.json("POST", "wal2es-dead-letters/_count", Some(&query));
    assert_eq!(left["count"], 0);
}
