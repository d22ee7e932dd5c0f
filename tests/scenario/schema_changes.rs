//! Tables change while they are followed: what documents survive goes on, all else stops and says so.
//!
//! A change that rewrites rows sends none of them: the documents are stale, and only the next description of the table
//! tells.

use serde_json::json;

use super::Scenario;
use crate::support::{PATIENCE, wait_for};
use crate::support::case::Case;
use crate::support::connector::Connector;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("x7_rewritten_without_row_events", x7_rewritten_without_row_events),
    Scenario::new("a_column_comes_goes_or_changes", a_column_comes_goes_or_changes),
    Scenario::new("in_the_middle_of_a_transaction", in_the_middle_of_a_transaction),
    Scenario::new("what_documents_do_not_show", what_documents_do_not_show),
    Scenario::new("what_makes_no_difference", what_makes_no_difference),
    Scenario::new("a_publication_that_is_narrowed", a_publication_that_is_narrowed),
    Scenario::new("while_nobody_was_looking", while_nobody_was_looking),
    Scenario::new("another_table_of_the_name", another_table_of_the_name),
    Scenario::new("seen_in_text", seen_in_text),
    Scenario::new("changed_and_changed_back", changed_and_changed_back),
    Scenario::new("made_anew_in_the_same_words", made_anew_in_the_same_words),
    Scenario::new("killed_within_a_widening", killed_within_a_widening),
    Scenario::new("seen_in_the_catalog_alone", seen_in_the_catalog_alone),
    Scenario::new("a_lock_holds_nothing_up", a_lock_holds_nothing_up),
];

/// A table of two rows, followed and streaming.
fn streaming(name: &str, way: &str) -> (Case, Connector) {
    let mut case = Case::shared(name);
    case.read_by(way);
    case.table("item", "id int PRIMARY KEY, name varchar(10), price numeric(10, 2), note text");
    case.execute("INSERT INTO item VALUES (1, 'one', 1.5, 'x'), (2, 'two', 2.5, 'y')");
    let connector = case.run();
    (case, connector)
}

/// The same, started anew with more looks into the catalog, and streaming.
fn looking_often(case: &mut Case, connector: Connector) -> Connector {
    connector.stop();
    case.config["source"]["catalog_interval"] = "500ms".into();
    let connector = case.run();
    wait_for("the stream", PATIENCE, || connector.log().contains("streaming from").then_some(()));
    connector
}

/// Waits until the catalog is being looked at: the look waits for a lock, or has come and gone several times.
fn looked_at(case: &mut Case) {
    const QUERY: &str = "SELECT sessions, EXISTS (SELECT FROM pg_stat_activity a \
         WHERE a.datname = current_database() AND a.wait_event_type = 'Lock') \
         FROM pg_stat_database WHERE datname = current_database()";
    let mut look = || {
        let row = case.sql.query_one(QUERY, &[]).unwrap();
        (row.get::<_, i64>(0), row.get::<_, bool>(1))
    };
    let before = look().0;
    wait_for("a look into the catalog", PATIENCE, || {
        let (sessions, waits) = look();
        (waits || sessions >= before + 3).then_some(())
    });
}

/// It stops on purpose, with these words; `status` repeats them, and so does the next start.
fn expect_resync(case: &mut Case, connector: Connector, words: &[&str]) {
    let mut all = vec!["needs resync", "wal2es resync"];
    all.extend(words);
    connector.end(PATIENCE).expect(3, &all);
    let status = case.command(&["status", "--json"]).expect_success();
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["state"], "needs resync");
    for word in words {
        assert!(status["needs_resync"].as_str().unwrap().contains(word), "{word}: {status}");
    }
    let again = case.command(&["run"]);
    match again.code {
        // What it would need is not there any more, and it says so first.
        Some(2) => {}
        _ => drop(again.expect(3, words)),
    }
    case.check_positions();
}

/// The remedy that it names.
fn build_anew(case: &mut Case) {
    case.command(&["teardown", "--indices"]).expect_success();
    case.catch_up();
    case.compare();
}

fn x7_rewritten_without_row_events() {
    let (mut case, connector) = streaming("x7", "pgoutput");
    // The server itself says nothing of it.
    case.execute("SELECT pg_create_logical_replication_slot('x7_peek', 'pgoutput')");
    case.execute("ALTER TABLE item ADD COLUMN stars int DEFAULT 5");
    case.execute("ALTER TABLE item ALTER name TYPE text USING upper(name)");
    let query = "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('x7_peek', NULL, NULL, \
                 'proto_version', '1', 'publication_names', 'x7') WHERE get_byte(data, 0) NOT IN (66, 67)";
    let messages: i64 = case.sql.query_one(query, &[]).unwrap().get(0);
    assert_eq!(messages, 0, "a rewrite sends no rows");
    case.execute("INSERT INTO item VALUES (3, 'three', 3.5, 'z', 1)");
    expect_resync(&mut case, connector, &["public.item", "column \"stars\" was added"]);
    build_anew(&mut case);
}

