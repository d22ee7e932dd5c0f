//! The first load reads tables in parts, several at once, and holds every row once.

use super::Scenario;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::postgres::connect;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("of_many_ranges_under_writes", many_ranges),
    Scenario::new("of_partitions", partitions),
    Scenario::new("of_a_root_whose_partitions_may_not_be_read", root_alone),
    Scenario::new("of_some_rows_and_columns", filtered),
    Scenario::new("of_generated_columns", generated),
    Scenario::new("of_tables_that_are_empty_or_were_never_analysed", empty),
    Scenario::new("of_rows_with_large_values", large_values),
    Scenario::new("that_row_security_would_cut", row_security),
    Scenario::new("of_two_rows_with_one_id", two_rows),
];

/// What fills a page of a [`sparse`] table: two thousand rows are a range.
const FILLER: &str = "repeat(md5(n::text), 20)";

/// Has the pages of a table that is still empty take little.
fn sparse(case: &mut Case, table: &str) {
    case.execute(&format!("ALTER TABLE {table} SET (fillfactor = 10, autovacuum_enabled = false)"));
}

/// One row in seven is deleted before and leaves a hole; others move, come and go while they are read.
fn many_ranges() {
    let mut case = Case::shared("copy_ranges");
    case.config["pipeline"] = serde_json::json!({"copy_workers": 3, "batch_rows": 1000});
    case.table("wide", "id int PRIMARY KEY, name text, filler text");
    sparse(&mut case, "wide");
    case.execute(&format!(
        "INSERT INTO wide SELECT n, 'first', {FILLER} FROM generate_series(1, 9000) n"
    ));
    case.execute("DELETE FROM wide WHERE id % 7 = 0");
    let mut connector = case.start(&["run", "--setup"]);
    let mut turn = 0;
    wait_for("the copy", PATIENCE, || {
        connector.must_run();
        turn += 1;
        case.execute(&format!(
            "UPDATE wide SET name = 'turn {turn}' WHERE id % 500 = {turn}; \
             UPDATE wide SET id = -id WHERE id % 499 = {turn}; \
             DELETE FROM wide WHERE id % 491 = {turn}; \
             INSERT INTO wide SELECT 1000000 + {turn} * 10 + n, 'new', 'x' FROM generate_series(1, 10) n"
        ));
        connector.log().contains("streaming from").then_some(())
    });
    case.check();
    connector.stop();
}

/// Partitions of several levels and sizes, with their columns in another order, and one that holds a dropped column.
fn partitions() {
    let mut case = Case::shared("copy_parts");
    case.execute(
        "CREATE TABLE event (id int NOT NULL, at date NOT NULL, what text, \"Count\" int, PRIMARY KEY (id, at)) \
           PARTITION BY RANGE (at); \
         CREATE TABLE event_1 (\"Count\" int, gone text, what text, at date NOT NULL, id int NOT NULL); \
         ALTER TABLE event_1 DROP COLUMN gone; \
         ALTER TABLE event ATTACH PARTITION event_1 FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); \
         CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2024-02-01') TO ('2024-03-01') PARTITION BY HASH (id); \
         CREATE TABLE \"Event 2a\" PARTITION OF event_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
         CREATE TABLE event_2b PARTITION OF event_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
         CREATE TABLE event_3 PARTITION OF event FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')",
    );
    for leaf in ["event_1", "\"Event 2a\"", "event_2b", "event_3"] {
        sparse(&mut case, leaf);
    }
    case.execute(&format!(
        "INSERT INTO event SELECT n, date '2024-01-01' + n % 60, {FILLER}, n FROM generate_series(1, 8000) n"
    ));
    case.follow("event");
    let connector = case.run();
    case.compare();
    case.execute("UPDATE event SET \"Count\" = -id WHERE id % 100 = 0");
    case.check();
    connector.stop();
}

