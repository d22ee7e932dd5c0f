//! A large value that an UPDATE does not touch is not in the stream: it comes from the old row if the table has REPLICA
//! IDENTITY FULL, else from the index, else from the table. Never a document without it.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::json;

use super::Scenario;
use crate::support::case::Case;
use crate::support::seed::Seed;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("comes_from_the_old_row", comes_from_the_old_row),
    Scenario::new("comes_from_the_index", comes_from_the_index),
    Scenario::new("comes_with_the_key", comes_with_the_key),
    Scenario::new("comes_from_the_batch", comes_from_the_batch),
    Scenario::new("comes_from_the_table", comes_from_the_table),
    Scenario::new("goes_with_its_own_row", goes_with_its_own_row),
    Scenario::new("of_documents_larger_than_a_request", of_documents_larger_than_a_request),
    Scenario::new("in_text", in_text),
    Scenario::new("killed_at_random_moments", killed_at_random_moments),
];

const ROWS: &str = "INSERT INTO page SELECT n, 0, repeat('body ' || n, 3000), n FROM generate_series(1, 10) n";

/// Ten rows with a large value and a small one, both of which the table keeps apart.
fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("page", "id int PRIMARY KEY, views int, body text, price numeric(6, 2)");
    case.execute("ALTER TABLE page ALTER body SET STORAGE EXTERNAL");
    case.execute(ROWS);
    case
}

fn comes_from_the_old_row() {
    let mut case = case("toastfull");
    case.execute("ALTER TABLE page REPLICA IDENTITY FULL");
    let _connector = case.run();
    case.execute("UPDATE page SET views = views + 1");
    case.check();
    case.execute("UPDATE page SET id = id + 100 WHERE id < 5");
    case.execute("UPDATE page SET body = repeat('new', 4000) WHERE id = 6; UPDATE page SET views = 9 WHERE id = 6");
    case.check();
}

fn comes_from_the_index() {
    let mut case = case("toast");
    let connector = case.run();
    case.execute("UPDATE page SET views = views + 1 WHERE id = 3");
    case.check();
    case.execute("UPDATE page SET views = views + 1");
    case.execute("UPDATE page SET views = NULL WHERE id < 5; UPDATE page SET price = 1.50 WHERE id < 7");
    case.check();
    // It was changed by a transaction that did not send the rest of it again, then left alone.
    case.execute("UPDATE page SET body = repeat('new', 4000) WHERE id = 6");
    case.execute("UPDATE page SET views = 9 WHERE id = 6");
    case.execute("BEGIN; UPDATE page SET body = repeat('newer', 4000) WHERE id = 7; UPDATE page SET views = 9 WHERE id = 7; COMMIT");
    case.check();
    connector.stop();
}

/// What a replay may meet: a row has gone on to another key, its old document is gone, and another row has taken the key that
/// it had in between.
fn goes_with_its_own_row() {
    let mut case = case("toastmoved");
    case.run().stop();
    let document = format!("{}/_doc/1", case.alias("page"));
    let version = case.search.find(&document).unwrap()["_version"].as_u64().unwrap() + 1;
    let deletion = format!("{document}?version={version}&version_type=external");
    case.search.expect("DELETE", &deletion, None);
    case.execute("UPDATE page SET id = 101 WHERE id = 1");
    case.execute("UPDATE page SET id = 201 WHERE id = 101");
    case.execute("UPDATE page SET id = 101 WHERE id = 2");
    case.catch_up();
    case.compare();
}

/// Deferred, so that keys may be swapped in one statement too.
const SWAPS: &[&str] = &[
    "UPDATE page SET id = id + 100 WHERE id < 5",
    "BEGIN; UPDATE page SET id = -1 WHERE id = 5; UPDATE page SET id = 5 WHERE id = 6; \
     UPDATE page SET id = 6 WHERE id = -1; COMMIT",
    "BEGIN; UPDATE page SET id = -1 WHERE id = 8; UPDATE page SET id = 8 WHERE id = 9; \
     UPDATE page SET id = 9 WHERE id = 10; UPDATE page SET id = 10 WHERE id = -1; \
     UPDATE page SET views = 3 WHERE id = 9; COMMIT",
    "BEGIN; DELETE FROM page WHERE id = 101; UPDATE page SET id = 101 WHERE id = 102; \
     INSERT INTO page VALUES (102, 1, repeat('inserted', 2000), 5); UPDATE page SET views = 2 WHERE id = 102; COMMIT",
    "BEGIN; UPDATE page SET id = 7000 WHERE id = 7; UPDATE page SET id = 7 WHERE id = 7000; COMMIT",
    "BEGIN; UPDATE page SET id = -id; UPDATE page SET views = 8; SAVEPOINT s; UPDATE page SET id = id - 1000; \
     ROLLBACK TO s; UPDATE page SET id = -id; COMMIT",
    // Each row goes where another one was.
    "BEGIN; UPDATE page SET id = id * 10000; UPDATE page SET id = (SELECT min(id) / 10000 FROM page p WHERE p.id > page.id) \
     WHERE id < (SELECT max(id) FROM page); COMMIT",
];

fn comes_with_the_key() {
    let mut case = case("toastkey");
    let connector = case.run();
    for swap in SWAPS {
        case.execute(swap);
        case.check();
    }
    connector.stop();
}