fn a_column_comes_goes_or_changes() {
    for (at, (change, words)) in [
        ("ADD COLUMN extra text", "column \"extra\" was added"),
        ("DROP COLUMN note", "column \"note\" was dropped or renamed"),
        ("RENAME COLUMN note TO remark", "remark"),
        ("ALTER price TYPE numeric(12, 3)", "modifier of column \"price\""),
        ("ALTER price TYPE text USING 'n' || price", "type of column \"price\" changed"),
        ("ALTER name TYPE varchar(8)", "modifier of column \"name\""),
        ("REPLICA IDENTITY NOTHING", "replica identity"),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut case, connector) = streaming(&format!("ddl{at}"), "pgoutput");
        case.execute("INSERT INTO item (id, name) VALUES (3, 'before')");
        case.execute(&format!("ALTER TABLE item {change}"));
        case.execute("INSERT INTO item (id, name) VALUES (4, 'after')");
        expect_resync(&mut case, connector, &["public.item", words]);
        // What came before is there, and nothing beyond it.
        let alias = case.alias("item");
        assert_eq!(case.search.count(&alias), Some(3), "{change}");
        if !change.starts_with("REPLICA") {
            build_anew(&mut case);
        }
    }
}

fn in_the_middle_of_a_transaction() {
    let (mut case, connector) = streaming("ddl_within", "pgoutput");
    case.execute(
        "BEGIN; UPDATE item SET name = 'changed'; ALTER TABLE item ADD COLUMN extra int DEFAULT 1; \
         UPDATE item SET name = 'again'; COMMIT",
    );
    expect_resync(&mut case, connector, &["column \"extra\" was added"]);
    build_anew(&mut case);
}

/// What the connector itself recommends, and ordinary work beside it.
fn what_makes_no_difference() {
    for way in ["pgoutput", "test_decoding"] {
        let mut case = Case::shared(&format!("ddl_none_{way}"));
        case.read_by(way);
        case.config["source"]["catalog_interval"] = "200ms".into();
        case.table("item", "id int PRIMARY KEY, name text, price numeric(10, 2)");
        case.execute("INSERT INTO item VALUES (1, 'one', 1.5)");
        let mut connector = case.run();
        let mut slow = case.database.session();
        let mut open = slow.transaction().unwrap();
        open.batch_execute("ALTER TABLE item REPLICA IDENTITY FULL").unwrap();
        looked_at(&mut case);
        open.commit().unwrap();
        for sql in [
            "UPDATE item SET name = 'changed'",
            "CREATE TABLE staging (LIKE item INCLUDING ALL)",
            "INSERT INTO staging SELECT * FROM item",
            "DROP TABLE staging",
            "ANALYZE item",
            "VACUUM FULL item",
            "CREATE INDEX ON item (name)",
            "UPDATE item SET id = id + 1",
            "ALTER TABLE item REPLICA IDENTITY DEFAULT",
            "INSERT INTO item VALUES (5, 'five', 5)",
        ] {
            case.execute(sql);
            case.settle();
            connector.must_run();
        }
        case.check();
        connector.stop();
    }
}

fn what_documents_do_not_show() {
    for way in ["pgoutput", "test_decoding"] {
        let mut case = Case::shared(&format!("ddl_fine_{way}"));
        case.read_by(way);
        case.table("item", "id int PRIMARY KEY, name varchar(10), secret text, price numeric(10, 2)");
        case.config["indexes"][0]["exclude"] = json!(["secret"]);
        case.execute("INSERT INTO item VALUES (1, 'one', 's', 1.5)");
        let mut connector = case.run();
        let mut rows = 1;
        for change in [
            "ALTER name TYPE varchar(20)",
            "ALTER name TYPE varchar",
            "ALTER price TYPE numeric(14, 2)",
            "ALTER secret TYPE int USING 7",
            "DROP COLUMN secret",
            "ALTER name SET NOT NULL",
            "ALTER name SET DEFAULT 'x'",
        ] {
            case.execute(&format!("ALTER TABLE item {change}"));
            rows += 1;
            case.execute(&format!("INSERT INTO item (id, name, price) VALUES ({rows}, 'row', {rows}.25)"));
            case.settle();
            connector.must_run();
        }
        // The columns have moved together; the plan has not been made anew.
        case.execute("UPDATE item SET price = price + 1, id = id + 100 WHERE id % 2 = 0");
        case.settle();
        connector.stop();
        expect_rows(&mut case, rows);
        // A start with the catalog of now and the state of then: the column is gone that was to be left out.
        case.config["indexes"][0].as_object_mut().unwrap().remove("exclude");
        case.catch_up();
        expect_rows(&mut case, rows);
    }
}

