//! A Postgres that can't be followed: the message names the thing and the remedy, and nothing is made.

use super::Scenario;
use crate::support::case::Case;
use crate::support::servers::Server;
use crate::support::shared;
use crate::support::wait_for;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("without_setup", without_setup),
    Scenario::new("wal_level_replica", wal_level_replica),
    Scenario::new("without_privileges", without_privileges),
    Scenario::new("a_table_without_a_key", a_table_without_a_key),
    Scenario::new("a_table_that_is_not_there", a_table_that_is_not_there),
    Scenario::new("unreachable", unreachable),
    Scenario::new("a_second_connector", a_second_connector),
    Scenario::new("a_slot_of_another_plugin", a_slot_of_another_plugin),
    Scenario::new("a_slot_that_was_made_anew", a_slot_that_was_made_anew),
];

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item VALUES (1, 'one')");
    case
}

fn without_setup() {
    let mut case = case("nosetup");
    case.command(&["run"]).expect(2, &["publication nosetup", "wal2es setup"]);
    case.expect_nothing_made();
    case.execute("CREATE PUBLICATION nosetup FOR TABLE item");
    case.command(&["run"]).expect(2, &["slot nosetup", "wal2es setup"]);
    case.expect_nothing_in_target();
    case.execute("ALTER PUBLICATION nosetup SET (publish = 'insert, update')");
    case.command(&["run"]).expect(2, &["delete, truncate", "ALTER PUBLICATION"]);
    case.expect_nothing_in_target();
}

fn wal_level_replica() {
    let shared = shared::pair();
    let kind = shared::postgres_kind();
    let postgres = Server::start(&kind, &["--set", "wal_level=replica"]);
    let mut case = Case::on("replica", &postgres, &shared.search);
    case.table("item", "id int PRIMARY KEY");
    for arguments in [&["setup"][..], &["run"], &["run", "--setup"]] {
        case.command(arguments).expect(2, &["wal_level", "replica", "logical", "restart"]);
    }
    case.expect_nothing_made();
}

fn without_privileges() {
    let mut case = case("privileges");
    case.execute(
        "DROP ROLE IF EXISTS no_replication, no_select; CREATE ROLE no_replication LOGIN; \
         CREATE ROLE no_select LOGIN REPLICATION; GRANT SELECT ON item TO no_replication",
    );
    case.config["source"]["url"] = case.database.url_of("no_replication").into();
    case.command(&["run", "--setup"]).expect(2, &["REPLICATION"]);
    case.config["source"]["url"] = case.database.url_of("no_select").into();
    case.command(&["setup"]).expect(2, &["CREATE PUBLICATION", "setup --print"]);
    case.expect_nothing_made();
    case.config["source"]["url"] = case.database.url().into();
    case.command(&["setup"]).expect_success();
    case.config["source"]["url"] = case.database.url_of("no_select").into();
    case.command(&["run"]).expect(2, &["no_select", "item", "GRANT SELECT"]);
    case.expect_nothing_in_target();
    case.execute("GRANT SELECT ON item TO no_select");
    case.command(&["run", "--until-caught-up"]).expect_success();
    case.compare();
    case.execute("REVOKE ALL ON item FROM no_select, no_replication");
}

fn a_table_without_a_key() {
    let mut case = Case::shared("nokey");
    case.table("item", "id int, name text");
    case.command(&["run", "--setup"]).expect(2, &["item", "key", "ALTER TABLE"]);
    case.expect_nothing_made();
    case.execute("CREATE PUBLICATION nokey FOR TABLE item");
    case.command(&["setup"]).expect_success();
    case.command(&["run"]).expect(2, &["item", "key", "ALTER TABLE"]);
    case.expect_nothing_in_target();
}

fn a_table_that_is_not_there() {
    let mut case = Case::shared("notable");
    case.config["indexes"] = serde_json::json!([{"table": "public.absent"}]);
    case.command(&["run", "--setup"]).expect(2, &["public.absent", "notable"]);
    case.expect_nothing_made();
    case.execute("CREATE VIEW absent AS SELECT 1 AS id");
    case.command(&["run", "--setup"]).expect(2, &["absent", "a view"]);
    case.expect_nothing_made();
}

fn unreachable() {
    let mut case = case("noserver");
    let good = case.config["source"]["url"].clone();
    case.config["source"]["url"] = "postgres://u@127.0.0.1:1/x".into();
    case.command(&["run", "--setup"]).expect(1, &["127.0.0.1", "source.url"]);
    case.config["source"]["url"] = format!("{}_not", good.as_str().unwrap()).into();
    case.command(&["run", "--setup"]).expect(2, &["noserver_not", "source.url"]);
    case.expect_nothing_made();
}

fn a_second_connector() {
    let mut case = case("second");
    let mut first = case.run();
    let second = case.start(&["run"]);
    second.end(crate::support::PATIENCE).expect(1, &["slot second", "in use", "process", "second wal2es"]);
    first.must_run();
    case.execute("UPDATE item SET name = 'by the first'");
    case.check();
}

fn a_slot_of_another_plugin() {
    let mut case = case("plugin");
    case.read_by("pgoutput");
    case.execute("SELECT pg_create_logical_replication_slot('plugin', 'test_decoding')");
    case.command(&["run", "--setup"]).expect(2, &["slot plugin", "test_decoding", "pg_drop_replication_slot"]);
    case.expect_nothing_in_target();
    case.execute("SELECT pg_drop_replication_slot('plugin')");
    case.execute("SELECT pg_create_physical_replication_slot('plugin')");
    case.command(&["run"]).expect(2, &["slot plugin", "physical"]);
    case.execute("SELECT pg_drop_replication_slot('plugin')");
    case.expect_nothing_in_target();
}

/// What was written in between is lost to the stream: never go on as if nothing had happened.
fn a_slot_that_was_made_anew() {
    let mut case = case("anew");
    case.read_by("pgoutput");
    case.catch_up();
    let drop = "SELECT pg_drop_replication_slot('anew')";
    wait_for("the slot to be free", crate::support::PATIENCE, || case.sql.batch_execute(drop).ok());
    case.command(&["run"]).expect(3, &["slot anew is gone", "wal2es resync"]);
    case.execute("INSERT INTO item VALUES (2, 'missed')");
    case.execute("SELECT pg_create_logical_replication_slot('anew', 'pgoutput')");
    case.command(&["run"]).expect(3, &["slot anew", "ahead", "wal2es resync"]);
    assert_eq!(case.search.count(&case.alias("item")), Some(1));
}
