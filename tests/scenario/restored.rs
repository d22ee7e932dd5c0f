//! The database goes back in time, or on to another server that lacks some of it: never gone on with as if nothing were.

use super::Scenario;
use crate::support::case::Case;
use crate::support::copies::{self, Backup};
use crate::support::postgres::{Database, connect};
use crate::support::servers::Server;
use crate::support::{PATIENCE, shared, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("from_an_older_copy", from_an_older_copy),
    Scenario::new("from_an_older_copy_and_written_to", from_an_older_copy_and_written_to),
    Scenario::new("while_the_connector_runs", while_the_connector_runs),
    Scenario::new("x10_a_standby_that_lagged_behind", x10_a_standby_that_lagged_behind),
    Scenario::new("a_standby_that_was_waited_for", a_standby_that_was_waited_for),
];

/// One row copied, one streamed.
fn begin(name: &str, postgres: &Server, search: &Server) -> Case {
    let mut case = Case::on(name, postgres, search);
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item VALUES (1, 'copied')");
    case.catch_up();
    case.execute("INSERT INTO item VALUES (2, 'streamed')");
    case.catch_up();
    case
}

/// The files as they are now; the server goes on.
fn back_up(case: &mut Case, postgres: &mut Server) -> Backup {
    postgres.stop("fast");
    let backup = Backup::of(postgres);
    postgres.start_again(&[]);
    case.reconnect();
    backup
}

fn restore(case: &mut Case, postgres: &mut Server, backup: &Backup) {
    postgres.stop("fast");
    backup.restore(postgres);
    postgres.start_again(&[]);
    case.reconnect();
}

fn expect_refused(case: &mut Case, words: &[&str]) {
    let alias = case.alias("item");
    let (state, count) = (case.state(), case.search.count(&alias));
    let confirmed = case.confirmed();
    case.command(&["run", "--setup", "--until-caught-up"]).expect(3, words);
    assert_eq!(case.state(), state);
    assert_eq!(case.search.count(&alias), count);
    assert_eq!(case.confirmed(), confirmed);
}

fn from_an_older_copy() {
    let pair = shared::pair();
    let mut postgres = Server::start(&shared::postgres_kind(), &[]);
    let mut case = begin("oldcopy", &postgres, &pair.search);
    let backup = back_up(&mut case, &mut postgres);
    case.execute("INSERT INTO item SELECT n, repeat('lost', 100) FROM generate_series(10, 5000) n");
    case.catch_up();
    restore(&mut case, &mut postgres, &backup);
    expect_refused(&mut case, &["ahead of the server", "gone back in time", "wal2es resync"]);
}

/// Its position is beyond that of the index, and at the same positions it has other transactions.
fn from_an_older_copy_and_written_to() {
    let pair = shared::pair();
    let mut postgres = Server::start(&shared::postgres_kind(), &[]);
    let mut case = begin("oldwritten", &postgres, &pair.search);
    let backup = back_up(&mut case, &mut postgres);
    case.execute("INSERT INTO item VALUES (3, 'lost')");
    case.catch_up();
    // The same again is as long, and ends at the same place if nothing else comes between; then more.
    for more in ["", "INSERT INTO item SELECT n, 'new' FROM generate_series(10, 500) n"] {
        restore(&mut case, &mut postgres, &backup);
        case.execute("INSERT INTO item VALUES (3, 'new!')");
        case.execute(more);
        wait_for("the log to pass the index", PATIENCE, || {
            case.execute("SELECT pg_logical_emit_message(true, 'wal2es-test', repeat('x', 100))");
            let applied = case.state().unwrap()["applied_lsn"].as_str().unwrap().to_owned();
            let query = "SELECT pg_current_wal_flush_lsn() > $1::text::pg_lsn";
            case.sql.query_one(query, &[&applied]).unwrap().get::<_, bool>(0).then_some(())
        });
        expect_refused(&mut case, &["not the one that the index was made from", "restored", "wal2es resync"]);
    }
}

fn while_the_connector_runs() {
    let pair = shared::pair();
    let mut postgres = Server::start(&shared::postgres_kind(), &[]);
    let mut case = begin("oldrun", &postgres, &pair.search);
    let backup = back_up(&mut case, &mut postgres);
    let connector = case.run();
    wait_for("the stream", PATIENCE, || connector.log().contains("streaming from").then_some(()));
    case.execute("INSERT INTO item VALUES (3, 'lost')");
    case.check();
    let state = case.state();
    restore(&mut case, &mut postgres, &backup);
    connector.end(PATIENCE).expect(3, &["wal2es resync"]);
    assert_eq!(case.state().unwrap()["indexes"], state.unwrap()["indexes"]);
    assert_eq!(case.search.count(&case.alias("item")), Some(3));
}