fn expect_rows(case: &mut Case, rows: u64) {
    let query = "SELECT id, name, price::text FROM item ORDER BY id";
    let alias = case.alias("item");
    for row in case.sql.query(query, &[]).unwrap() {
        let (id, name, price): (i32, &str, &str) = (row.get(0), row.get(1), row.get(2));
        let found = case.search.find(&format!("{alias}/_doc/{id}")).unwrap();
        let source = json!({"id": id, "name": name, "price": price.parse::<f64>().unwrap()});
        assert_eq!(found["_source"], source);
    }
    assert_eq!(case.search.count(&alias), Some(rows));
}

fn while_nobody_was_looking() {
    // Rows of the old shape are still to come when the plan is made of the new one.
    let (mut case, connector) = streaming("ddl_backlog", "pgoutput");
    connector.stop();
    case.execute("INSERT INTO item VALUES (3, 'old shape', 3.5, 'z')");
    case.execute("ALTER TABLE item ALTER name TYPE varchar(30)");
    case.execute("INSERT INTO item VALUES (4, 'the new shape of the table', 4.5, 'z')");
    case.catch_up();
    case.compare();
    case.execute("ALTER TABLE item ALTER name TYPE varchar(29)");
    case.command(&["run", "--until-caught-up"]).expect(3, &["needs resync", "\"name\"", "wal2es resync"]);
    build_anew(&mut case);
    case.execute("ALTER TABLE item ADD COLUMN extra int DEFAULT 1");
    case.command(&["run", "--until-caught-up"]).expect(3, &["public.item", "changed", "wal2es resync"]);
    build_anew(&mut case);
}

fn another_table_of_the_name() {
    let (mut case, connector) = streaming("ddl_anew", "pgoutput");
    case.execute(
        "ALTER TABLE item RENAME TO item_old; CREATE TABLE item (LIKE item_old INCLUDING ALL); \
         ALTER PUBLICATION ddl_anew ADD TABLE item",
    );
    case.execute("INSERT INTO item VALUES (1, 'new', 1, 'x')");
    expect_resync(&mut case, connector, &["public.item", "another table than before", "OID"]);
    case.execute("ALTER PUBLICATION ddl_anew DROP TABLE item_old");
    build_anew(&mut case);
    // Renamed, it stays what it was.
    let mut connector = case.run();
    wait_for("the stream", PATIENCE, || connector.log().contains("streaming from").then_some(()));
    case.execute("ALTER TABLE item RENAME TO renamed");
    case.execute("INSERT INTO renamed VALUES (2, 'two', 2, 'y')");
    case.settle();
    connector.must_run();
    let alias = case.alias("item");
    assert_eq!(case.search.count(&alias), Some(2));
}

fn seen_in_text() {
    for (at, (change, after, words)) in [
        ("ALTER TABLE item ADD COLUMN extra text", "item", "column \"extra\" was added"),
        ("ALTER TABLE item RENAME COLUMN note TO remark", "item", "\"note\" was dropped or renamed"),
        ("ALTER TABLE item ALTER price TYPE float8", "item", "\"price\" was of type double precision"),
        ("ALTER TABLE item RENAME TO renamed", "renamed", "renamed to public.renamed"),
        ("ALTER TABLE item RENAME TO gone; CREATE TABLE t (id int, name text)", "t", "renamed to public.gone"),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut case, connector) = streaming(&format!("ddl_text{at}"), "test_decoding");
        case.execute(change);
        case.execute(&format!("INSERT INTO {after} (id, name) VALUES (4, 'after')"));
        expect_resync(&mut case, connector, &["public.item", words]);
    }
    // Renamed while nobody was looking, with rows still to come under the name before.
    let (mut case, connector) = streaming("ddl_text_down", "test_decoding");
    connector.stop();
    case.execute("INSERT INTO item (id, name) VALUES (4, 'before')");
    case.execute("ALTER TABLE item RENAME TO renamed");
    case.config["indexes"][0]["table"] = json!("public.renamed");
    case.command(&["run"]).expect(3, &["public.renamed needs resync", "it was public.item"]);
}

fn changed_and_changed_back() {
    let (mut case, connector) = streaming("ddl_back", "pgoutput");
    case.execute("ALTER TABLE item ALTER name TYPE varchar(20)");
    case.execute("INSERT INTO item (id, name) VALUES (3, 'wide')");
    case.settle();
    case.execute("ALTER TABLE item ALTER name TYPE varchar(10) USING upper(name)");
    case.execute("INSERT INTO item (id, name) VALUES (4, 'back')");
    expect_resync(&mut case, connector, &["modifier of column \"name\""]);
    build_anew(&mut case);
}

