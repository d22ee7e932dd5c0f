//! Names of tables and columns that are hard to quote.

use super::Scenario;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("of_tables", of_tables),
    Scenario::new("of_columns", of_columns),
    Scenario::new("of_columns_in_a_key", of_columns_in_a_key),
];

/// 63 bytes, the most that a name can have; each ü has two.
const LONGEST: &str = "\"üüüüüüüüüüüüüüüüüüüüüüüüüüüüüüü1\"";

fn of_tables() {
    let mut case = Case::shared("tablenames");
    let odd = "\"Od\"\"d. \\sch%s]:\"";
    case.execute(&format!("CREATE SCHEMA {odd}"));
    let longest = format!("{odd}.{LONGEST}");
    let tables = [
        "\"quo\"\"ted 1\"",
        "\"a.b 2\"",
        "\"back\\slash '3'\"",
        "\"per%cent %s 4\"",
        "\"test[integer]:'5' \"",
        "\"select\"",
        "\"Case6\"",
        "\"case6\"",
        "\"new\nline 7\"",
        "\"{},*8\"",
        LONGEST,
        "\"schema9\"",
    ]
    .map(|name| format!("\"public\".{name}"));
    for (n, table) in tables.iter().chain([&longest]).enumerate() {
        case.execute(&format!("CREATE TABLE {table} (id int PRIMARY KEY, n text)"));
        case.execute(&format!("INSERT INTO {table} VALUES ({n}, 'copied')"));
        case.follow_as(table, &format!("tablenames-{n}"));
    }
    let _connector = case.run();
    case.compare();
    for table in tables.iter().chain([&longest]) {
        case.execute(&format!("INSERT INTO {table} VALUES (100, 'streamed'), (101, 'streamed')"));
        case.execute(&format!("UPDATE {table} SET id = 102 WHERE id = 101; DELETE FROM {table} WHERE id < 100"));
    }
    case.check();
    case.execute(&format!("TRUNCATE {longest}; INSERT INTO {longest} VALUES (1, 'after')"));
    case.check();
}

const COLUMNS: &[&str] = &[
    "\"quo\"\"ted\"",
    "\"back\\slash\"",
    "\"\\N\"",
    "\"sp ace\"",
    "\"per%cent %s\"",
    "\"x[integer]:'1'\"",
    "\"new\nline\ttab\"",
    "\"id \"",
    "\"select\"",
    "\"ID\"",
    "\"Id\"",
    "\"a.b\"",
    "\"a.c\"",
    "\"{\"\"x\"\":1}\"",
    "\"*\"",
    "\"@timestamp\"",
    "\"😀\"",
    LONGEST,
];

/// In the document a dot stays a dot; to searches it is a path.
fn of_columns() {
    let mut case = Case::shared("columnnames");
    let columns: String = COLUMNS.iter().map(|name| format!(", {name} int")).collect();
    case.table("item", &format!("id int PRIMARY KEY{columns}"));
    let names = COLUMNS.join(", ");
    let insert = |id: usize| {
        let values: Vec<String> = (0..COLUMNS.len()).map(|at| (id * 100 + at).to_string()).collect();
        format!("INSERT INTO item (id, {names}) VALUES ({id}, {})", values.join(", "))
    };
    case.execute(&insert(1));
    let _connector = case.run();
    case.compare();
    case.execute(&insert(2));
    case.execute(&format!("UPDATE item SET {} = -1", COLUMNS.join(" = -1, ")));
    case.execute(&insert(3));
    case.check();
    for (field, value) in [("a.b", 311), ("ID", 309), ("Id", 310), ("id", 3), ("new\nline\ttab", 306)] {
        let query = serde_json::json!({"query": {"term": {field: value}}});
        let found = case.search.json("POST", &format!("{}/_search", case.alias("item")), Some(&query));
        assert_eq!(found.pointer("/hits/hits/0/_id"), Some(&"3".into()), "{field}: {found}");
    }
}

fn of_columns_in_a_key() {
    let mut case = Case::shared("keynames");
    let columns = "\"Id\" int, id int, \"i.d\" text, \"i\"\"d\\\" text, n int";
    case.table("item", &format!("{columns}, PRIMARY KEY (\"i\"\"d\\\", \"i.d\", \"Id\", id)"));
    case.execute("INSERT INTO item SELECT n, -n, 'a.' || n, 'b\"' || n, n FROM generate_series(1, 5) n");
    let _connector = case.run();
    case.compare();
    case.execute("UPDATE item SET \"Id\" = 10 WHERE id = -1; UPDATE item SET \"i.d\" = '.' WHERE id = -2");
    case.execute("UPDATE item SET n = 0 WHERE id = -3; DELETE FROM item WHERE id = -4");
    case.check();
}
