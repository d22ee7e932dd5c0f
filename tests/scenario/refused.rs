//! Values that Postgres can hold and the target can't: the row is named and nothing is lost.

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("from_the_copy", from_the_copy),
    Scenario::new("from_the_stream", from_the_stream),
];

/// Type and value: years that no date field takes, numbers longer than a parser reads (1,000 characters, the sign
/// counted), JSON deeper than it follows.
const VALUES: &[(&str, &str)] = &[
    ("date", "'0044-03-15 BC'"),
    ("date", "'10000-01-01'"),
    ("timestamp", "'294276-12-31 23:59:59.999999'"),
    ("timestamptz", "'4713-01-01 00:00:00+00 BC'"),
    ("timestamptz", "'12024-02-29 00:00:00+00'"),
    ("date[]", "'{2024-02-29,10000-01-01}'"),
    ("daterange", "'[2024-01-01,12024-01-01)'"),
    ("numeric", "repeat('9', 1001)::numeric"),
    ("numeric", "('0.' || repeat('1', 1200))::numeric"),
    ("numeric[]", "ARRAY[repeat('9', 1001)::numeric]"),
    ("jsonb", "('{\"n\": ' || repeat('9', 1001) || '}')::jsonb"),
    ("json", "(repeat('[', 1001) || repeat(']', 1001))::json"),
];

fn from_the_copy() {
    let mut case = Case::shared("refusedcopy");
    for (at, (ty, value)) in VALUES.iter().enumerate() {
        let table = format!("t{at}");
        case.config["indexes"] = serde_json::json!([]);
        case.table(&table, &format!("id text PRIMARY KEY, v {ty}"));
        case.execute(&format!("INSERT INTO {table} VALUES ('good', NULL), ('the bad one', {value})"));
        case.command(&["setup"]).expect_success();
        let ended = case.command(&["run"]);
        println!("{ty} {value}: {}", ended.stderr.lines().rev().take(2).collect::<Vec<_>>().join(" | "));
        ended.expect(3, &[&case.alias(&table), "remedy"]);
        case.execute(&format!("UPDATE {table} SET v = NULL"));
        case.command(&["run", "--until-caught-up"]).expect_success();
        case.command(&["teardown", "--indices"]).expect_success();
    }
}

fn from_the_stream() {
    let mut case = Case::shared("refusedstream");
    for (at, (ty, value)) in VALUES.iter().enumerate() {
        let table = format!("t{at}");
        case.config["indexes"] = serde_json::json!([]);
        case.table(&table, &format!("id text PRIMARY KEY, v {ty}"));
        case.execute(&format!("INSERT INTO {table} VALUES ('good', NULL)"));
        let connector = case.run();
        let before = case.written();
        case.execute(&format!("INSERT INTO {table} VALUES ('the bad one', {value})"));
        case.execute(&format!("INSERT INTO {table} VALUES ('behind it', NULL)"));
        let ended = connector.end(PATIENCE);
        println!("{ty} {value}: {}", ended.stderr.lines().rev().take(2).collect::<Vec<_>>().join(" | "));
        ended.expect(3, &[&table, "remedy"]);
        let _ = before;
        case.command(&["teardown", "--indices"]).expect_success();
    }
}
