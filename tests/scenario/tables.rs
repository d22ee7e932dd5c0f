//! Tables that come into the publication and go while the connector runs.

use std::time::Duration;

use serde_json::{Value, json};

use super::Scenario;
use super::resync::slots;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::oracle::{self, Versions};
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("added_with_an_open_writer", added_with_an_open_writer),
    Scenario::new("added_under_load", added_under_load),
    Scenario::new("removed_and_added_again", removed_and_added_again),
    Scenario::new("dropped_and_made_anew", dropped_and_made_anew),
    Scenario::new("removed_and_added_while_stopped", removed_and_added_while_stopped),
    Scenario::new("of_a_publication_made_anew", of_a_publication_made_anew),
    Scenario::new("whose_partition_went_while_stopped", whose_partition_went_while_stopped),
    Scenario::new("added_to_the_configuration", added_to_the_configuration),
    Scenario::new("added_without_a_key", added_without_a_key),
    Scenario::new("dropped_while_it_is_built", dropped_while_it_is_built),
];

/// A connector that follows all tables of its publication, of which `first` is there. Their names begin with `name`.
fn following(name: &str, first: &str) -> (Case, Connector) {
    following_at(name, first, "500ms")
}

/// The same, looking into the catalog that often.
fn following_at(name: &str, first: &str, interval: &str) -> (Case, Connector) {
    let mut case = Case::shared(name);
    case.config.as_object_mut().unwrap().remove("indexes");
    case.config["source"]["catalog_interval"] = json!(interval);
    case.execute(&format!(
        "CREATE TABLE {first} (id int PRIMARY KEY, n int); INSERT INTO {first} VALUES (1, 1); \
         CREATE PUBLICATION {name} FOR TABLE {first}"
    ));
    let connector = case.run();
    wait_for("the stream", PATIENCE, || connector.log().contains("streaming from").then_some(()));
    (case, connector)
}

fn shown(case: &Case, alias: &str) {
    wait_for("the new index", PATIENCE, || case.search.behind(alias));
}

fn compare(case: &mut Case, table: &str) {
    case.settle();
    oracle::compare(&mut case.sql, &case.search, table, table, Versions::Commits(None)).expect_none();
}

/// Indices that no alias of the case's tables leads to.
fn remove(case: &Case, names: &[&str]) {
    for name in names {
        for index in case.search.generations(name) {
            case.search.request("DELETE", &index, None);
        }
    }
}

/// Recipe X3: what a transaction wrote before the table was published is in no stream.
fn added_with_an_open_writer() {
    let (mut case, mut connector) = following("tables_open", "tables_open_a");
    case.execute("CREATE TABLE tables_open_b (id int PRIMARY KEY, n int)");
    let mut other = case.database.session();
    let mut open = other.transaction().unwrap();
    open.batch_execute("INSERT INTO tables_open_b VALUES (1, 1)").unwrap();
    case.execute("ALTER PUBLICATION tables_open ADD TABLE tables_open_b");
    case.execute("INSERT INTO tables_open_a VALUES (2, 2); INSERT INTO tables_open_b VALUES (3, 3)");
    wait_for("the build", PATIENCE, || connector.log().contains("new tables").then_some(()));
    // The stream goes on meanwhile, and nobody sees a part of the new table.
    case.settle();
    compare(&mut case, "tables_open_a");
    assert_eq!(case.search.behind("tables_open_b"), None);
    open.batch_execute("INSERT INTO tables_open_b VALUES (2, 2)").unwrap();
    open.commit().unwrap();
    shown(&case, "tables_open_b");
    case.execute("DELETE FROM tables_open_b WHERE id = 3; UPDATE tables_open_b SET n = 9 WHERE id = 1");
    compare(&mut case, "tables_open_b");
    compare(&mut case, "tables_open_a");
    assert_eq!(slots(&mut case), ["tables_open"]);
    connector.must_run();
    connector.stop();
    // Nothing is built again.
    let connector = case.run();
    assert!(!connector.log().contains("new tables"), "{}", connector.log());
    connector.stop();
    remove(&case, &["tables_open_a", "tables_open_b"]);
}