fn made_anew_in_the_same_words() {
    let (mut case, connector) = streaming("ddl_same", "pgoutput");
    case.execute("ALTER TABLE item DROP COLUMN name, ADD COLUMN name varchar(10) DEFAULT 'new'");
    case.execute("INSERT INTO item (id) VALUES (3)");
    expect_resync(&mut case, connector, &["\"name\" was dropped and made anew"]);
    build_anew(&mut case);
    // The last column stands where it stood; the catalog tells.
    case.execute("ALTER TABLE item DROP COLUMN name");
    case.execute("ALTER TABLE item ADD COLUMN name varchar(10) DEFAULT 'newer'");
    case.execute("INSERT INTO item (id) VALUES (4)");
    case.command(&["run"]).expect(3, &["\"name\" was dropped and made anew"]);
}

/// A change that documents survive belongs to its transaction: what was not applied has not changed the table.
fn killed_within_a_widening() {
    let (mut case, mut connector) = streaming("ddl_killed", "pgoutput");
    case.config["pipeline"] = json!({"batch_rows": 50});
    connector.stop();
    connector = case.run();
    case.execute(
        "BEGIN; INSERT INTO item (id, name) VALUES (10, 'before'); ALTER TABLE item ALTER name TYPE varchar(50); \
         INSERT INTO item (id, name) SELECT n, 'row ' || n FROM generate_series(11, 60000) n; COMMIT",
    );
    // The first of it has been written, and is not shown.
    let written = format!("{}/_doc/11", case.alias("item"));
    wait_for("the middle of the transaction", PATIENCE, || case.search.find(&written));
    connector.kill();
    let connector = case.run_busy();
    case.check();
    connector.stop();
}

fn seen_in_the_catalog_alone() {
    for (at, (change, words)) in [
        ("ALTER TABLE item ALTER price TYPE numeric(12, 1)", "modifier of column \"price\""),
        (
            "DELETE FROM item WHERE id > 1; ALTER TABLE item ALTER price SET NOT NULL; \
             ALTER TABLE item DROP CONSTRAINT item_pkey, ADD PRIMARY KEY (price)",
            "the replica identity does not hold column \"id\"",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut case, connector) = streaming(&format!("ddl_catalog{at}"), "test_decoding");
        let connector = looking_often(&mut case, connector);
        case.execute(change);
        expect_resync(&mut case, connector, &["public.item", words]);
    }
    // Renamed and back within one transaction, with a row in between.
    let (mut case, connector) = streaming("ddl_there_and_back", "test_decoding");
    case.execute(
        "BEGIN; ALTER TABLE item RENAME TO other; INSERT INTO other VALUES (7, 'seven', 7, 'z'); \
         ALTER TABLE other RENAME TO item; COMMIT",
    );
    expect_resync(&mut case, connector, &["it may have been public.other for a time"]);
}

/// An ALTER TABLE that takes long, on one of the tables.
fn a_lock_holds_nothing_up() {
    for way in ["pgoutput", "test_decoding"] {
        let mut case = Case::shared(&format!("ddl_lock_{way}"));
        case.read_by(way);
        case.config["source"]["catalog_interval"] = "200ms".into();
        case.table("item", "id int PRIMARY KEY, name text");
        case.table("other", "id int PRIMARY KEY, name text");
        let connector = case.run();
        let mut busy = case.database.session();
        let mut open = busy.transaction().unwrap();
        open.batch_execute("ALTER TABLE item ALTER name SET DEFAULT 'x'").unwrap();
        looked_at(&mut case);
        for id in 0..20 {
            case.execute(&format!("INSERT INTO other VALUES ({id}, 'meanwhile')"));
        }
        // test_decoding: a name that has to be looked up.
        case.execute("CREATE TABLE noise (id int)");
        case.execute("INSERT INTO noise VALUES (1)");
        case.settle();
        let alias = case.alias("other");
        assert_eq!(case.search.count(&alias), Some(20));
        connector.stop();
        open.commit().unwrap();
    }
}

fn a_publication_that_is_narrowed() {
    let (mut case, connector) = streaming("ddl_narrowed", "pgoutput");
    let connector = looking_often(&mut case, connector);
    case.execute("ALTER PUBLICATION ddl_narrowed SET (publish = 'insert')");
    case.execute("UPDATE item SET name = 'lost'");
    let words = ["needs resync", "the publication does not publish update, delete, truncate"];
    connector.end(PATIENCE).expect(3, &words);
}
