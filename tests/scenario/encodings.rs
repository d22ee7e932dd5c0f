//! Databases that are not in UTF-8.

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("invalid_text_of_the_copy", invalid_text_of_the_copy),
    Scenario::new("invalid_text_of_the_stream", invalid_text_of_the_stream),
    Scenario::new("invalid_keys_stop_the_stream", invalid_keys_stop_the_stream),
    Scenario::new("latin1_is_converted", latin1_is_converted),
];

const SQL_ASCII: &str = "ENCODING 'SQL_ASCII' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";
const LATIN1: &str = "ENCODING 'LATIN1' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'";

/// A database that takes any bytes.
fn ascii(name: &str) -> Case {
    let mut case = Case::shared_with(name, SQL_ASCII);
    case.table("page", "id text PRIMARY KEY, \"title ü\" text, list text[], j json");
    case.execute("INSERT INTO page VALUES ('ü 1', 'ä€😀', '{ß,\"ü,\"}', '{\"ü\": \"\\u00e9ß\"}')");
    case
}

const BROKEN: [(&str, &str, &str); 4] = [
    ("\"title ü\"", "E'tr\\xe9s'", "title ü"),
    ("\"title ü\"", "E'cut off \\xe2\\x82'", "title ü"),
    ("list", "ARRAY['ok', E'\\xff']", "list"),
    ("j", "E'{\"\\xfc\": 1}'::json", "j"),
];

fn invalid_text_of_the_copy() {
    let mut case = ascii("asciicopy");
    for (at, (column, value, _)) in BROKEN.iter().enumerate() {
        case.execute(&format!("INSERT INTO page VALUES ('{at}'); UPDATE page SET {column} = {value} WHERE id = '{at}'"));
    }
    case.catch_up();
    expect_letters(&case);
    case.execute("UPDATE page SET \"title ü\" = NULL, list = NULL, j = NULL");
    case.catch_up();
    case.compare();
}

fn invalid_text_of_the_stream() {
    let mut case = ascii("asciistream");
    let connector = case.run();
    case.execute("INSERT INTO page VALUES ('2', 'ß', '{ü}', '\"€\"')");
    case.execute("UPDATE page SET id = id || '€'; DELETE FROM page WHERE id = '2€'");
    case.check();
    for (at, (column, value, _)) in BROKEN.iter().enumerate() {
        case.execute(&format!("INSERT INTO page VALUES ('{at}')"));
        case.execute(&format!("UPDATE page SET {column} = {value} WHERE id = '{at}'"));
    }
    case.execute("INSERT INTO page VALUES ('behind it')");
    case.settle();
    expect_letters(&case);
    assert_eq!(case.search.count(&case.alias("page")), Some(2));
    case.execute("DELETE FROM page WHERE id = '0'; UPDATE page SET \"title ü\" = NULL, list = NULL, j = NULL");
    case.check();
    connector.stop();
}

/// Each broken row has a dead letter that names the column.
fn expect_letters(case: &Case) {
    let listed = case.command(&["dead-letters", "list"]).expect_success();
    let lines: Vec<&str> = listed.stdout.lines().collect();
    assert_eq!(lines.len(), BROKEN.len());
    for (at, (_, _, column)) in BROKEN.iter().enumerate() {
        let words = ["public.page", &format!("document \"{at}\""), &format!("{column:?}"), "valid UTF-8"];
        let said = |line: &&&str| words.iter().all(|word| line.contains(word));
        assert!(lines.iter().any(|line| said(&line)), "{words:?}: {}", listed.stdout);
    }
}

fn invalid_keys_stop_the_stream() {
    let mut case = ascii("asciikey");
    let connector = case.run();
    case.execute("INSERT INTO page VALUES (E'\\xff')");
    connector.end(PATIENCE).expect(3, &["public.page", "\"id\"", "valid UTF-8", "commit at"]);
    // The old row of a delete, too.
    case.execute("DELETE FROM page WHERE id = E'\\xff'");
    case.command(&["run"]).expect(3, &["public.page", "\"id\"", "valid UTF-8"]);
}

fn latin1_is_converted() {
    let mut case = Case::shared_with("latin1", LATIN1);
    case.read_by("test_decoding");
    case.command(&["run", "--setup"]).expect(2, &["LATIN1", "test_decoding", "pgoutput"]);
    case.read_by("pgoutput");
    case.follow_as("\"größe\".\"straße\"", "latin1-strasse");
    case.execute("CREATE SCHEMA \"größe\"; CREATE TYPE \"größe\".mood AS ENUM ('süß', 'ÿ')");
    case.execute(
        "CREATE TABLE \"größe\".\"straße\" (\"schlüssel\" text PRIMARY KEY, list text[], j jsonb, mood \"größe\".mood)",
    );
    let values = "'{\"½\",\"\\\\\\\"ü\"}', '{\"ä\": \"ö\\\\u00fc\"}', 'süß'";
    case.execute(&format!("INSERT INTO \"größe\".\"straße\" VALUES ('ünï ÿ', {values})"));
    let _connector = case.run();
    case.compare();
    case.execute(&format!("INSERT INTO \"größe\".\"straße\" VALUES ('¼\u{a0}', {values}), ('x', {values})"));
    case.execute("UPDATE \"größe\".\"straße\" SET \"schlüssel\" = '×' || \"schlüssel\", mood = 'ÿ'");
    case.execute("DELETE FROM \"größe\".\"straße\" WHERE \"schlüssel\" = '×x'");
    case.check();
    assert_eq!(case.search.count("latin1-strasse"), Some(2));
}