/// Keys that are deleted, updated and made again during the copy.
fn added_under_load() {
    let (mut case, connector) = following("tables_load", "tables_load_a");
    case.execute(
        "CREATE TABLE tables_load_b (id int PRIMARY KEY, n int); \
         INSERT INTO tables_load_b SELECT n, 0 FROM generate_series(1, 40000) n",
    );
    case.execute("ALTER PUBLICATION tables_load ADD TABLE tables_load_b");
    let mut round = 0;
    while case.search.behind("tables_load_b").is_none() {
        round += 1;
        case.execute(&format!(
            "DELETE FROM tables_load_b WHERE id % 400 = {0} % 300; UPDATE tables_load_b SET n = {0} WHERE id % 300 = {0} % 300; \
             INSERT INTO tables_load_b SELECT id + 100000 * {0}, 1 FROM tables_load_b WHERE id % 1000 = {0} % 300; \
             INSERT INTO tables_load_a VALUES ({0} + 1, 0)",
            round
        ));
        std::thread::sleep(Duration::from_millis(100));
        assert!(round < 1000, "{}", connector.log());
    }
    assert!(case.search.count("tables_load_b").unwrap() > 30_000, "it is shown when it is whole");
    compare(&mut case, "tables_load_b");
    compare(&mut case, "tables_load_a");
    connector.stop();
    remove(&case, &["tables_load_a", "tables_load_b"]);
}

fn index_of(case: &mut Case, list: &str, alias: &str) -> Option<Value> {
    let state = case.state().unwrap();
    state[list].as_array().unwrap().iter().find(|index| index["alias"] == alias).cloned()
}

fn removed_and_added_again() {
    let (mut case, mut connector) = following("tables_again", "tables_again_a");
    case.execute("CREATE TABLE tables_again_b (id int PRIMARY KEY, n int); INSERT INTO tables_again_b VALUES (1, 1)");
    case.execute("ALTER PUBLICATION tables_again ADD TABLE tables_again_b");
    shown(&case, "tables_again_b");
    case.execute("ALTER PUBLICATION tables_again DROP TABLE tables_again_b");
    case.execute("INSERT INTO tables_again_b VALUES (2, 2); INSERT INTO tables_again_a VALUES (2, 2)");
    wait_for("the table to be left", PATIENCE, || {
        case.execute("INSERT INTO tables_again_a SELECT max(id) + 1 FROM tables_again_a");
        index_of(&mut case, "detached", "tables_again_b")
    });
    compare(&mut case, "tables_again_a");
    assert_eq!(case.search.count("tables_again_b"), Some(1), "it stays as it is");
    case.execute("ALTER PUBLICATION tables_again ADD TABLE tables_again_b");
    wait_for("both rows", PATIENCE, || (case.search.count("tables_again_b") == Some(2)).then_some(()));
    compare(&mut case, "tables_again_b");
    assert_eq!(index_of(&mut case, "detached", "tables_again_b"), None);
    connector.must_run();
    connector.stop();
    remove(&case, &["tables_again_a", "tables_again_b"]);
}

fn dropped_and_made_anew() {
    let (mut case, mut connector) = following("tables_anew", "tables_anew_a");
    case.execute("CREATE TABLE tables_anew_b (id int PRIMARY KEY, n int); INSERT INTO tables_anew_b VALUES (1, 1)");
    case.execute("ALTER PUBLICATION tables_anew ADD TABLE tables_anew_b");
    shown(&case, "tables_anew_b");
    case.execute(
        "DROP TABLE tables_anew_b; CREATE TABLE tables_anew_b (id int PRIMARY KEY, n int, t text); \
         ALTER PUBLICATION tables_anew ADD TABLE tables_anew_b; \
         INSERT INTO tables_anew_b VALUES (7, 7, 'new'); INSERT INTO tables_anew_a VALUES (2, 2)",
    );
    wait_for("the new table", PATIENCE, || case.search.field("tables_anew_b", "7", "t"));
    compare(&mut case, "tables_anew_b");
    compare(&mut case, "tables_anew_a");
    connector.must_run();
    connector.stop();
    remove(&case, &["tables_anew_a", "tables_anew_b"]);
}

/// Two tables, caught up and stopped.
fn stopped(name: &str) -> Case {
    let mut case = Case::shared(name);
    for table in ["item", "other"] {
        case.table(table, "id int PRIMARY KEY, n int");
        case.execute(&format!("INSERT INTO {table} VALUES (1, 1), (2, 2)"));
    }
    case.run().stop();
    case
}

/// What is written while a table is not published is in no stream.
fn removed_and_added_while_stopped() {
    let mut case = stopped("tables_gap");
    case.execute("ALTER PUBLICATION tables_gap DROP TABLE item");
    case.execute("DELETE FROM item WHERE id = 1; INSERT INTO item VALUES (3, 3); INSERT INTO other VALUES (3, 3)");
    case.execute("ALTER PUBLICATION tables_gap ADD TABLE item");
    case.execute("INSERT INTO item VALUES (4, 4)");
    case.catch_up();
    case.compare();
    assert_eq!(case.search.behind(&case.alias("other")), Some(format!("{}-g1", case.alias("other"))));
}