/// A role that may read the root and nothing else.
fn root_alone() {
    let mut case = Case::shared("copy_root");
    case.execute(
        "CREATE TABLE event (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); \
         CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); \
         CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2024-02-01') TO ('2024-03-01'); \
         INSERT INTO event SELECT n, date '2024-01-01' + n FROM generate_series(1, 50) n",
    );
    case.follow("event");
    case.command(&["setup"]).expect_success();
    case.execute(
        "DROP ROLE IF EXISTS copy_root_reader; CREATE ROLE copy_root_reader LOGIN REPLICATION; \
         GRANT SELECT ON event TO copy_root_reader",
    );
    let as_admin = std::mem::take(&mut case.config["source"]["url"]);
    case.config["source"]["url"] = case.database.url_of("copy_root_reader").into();
    case.command(&["run", "--until-caught-up"]).expect_success();
    case.config["source"]["url"] = as_admin;
    case.compare();
    case.execute("DROP OWNED BY copy_root_reader; DROP ROLE copy_root_reader");
}

/// A filter of two parts, so that a range must not come between them.
fn filtered() {
    if crate::support::shared::way() == "test_decoding" {
        return;
    }
    let mut case = Case::shared("copy_filter");
    case.table("thing", "id int PRIMARY KEY, \"Kind\" int, secret text, filler text");
    sparse(&mut case, "thing");
    case.execute(&format!("INSERT INTO thing SELECT n, n % 5, 'secret', {FILLER} FROM generate_series(1, 5000) n"));
    case.execute(
        "ALTER TABLE thing REPLICA IDENTITY USING INDEX thing_pkey; \
         CREATE PUBLICATION copy_filter FOR TABLE thing (id, filler) WHERE (id < 100 OR id > 2000)",
    );
    case.catch_up();
    let alias = case.alias("thing");
    assert_eq!(case.search.count(&alias), Some(99 + 3000));
    let found = case.search.json("GET", &format!("{alias}/_doc/2001"), None);
    let fields: Vec<&String> = found["_source"].as_object().unwrap().keys().collect();
    assert_eq!(fields, ["filler", "id"]);
}

/// They are published from 18 on, when a column list names them.
fn generated() {
    let mut case = Case::shared("copy_generated");
    case.table("thing", "id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, name text");
    case.execute("INSERT INTO thing (id, name) SELECT n, 'x' FROM generate_series(1, 100) n");
    case.catch_up();
    let alias = case.alias("thing");
    assert_eq!(case.search.count(&alias), Some(100));
    assert_eq!(case.search.field(&alias, "7", "twice"), None);
    assert_eq!(case.search.field(&alias, "7", "name"), Some("x".into()));
}

fn empty() {
    let mut case = Case::shared("copy_empty");
    for table in ["nothing", "emptied", "unknown"] {
        case.table(table, "id int PRIMARY KEY, filler text");
        sparse(&mut case, table);
    }
    case.execute(
        "CREATE TABLE no_part (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE one_part (id int PRIMARY KEY) PARTITION BY RANGE (id); \
         CREATE TABLE one_part_1 PARTITION OF one_part DEFAULT",
    );
    case.follow("no_part");
    case.follow("one_part");
    for table in ["emptied", "unknown"] {
        case.execute(&format!("INSERT INTO {table} SELECT n, {FILLER} FROM generate_series(1, 5000) n"));
    }
    case.execute("DELETE FROM emptied");
    // What inherits from a table is another table.
    case.execute("CREATE TABLE child () INHERITS (unknown); INSERT INTO child VALUES (1, 'not of unknown')");
    let connector = case.run();
    case.execute("DROP TABLE child");
    case.compare();
    connector.stop();
}

/// Few pages, and more in TOAST: ranges go by both.
fn large_values() {
    let mut case = Case::shared("copy_large");
    case.table("large", "id int PRIMARY KEY, body text");
    case.execute("ALTER TABLE large ALTER body SET STORAGE EXTERNAL");
    case.execute("INSERT INTO large SELECT n, repeat(md5(n::text), 10000) FROM generate_series(1, 200) n");
    let connector = case.run();
    case.compare();
    connector.stop();
}

