//! Keys that change, and keys that are hard to write down.

use super::Scenario;
use crate::support::case::Case;
use crate::support::oracle::Json;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("change_and_swap", change_and_swap),
    Scenario::new("of_several_columns", of_several_columns),
    Scenario::new("of_any_text", of_any_text),
    Scenario::new("that_only_look_different", that_only_look_different),
];

fn change_and_swap() {
    let mut case = Case::shared("keys");
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item SELECT n, 'item ' || n FROM generate_series(1, 50) n");
    let _connector = case.run();

    case.execute("UPDATE item SET id = 1000 + id WHERE id <= 10");
    case.check();
    case.execute(
        "BEGIN; UPDATE item SET id = -1 WHERE id = 20; UPDATE item SET id = 20 WHERE id = 21; \
         UPDATE item SET id = 21 WHERE id = -1; COMMIT",
    );
    case.check();
    // Each row takes the key that another one has just left.
    case.execute(
        "DO $$ BEGIN FOR n IN REVERSE 50..30 LOOP UPDATE item SET id = id + 1 WHERE id = n; END LOOP; END $$",
    );
    case.check();
    case.execute("BEGIN; DELETE FROM item WHERE id = 22; UPDATE item SET id = 22 WHERE id = 23; COMMIT");
    case.check();
    case.execute("BEGIN; UPDATE item SET id = 2000 WHERE id = 24; INSERT INTO item VALUES (24, 'new'); COMMIT");
    case.check();
    case.execute("BEGIN; UPDATE item SET id = 3000 WHERE id = 25; UPDATE item SET id = 25 WHERE id = 3000; COMMIT");
    case.check();
}

fn of_several_columns() {
    let mut case = Case::shared("composite");
    // The key's order is not the table's.
    case.table("stock", "amount int, place text, item int, day date, PRIMARY KEY (item, place, day)");
    case.execute(
        r#"INSERT INTO stock SELECT n, E'a"b\\c\n' || n, n % 3, date '2024-02-29' + n FROM generate_series(1, 30) n"#,
    );
    case.execute("INSERT INTO stock VALUES (1, '', 1, '2024-01-01'), (2, '1', 1, '2024-01-01')");
    let _connector = case.run();
    case.compare();
    case.execute("UPDATE stock SET place = place || '!' WHERE item = 1");
    case.execute("UPDATE stock SET amount = 7 WHERE item = 2");
    case.execute("DELETE FROM stock WHERE item = 0");
    case.check();
}

const TEXTS: &[&str] = &[
    "", " ", "a", "A", "a/b", "a\"b", "a\\b", "\\", "a\nb", "\t", "\r\n", "\u{1}", "\u{7f}", "'", "null", "[]", "[\"a\"]",
    "[\"\"]", "[\"", "\"]", "{}", "sha256:", "sha256:00", "ü", "😀", "\u{fffd}", "?x=1&y#z", "%2F", "..", "_id", "*", ",", "1,2",
];

fn of_any_text() {
    let mut case = Case::shared("texts");
    case.table("word", "id text PRIMARY KEY, n int");
    let long = [511, 512, 513, 2000].map(|length| "x".repeat(length));
    let wide = ["ü".repeat(256), "ü".repeat(257)];
    let texts: Vec<&str> =
        TEXTS.iter().copied().chain(long.iter().chain(&wide).map(String::as_str)).collect();
    let (copied, streamed) = texts.split_at(texts.len() / 2);
    insert(&mut case, copied);
    let _connector = case.run();
    case.compare();
    insert(&mut case, streamed);
    case.check();
    case.execute("UPDATE word SET n = 2");
    case.check();
    case.execute("UPDATE word SET id = id || '?' WHERE length(id) % 2 = 0");
    case.check();
    case.execute("DELETE FROM word WHERE length(id) % 3 = 0");
    case.check();
    case.execute("DELETE FROM word");
    case.check();
    insert(&mut case, &texts);
    case.check();
    assert_eq!(case.search.count(&case.alias("word")), Some(texts.len() as u64));
}

fn insert(case: &mut Case, texts: &[&str]) {
    let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
    let query = "INSERT INTO word SELECT t, 1 FROM unnest($1::text[]) t";
    case.sql.execute(query, &[&texts]).unwrap();
}

/// To Postgres these keys are equal; their text is not, and the text makes the id.
fn that_only_look_different() {
    let mut case = Case::shared("equal");
    case.table("price", "id numeric PRIMARY KEY, note text");
    case.execute("INSERT INTO price VALUES (1.0, 'a'), (2, 'b'), (-0.5, 'c')");
    let _connector = case.run();
    case.execute("UPDATE price SET id = 1.00 WHERE id = 1");
    case.execute("UPDATE price SET id = 2.000, note = 'd' WHERE id = 2");
    case.check();
    let id = case.search.field(&case.alias("price"), "1.00", "id").unwrap();
    assert_eq!(Json::parse(&id.to_string()), Json::parse("1.0"), "serde_json shortens it");
    case.execute("DELETE FROM price WHERE id = 2");
    case.check();
}
