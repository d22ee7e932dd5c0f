//! The oracle itself: what it must notice, it notices.

use serde_json::json;

use super::Scenario;
use crate::support::case::Case;
use crate::support::oracle::{self, Differences, Json, Versions};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("notices_every_difference", notices_every_difference),
    Scenario::new("compares_digits", compares_digits),
];

const GOOD: u64 = 1 << 12;

fn notices_every_difference() {
    let mut case = Case::shared("oracle");
    case.table("thing", "id int PRIMARY KEY, price numeric, note text");
    case.execute("INSERT INTO thing VALUES (1, 1.50, 'a'), (2, NULL, 'b')");
    let alias = case.alias("thing");
    let make = json!({"mappings": {"dynamic": false}, "aliases": {&alias: {}}});
    case.search.expect("PUT", &format!("{alias}-made"), Some(&make));
    put(&case, "1", GOOD, r#"{"id":1,"price":1.50,"note":"a"}"#);
    put(&case, "2", GOOD, r#"{"id":2,"price":null,"note":"b"}"#);
    compare(&mut case).expect_none();

    put(&case, "1", GOOD + 1, r#"{"id":1,"price":1.5,"note":"a"}"#);
    assert_eq!(compare(&mut case).differing.len(), 1, "a lost digit");
    put(&case, "1", GOOD + 2, r#"{"id":1,"price":1.50}"#);
    assert_eq!(compare(&mut case).differing.len(), 1, "a field that is not there");
    put(&case, "1", GOOD + 3, r#"{"id":1,"price":1.50,"note":"a","b":1}"#);
    assert_eq!(compare(&mut case).differing.len(), 1, "a field too many");
    put(&case, "1", 4 << 12, r#"{"id":1,"price":1.50,"note":"a"}"#);
    assert_eq!(compare(&mut case).versions.len(), 1, "a version of the future");
    put(&case, "3", 7, r#"{"id":3,"price":1,"note":""}"#);
    let found = compare(&mut case);
    assert_eq!((found.extra.as_slice(), found.versions.len()), (&["3".to_owned()][..], 2));
    case.search.expect("DELETE", &format!("{alias}/_doc/2?refresh=true"), None);
    assert_eq!(compare(&mut case).missing, ["2"]);
}

fn put(case: &Case, id: &str, version: u64, source: &str) {
    let alias = case.alias("thing");
    let path = format!("{alias}/_doc/{id}?refresh=true&version_type=external&version={version}");
    let (status, text) = case.search.try_request("PUT", &path, Some(source)).unwrap();
    assert!(status < 300, "{text}");
}

fn compare(case: &mut Case) -> Differences {
    let alias = case.alias("thing");
    oracle::compare(&mut case.sql, &case.search, "thing", &alias, Versions::Commits(Some(16)))
}

fn compares_digits() {
    let differ = |a: &str, b: &str| Json::parse(a).unwrap() != Json::parse(b).unwrap();
    assert!(differ("1.50", "1.5"));
    assert!(differ("12345678901234567890.1", "12345678901234567890.2"));
    assert!(differ(r#"{"a":1}"#, r#"{"a":"1"}"#));
    assert!(!differ(r#"{"a":1,"b":[true, null]}"#, r#"{ "b" : [true,null], "a" : 1 }"#));
    assert!(Json::parse(r#"{"a":1,"a":1}"#).is_err());
    assert_eq!(Json::parse_last_wins(r#"{"a":1,"a":2}"#), Json::parse(r#"{"a":2}"#).unwrap());
}