/// The source of the configuration is another server from now on.
fn move_to(case: &mut Case, server: &Server) {
    case.database.port = server.fact("port").parse().unwrap();
    case.config["source"]["url"] = case.database.url().into();
    case.reconnect();
}

fn x10_a_standby_that_lagged_behind() {
    let pair = shared::pair();
    let primary = Server::start(&shared::postgres_kind(), &[]);
    let mut case = begin("x10", &primary, &pair.search);
    let standby = copies::standby(&primary, "x10", &[]);
    copies::cut_off(&standby);
    let connector = case.run();
    for n in 1..=5 {
        case.execute(&format!("UPDATE item SET name = 'lost{n}' WHERE id = 1"));
    }
    case.check();
    connector.stop();
    primary.stop("immediate");
    copies::promote(&standby);
    move_to(&mut case, &standby);
    case.execute("UPDATE item SET name = 'winner' WHERE id = 1");
    // Before a slot is made, and after.
    case.command(&["run"]).expect(3, &["timeline 2", "the index on 1", "wal2es resync"]);
    case.command(&["run", "--setup"]).expect(3, &["timeline 2", "wal2es resync"]);
    assert_eq!(case.search.field(&case.alias("item"), "1", "name"), Some("lost5".into()));
}

/// With a failover slot, and the server holding back what the standby has not got, the index has nothing that the
/// standby lacks.
fn a_standby_that_was_waited_for() {
    if shared::postgres_kind() != "postgres-18" {
        return;
    }
    let pair = shared::pair();
    let mut primary = Server::start("postgres-18", &[]);
    let mut case = Case::on("waited", &primary, &pair.search);
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item VALUES (1, 'copied')");
    let plugin = case.config["source"]["plugin"].as_str().unwrap().to_owned();
    let make = "SELECT FROM pg_create_logical_replication_slot('waited', $1, false, false, true)";
    case.sql.query(make, &[&plugin]).unwrap();
    let standby = copies::standby(&primary, "waited", &["--set", "sync_replication_slots=on"]);
    // A failover slot alone does not hold back the stream.
    case.catch_up();
    assert_eq!(case.state().unwrap()["failover"], false);
    primary.stop("fast");
    primary.start_again(&["--set", "synchronized_standby_slots=standby"]);
    case.reconnect();
    case.execute("INSERT INTO item VALUES (2, 'waited for')");
    case.catch_up();
    assert_eq!(case.state().unwrap()["failover"], true);
    synchronize(&mut case, &standby);
    case.execute("UPDATE item SET name = 'on both' WHERE id = 1");
    case.catch_up();
    primary.stop("immediate");
    copies::promote(&standby);
    move_to(&mut case, &standby);
    case.execute("INSERT INTO item VALUES (3, 'on the new one')");
    case.command(&["run", "--until-caught-up"]).expect_success();
    case.compare();
    let state = case.state().unwrap();
    assert_eq!((&state["timeline"], &state["failover"]), (&2.into(), &false.into()));
    // The new one waits for nobody: the next time it is refused.
    let mut other = case.state().unwrap();
    other["timeline"] = 1.into();
    let path = format!("wal2es-state/_doc/{}.waited.waited", other["system_id"].as_str().unwrap());
    case.search.expect("PUT", &path, Some(&other));
    case.command(&["run"]).expect(3, &["timeline 2", "wal2es resync"]);
}

/// The standby has the slot, once the slot needs nothing that the standby never had.
fn synchronize(case: &mut Case, standby: &Server) {
    let mut session = connect(standby.fact("port").parse().unwrap(), &case.name, Database::ADMIN);
    let connector = case.run();
    let query = "SELECT count(*) FROM pg_replication_slots WHERE slot_name = $1 AND synced AND NOT temporary";
    // The standby looks every 30 s when nothing has changed before.
    wait_for("the slot on the standby", PATIENCE * 3, || {
        std::thread::sleep(std::time::Duration::from_millis(500));
        case.execute("UPDATE item SET name = name || '.'; SELECT pg_log_standby_snapshot()");
        (session.query_one(query, &[&case.name]).unwrap().get::<_, i64>(0) == 1).then_some(())
    });
    connector.stop();
}