/// Before Postgres 18 nobody can read the log from before it any more.
fn of_a_publication_made_anew() {
    let mut case = stopped("tables_born");
    case.execute("DROP PUBLICATION tables_born");
    case.execute("DELETE FROM item WHERE id = 1; INSERT INTO other VALUES (3, 3)");
    case.execute("CREATE PUBLICATION tables_born FOR TABLE item, other WITH (publish_via_partition_root = true)");
    case.execute("INSERT INTO item VALUES (4, 4)");
    case.catch_up();
    case.compare();
    case.execute("INSERT INTO item VALUES (5, 5)");
    case.run().stop();
    case.compare();
}

fn whose_partition_went_while_stopped() {
    let mut case = Case::shared("tables_part");
    case.execute(
        "CREATE TABLE parted (id int PRIMARY KEY, n int) PARTITION BY RANGE (id); \
         CREATE TABLE parted_a PARTITION OF parted FOR VALUES FROM (0) TO (10); \
         CREATE TABLE parted_b PARTITION OF parted FOR VALUES FROM (10) TO (20); \
         INSERT INTO parted SELECT n, n FROM generate_series(1, 19) n",
    );
    case.follow("parted");
    case.run().stop();
    // One that comes brings its rows with it.
    case.execute(
        "CREATE TABLE parted_c PARTITION OF parted FOR VALUES FROM (20) TO (30); INSERT INTO parted VALUES (25, 25)",
    );
    case.catch_up();
    case.compare();
    case.execute("ALTER TABLE parted DETACH PARTITION parted_a");
    case.command(&["run", "--until-caught-up"]).expect(3, &["parted", "partition", "`wal2es resync"]);
    case.command(&["resync", &case.alias("parted")]).expect_success();
    case.compare();
}

fn added_to_the_configuration() {
    let mut case = Case::shared("tables_config");
    case.table("first", "id int PRIMARY KEY, n int");
    case.run().stop();
    case.table("second", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO second VALUES (1, 1); INSERT INTO first VALUES (1, 1)");
    case.command(&["run", "--until-caught-up"]).expect(2, &["second", "ALTER PUBLICATION"]);
    case.execute("ALTER PUBLICATION tables_config ADD TABLE second");
    case.command(&["run", "--until-caught-up"]).expect_success();
    case.compare();
    // And taken out again: its index stays as it is.
    case.config["indexes"].as_array_mut().unwrap().pop();
    case.execute("INSERT INTO second VALUES (2, 2)");
    case.command(&["run", "--until-caught-up"]).expect_success();
    assert_eq!(case.search.count(&case.alias("second")), Some(1));
}

fn added_without_a_key() {
    let (mut case, connector) = following("tables_bad", "tables_bad_a");
    case.execute("CREATE TABLE tables_bad_b (n int); ALTER PUBLICATION tables_bad ADD TABLE tables_bad_b");
    case.execute("INSERT INTO tables_bad_b VALUES (1)");
    connector.end(PATIENCE).expect(2, &["tables_bad_b", "key"]);
    remove(&case, &["tables_bad_a"]);
}

/// The build has read the catalog and waits for a transaction that is open; when it comes to the copy the table has gone.
fn dropped_while_it_is_built() {
    // What the build meets, the next look of the connector is to come later.
    let (mut case, mut connector) = following_at("tables_gone", "tables_gone_a", "5s");
    case.execute("CREATE TABLE tables_gone_b (id int PRIMARY KEY); CREATE TABLE tables_gone_c (id int PRIMARY KEY)");
    let mut other = case.database.session();
    let mut open = other.transaction().unwrap();
    open.batch_execute("SELECT pg_current_xact_id()").unwrap();
    case.execute("ALTER PUBLICATION tables_gone ADD TABLE tables_gone_b, tables_gone_c");
    wait_for("the build", PATIENCE, || slots(&mut case).contains(&"tables_gone_next".to_owned()).then_some(()));
    case.execute("DROP TABLE tables_gone_b");
    open.commit().unwrap();
    shown(&case, "tables_gone_c");
    case.execute("INSERT INTO tables_gone_c VALUES (1)");
    compare(&mut case, "tables_gone_c");
    connector.must_run();
    connector.stop();
    remove(&case, &["tables_gone_a", "tables_gone_b", "tables_gone_c"]);
}