/// Many transactions of one batch, also cut into requests that end within a transaction.
fn comes_from_the_batch() {
    for rows in [10_000, 3, 1] {
        let mut case = case(&format!("toastbatch{rows}"));
        case.config["pipeline"] = json!({"batch_rows": rows});
        case.catch_up();
        for _ in 0..3 {
            for swap in SWAPS {
                case.execute(swap);
            }
            case.execute("UPDATE page SET views = views + 1; DELETE FROM page");
            case.execute(ROWS);
        }
        case.catch_up();
        case.compare();
    }
}

/// There is no document: the row was outside of the publication's filter, or was removed from the index by hand.
fn comes_from_the_table() {
    let mut case = case("toasttable");
    // The other plugin knows nothing of row filters.
    case.read_by("pgoutput");
    case.execute("CREATE PUBLICATION toasttable FOR TABLE page WHERE (id < 100)");
    case.execute("INSERT INTO page VALUES (200, 0, repeat('outside', 3000), 1), (201, 0, repeat('outside too', 3000), 1)");
    let connector = case.run();
    case.execute("UPDATE page SET id = 20 WHERE id = 200");
    case.execute("UPDATE page SET id = 21, views = 1 WHERE id = 201; UPDATE page SET views = 2 WHERE id = 21; UPDATE page SET id = 22 WHERE id = 21");
    case.check();
    let index = format!("{}-g1", case.alias("page"));
    connector.kill();
    for id in [4, 5] {
        let document = case.search.find(&format!("{index}/_doc/{id}")).unwrap();
        let gone = format!("{index}/_doc/{id}?version={}&version_type=external_gte", document["_version"]);
        case.search.json("DELETE", &gone, None);
    }
    // The row of 5 is gone too when the update arrives.
    case.execute("UPDATE page SET views = 5 WHERE id = 4; UPDATE page SET views = 5 WHERE id = 5; DELETE FROM page WHERE id = 5");
    let connector = case.run();
    case.check();
    connector.stop();
}

fn of_documents_larger_than_a_request() {
    let mut case = case("toastlarge");
    case.config["pipeline"] = json!({"batch_bytes": "100kB"});
    case.execute("UPDATE page SET body = repeat('0123456789', 100000)");
    case.catch_up();
    case.execute("UPDATE page SET views = 1; UPDATE page SET id = id + 1000; UPDATE page SET views = 2");
    // A row takes the place of another one, whose values are needed long after.
    case.execute(
        "INSERT INTO page SELECT n, 0, repeat('body ' || n, 3000), n FROM generate_series(1, 90) n;
         BEGIN; UPDATE page SET id = -1 WHERE id = 1; UPDATE page SET id = 1 WHERE id = 2;
         UPDATE page SET views = 7 WHERE id > 2; UPDATE page SET id = 2 WHERE id = -1; COMMIT",
    );
    case.catch_up();
    case.compare();
}

fn in_text() {
    let mut case = case("toasttext");
    case.read_by("test_decoding");
    case.catch_up();
    for swap in SWAPS {
        case.execute(swap);
    }
    case.execute("UPDATE page SET views = views + 1");
    case.catch_up();
    case.compare();
}

fn killed_at_random_moments() {
    let mut seed = Seed::new();
    let mut case = case("toastkill");
    case.config["pipeline"] = json!({"batch_rows": seed.rng.u64(1..40)});
    case.catch_up();
    for _ in 0..8 {
        let mut connector = case.start(&["run"]);
        for _ in 0..seed.rng.u64(1..30) {
            let sql = transaction(&mut seed.rng);
            // A key may be taken.
            let _ = case.sql.batch_execute(&sql);
            let _ = case.sql.batch_execute("ROLLBACK");
        }
        std::thread::sleep(Duration::from_millis(seed.rng.u64(20..600)));
        connector.must_run();
        connector.kill();
    }
    case.catch_up();
    case.compare();
}

fn transaction(rng: &mut fastrand::Rng) -> String {
    let mut sql = "BEGIN;".to_owned();
    for _ in 0..rng.u64(1..8) {
        let (a, b) = (rng.i32(1..14), rng.i32(1..14));
        let written = match rng.u32(..6) {
            0 => write!(sql, "UPDATE page SET id = {b} WHERE id = {a} AND NOT EXISTS (SELECT FROM page WHERE id = {b});"),
            1 => write!(
                sql,
                "UPDATE page SET id = -{a} WHERE id = {a}; UPDATE page SET id = {a} WHERE id = {b} AND {a} <> {b}; \
                 UPDATE page SET id = {b} WHERE id = -{a};"
            ),
            2 => write!(sql, "DELETE FROM page WHERE id = {a};"),
            3 => write!(
                sql,
                "INSERT INTO page VALUES ({a}, {b}, repeat('x{b}', 2500), {b}) ON CONFLICT (id) DO UPDATE SET body = repeat('y{b}', 2500);"
            ),
            _ => write!(sql, "UPDATE page SET views = {b}, price = price + 0.10 WHERE id BETWEEN {a} AND {b};"),
        };
        written.unwrap();
    }
    sql.push_str("COMMIT");
    sql
}
