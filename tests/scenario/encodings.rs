//! Databases that are not in UTF-8.

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;
use crate::support::oracle;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("invalid_text_stops_the_copy", invalid_text_stops_the_copy),
    Scenario::new("invalid_text_stops_the_stream", invalid_text_stops_the_stream),
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

fn invalid_text_stops_the_copy() {
    let mut case = ascii("asciicopy");
    case.execute("INSERT INTO page VALUES ('broken')");
    for (column, value, name) in BROKEN {
        case.execute(&format!("UPDATE page SET {column} = {value} WHERE id = 'broken'"));
        let words = ["public.page", &format!("{name:?}"), "valid UTF-8", "exclude"];
        case.command(&["run", "--setup"]).expect(3, &words);
        assert_eq!(case.search.count(&case.alias("page")), None, "nothing is shown");
        case.execute(&format!("UPDATE page SET {column} = NULL"));
    }
    let _connector = case.run();
    case.compare();
}

fn invalid_text_stops_the_stream() {
    let mut case = ascii("asciistream");
    let connector = case.run();
    case.execute("INSERT INTO page VALUES ('2', 'ß', '{ü}', '\"€\"')");
    case.execute("UPDATE page SET id = id || '€'; DELETE FROM page WHERE id = '2€'");
    case.check();
    let before = oracle::documents(&case.search, &case.alias("page"));
    let written = case.written();
    let (column, value, name) = BROKEN[0];
    case.execute(&format!("UPDATE page SET {column} = {value}"));
    case.execute("INSERT INTO page VALUES ('behind it')");
    let words = ["public.page", &format!("{name:?}"), "valid UTF-8", "commit at", "exclude"];
    connector.end(PATIENCE).expect(3, &words);
    let after = oracle::documents(&case.search, &case.alias("page"));
    assert!(before.iter().all(|(id, document)| after[id].source == document.source));
    assert_eq!(before.len(), after.len());
    assert!(case.confirmed() <= written);
    // It stays so, whatever has become of the row.
    case.execute("UPDATE page SET \"title ü\" = NULL");
    case.command(&["run"]).expect(3, &words);
    // The remedy.
    case.config["indexes"][0]["exclude"] = serde_json::json!(["title ü"]);
    case.command(&["teardown", "--indices"]).expect_success();
    case.catch_up();
    assert_eq!(case.search.count(&case.alias("page")), Some(2));
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