/// An error, and not fewer rows.
fn row_security() {
    for (at, table) in ["thing", "thing_1"].into_iter().enumerate() {
        let name = format!("copy_secured{at}");
        let role = format!("{name}_reader");
        let mut case = Case::shared(&name);
        case.execute(&format!(
            "CREATE TABLE thing (id int PRIMARY KEY, owner text) PARTITION BY RANGE (id); \
             CREATE TABLE thing_1 PARTITION OF thing DEFAULT; \
             INSERT INTO thing SELECT n, 'x' FROM generate_series(1, 50) n; \
             ALTER TABLE {table} ENABLE ROW LEVEL SECURITY; \
             CREATE POLICY half ON {table} USING (id > 25); \
             DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN REPLICATION; \
             GRANT SELECT ON thing, thing_1 TO {role}"
        ));
        case.follow("thing");
        case.command(&["setup"]).expect_success();
        case.config["source"]["url"] = case.database.url_of(&role).into();
        let ended = case.command(&["run", "--until-caught-up"]);
        if table == "thing" {
            ended.expect(2, &["row-level security", "thing"]);
        } else {
            // Through the root, the partition's own policies do not count, in Postgres either.
            ended.expect_success();
            assert_eq!(case.search.count(&case.alias("thing")), Some(50));
        }
        case.execute(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
    }
}

/// An index that was not kept for a while is taken for unique all the same.
fn two_rows() {
    let mut case = Case::shared("copy_twice");
    two_rows_with_one_id(&mut case, "thing", 20000, 31);
    case.command(&["run", "--setup"]).expect(3, &["public.thing", "two rows have the same id", "\"7\""]);
}

/// The first of `rows` rows and the last have the id 7; those between them are of `hashes` times 32 bytes, as they are.
pub(super) fn two_rows_with_one_id(case: &mut Case, table: &str, rows: u32, hashes: u32) {
    case.table(table, "id int PRIMARY KEY, filler text");
    case.execute(&format!("ALTER TABLE {table} ALTER filler SET STORAGE EXTERNAL"));
    case.execute(&format!("INSERT INTO {table} VALUES (7, 'one')"));
    let keep = |on: bool| {
        format!("UPDATE pg_index SET indisready = {on} WHERE indrelid = '{table}'::regclass")
    };
    case.execute(&keep(false));
    case.execute(&format!("INSERT INTO {table} SELECT n, repeat(md5(n::text), {hashes}) FROM generate_series(10, {rows}) n"));
    case.execute(&format!("INSERT INTO {table} VALUES (7, 'other')"));
    case.execute(&keep(true));
}

/// A connector that stops where it is because the target takes nothing for the index of `table`: an index template has
/// it made with a block.
pub(super) fn start_blocked(case: &Case, table: &str) -> Connector {
    let alias = case.alias(table);
    let template = serde_json::json!({
        "index_patterns": [format!("{alias}-g*")], "priority": 500,
        "template": {"settings": {"index.blocks.write": true}},
    });
    case.search.expect("PUT", &format!("_index_template/{alias}"), Some(&template));
    let mut connector = case.start(&["run", "--setup"]);
    wait_for("the block", PATIENCE, || {
        connector.must_run();
        connector.log().contains("the target did not take a batch").then_some(())
    });
    case.search.expect("DELETE", &format!("_index_template/{alias}"), None);
    connector
}

/// Lets the target take it.
pub(super) fn unblock(case: &Case, table: &str) {
    let settings = serde_json::json!({"index.blocks.write": null});
    let index = format!("{}-g1/_settings", case.alias(table));
    case.search.expect("PUT", &index, Some(&settings));
}

/// Ends the sessions of the copy, and says how many there were.
pub(super) fn end_workers(case: &Case) -> i64 {
    let mut sql = connect(case.database.port, &case.database.name, "wal2es_admin");
    let query = "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                  WHERE datname = $1 AND query LIKE 'COPY %') ended";
    sql.query_one(query, &[&case.database.name]).unwrap().get(0)
}
