//! Rows come, change and go.

use super::Scenario;
use crate::support::case::Case;
use crate::support::oracle::{self, Versions};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("insert_update_delete", insert_update_delete),
    Scenario::new("several_changes_of_a_row_in_one_transaction", several_in_one_transaction),
    Scenario::new("transactions_over_several_tables", over_several_tables),
    Scenario::new("names_that_need_quotes", names_that_need_quotes),
];

fn insert_update_delete() {
    let mut case = Case::shared("changes");
    case.table("place", "id bigint PRIMARY KEY, name text, people int");
    case.execute("INSERT INTO place SELECT n, 'place ' || n, n FROM generate_series(1, 1000) n");
    let connector = case.run();
    case.compare();

    case.execute("INSERT INTO place SELECT n, 'new ' || n, NULL FROM generate_series(1001, 1500) n");
    case.check();
    case.execute("UPDATE place SET name = 'renamed', people = people + 1 WHERE id % 3 = 0");
    case.check();
    case.execute("DELETE FROM place WHERE id % 2 = 0");
    case.check();
    case.execute("INSERT INTO place SELECT n, 'back', 0 FROM generate_series(2, 100, 2) n");
    case.check();
    case.execute("DELETE FROM place");
    case.check();
    connector.stop();
    case.compare();
}

fn several_in_one_transaction() {
    let mut case = Case::shared("several");
    case.table("place", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO place VALUES (1, 'one'), (2, 'two'), (3, 'three')");
    let _connector = case.run();
    case.execute(
        "BEGIN; UPDATE place SET name = 'a' WHERE id = 1; UPDATE place SET name = 'b' WHERE id = 1; \
         DELETE FROM place WHERE id = 2; INSERT INTO place VALUES (2, 'again'); \
         INSERT INTO place VALUES (4, 'short'); DELETE FROM place WHERE id = 4; \
         DELETE FROM place WHERE id = 3; INSERT INTO place VALUES (3, 'x'); DELETE FROM place WHERE id = 3; COMMIT",
    );
    case.check();
}

fn over_several_tables() {
    let mut case = Case::shared("tables");
    case.table("account", "id int PRIMARY KEY, balance numeric(12, 2) NOT NULL");
    case.table("entry", "account int, number int, amount numeric(12, 2), PRIMARY KEY (account, number)");
    case.execute("INSERT INTO account SELECT n, 100 FROM generate_series(1, 20) n");
    let _connector = case.run();
    for number in 1..=200 {
        let (from, to) = (number % 20 + 1, (number * 7) % 20 + 1);
        case.execute(&format!(
            "BEGIN; UPDATE account SET balance = balance - 0.10 WHERE id = {from}; \
             INSERT INTO entry VALUES ({from}, {number}, -0.10); \
             UPDATE account SET balance = balance + 0.10 WHERE id = {to}; \
             INSERT INTO entry VALUES ({to}, 1000 + {number}, 0.10); COMMIT"
        ));
    }
    case.check();
}

fn names_that_need_quotes() {
    let mut case = Case::shared("names");
    let (table, column) = (r#""Wörter ""x"" \ y""#, r#""Überschrift 'a' ""b"" %s \""#);
    case.execute(&format!(r#"CREATE TABLE {table} ("select" int PRIMARY KEY, {column} text)"#));
    case.config["indexes"] = serde_json::json!([{"name": "names-words", "table": format!("public.{table}")}]);
    case.execute(&format!("INSERT INTO {table} VALUES (1, 'ä'), (2, '')"));
    let _connector = case.run();
    case.execute(&format!("INSERT INTO {table} VALUES (3, 'ß')"));
    case.settle();
    let found = oracle::compare(&mut case.sql, &case.search, table, "names-words", Versions::Commits(None));
    found.expect_none();
}
