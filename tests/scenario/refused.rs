//! Values that Postgres can hold and the target can't: the table, the row and the reason are named, and nothing is lost.

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;
use crate::support::connector::Ended;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("from_the_copy", from_the_copy),
    Scenario::new("from_the_stream", from_the_stream),
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

fn from_the_copy() {
    each("refusedcopy", |case, _, insert| {
        case.execute(insert);
        case.command(&["run", "--setup", "--until-caught-up"])
    });
}

fn from_the_stream() {
    each("refusedstream", |case, table, insert| {
        let connector = case.run();
        let written = case.written();
        case.execute(insert);
        case.execute(&format!("INSERT INTO {table} VALUES ('behind it', NULL)"));
        let ended = connector.end(PATIENCE);
        assert!(case.confirmed() <= written, "confirmed beyond what was refused");
        assert_eq!(case.search.count(&case.alias(table)), Some(1), "{}", ended.stderr);
        ended
    });
}

/// `refuse` brings the value in and says how the connector ended. After the row is corrected all goes well anew.
fn each(name: &str, refuse: impl Fn(&mut Case, &str, &str) -> Ended) {
    let mut case = Case::shared(name);
    for (at, (ty, value, reason)) in VALUES.iter().enumerate() {
        let table = format!("t{at}");
        case.only(&table, &format!("id text PRIMARY KEY, v {ty}"));
        case.execute(&format!("INSERT INTO {table} VALUES ('good', NULL)"));
        let insert = format!("INSERT INTO {table} VALUES ('the bad one', {value})");
        let ended = refuse(&mut case, &table, &insert);
        let row = if *ty == "json" { "\"v\"" } else { "\"the bad one\"" };
        ended.expect(3, &[&format!("public.{table}"), row, reason, "remedy"]);
        case.command(&["teardown", "--indices"]).expect_success();
        case.execute(&format!("UPDATE {table} SET v = NULL"));
        case.catch_up();
        case.compare();
        case.command(&["teardown", "--indices"]).expect_success();
    }
}
