//! What is not committed is never seen.

use serde_json::Value;

use super::Scenario;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("open_transactions_do_not_show", open_transactions_do_not_show),
    Scenario::new("savepoints_do_not_show", savepoints_do_not_show),
    Scenario::new("a_large_one_does_not_show", a_large_one_does_not_show),
];

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item VALUES (1, 'good')");
    case
}

/// Looks while other transactions commit: at the documents, and by search. `bad` is in none.
fn sample(case: &mut Case, bad: &str) {
    for round in 0..5 {
        let mut other = case.database.session();
        let insert = format!("INSERT INTO item VALUES (nextval('other'), 'round {round}')");
        other.batch_execute(&insert).unwrap();
        case.settle();
        let alias = case.alias("item");
        for (id, document) in crate::support::oracle::documents(&case.search, &alias) {
            assert!(!document.source.contains(bad), "{id}: {}", document.source);
        }
        for id in ["1", "2"] {
            let found = case.search.find(&format!("{alias}/_doc/{id}"));
            let source = found.map_or(Value::Null, |found| found["_source"].clone());
            assert!(!source.to_string().contains(bad), "{id}: {source}");
        }
    }
}

fn open_transactions_do_not_show() {
    let mut case = case("rollback");
    case.execute("CREATE SEQUENCE other START 1000");
    let _connector = case.run();
    for end in ["ROLLBACK", "COMMIT"] {
        case.execute("BEGIN; INSERT INTO item VALUES (2, 'bad'); UPDATE item SET name = 'bad' WHERE id = 1");
        sample(&mut case, "bad");
        case.execute(end);
        case.check();
    }
}

fn savepoints_do_not_show() {
    let mut case = case("savepoint");
    case.execute("CREATE SEQUENCE other START 1000");
    let _connector = case.run();
    case.execute(
        "BEGIN; UPDATE item SET name = 'first' WHERE id = 1; SAVEPOINT a; UPDATE item SET name = 'bad' WHERE id = 1; \
         SAVEPOINT b; INSERT INTO item VALUES (2, 'bad'); ROLLBACK TO a; INSERT INTO item VALUES (3, 'second'); \
         SAVEPOINT c; DELETE FROM item WHERE id = 3; ROLLBACK TO c; RELEASE c; COMMIT",
    );
    sample(&mut case, "bad");
    case.check();
}

/// It goes to disk on the server before it ends.
fn a_large_one_does_not_show() {
    let mut case = case("large");
    case.execute("CREATE SEQUENCE other START 1000000");
    let _connector = case.run();
    case.execute(
        "BEGIN; INSERT INTO item SELECT n, 'bad ' || repeat('x', 500) FROM generate_series(2, 200000) n; \
         UPDATE item SET name = 'bad' WHERE id = 1",
    );
    sample(&mut case, "bad");
    case.execute("ROLLBACK");
    case.check();
}
