//! Changes from a table of events, into the same indices.

use std::time::Duration;

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::fault::{Answers, Canned, End, Fault, Protocol, Proxy};
use crate::support::oracle::{self, Versions};
use crate::support::outbox::{self, ORDERS};
use crate::support::seed::Seed;
use crate::support::servers::Server;
use crate::support::workload::Workload;
use crate::support::{PATIENCE, shared, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("by_transaction_id_under_load_and_killed", || under_load_and_killed(0)),
    Scenario::new("by_table_lock_under_load_and_killed", || under_load_and_killed(1)),
    Scenario::new("by_places_of_a_trigger_under_load_and_killed", || under_load_and_killed(2)),
    Scenario::new("by_places_of_a_function_under_load_and_killed", || under_load_and_killed(3)),
    Scenario::new("by_places_of_the_connector_under_load_and_killed", || under_load_and_killed(4)),
    Scenario::new("cut_off_from_both_servers", cut_off_from_both_servers),
    Scenario::new("what_readers_by_id_lose", what_readers_by_id_lose),
    Scenario::new("what_readers_by_transaction_turn_round", what_readers_by_transaction_turn_round),
    Scenario::new("what_comes_late_is_older", what_comes_late_is_older),
    Scenario::new("places_have_no_gaps", places_have_no_gaps),
    Scenario::new("who_holds_events_back_is_told", who_holds_events_back_is_told),
    Scenario::new("nobody_notifies", nobody_notifies),
    Scenario::new("one_takes_over_from_another", one_takes_over_from_another),
    Scenario::new("what_a_crash_takes_back", what_a_crash_takes_back),
    Scenario::new("events_that_are_deleted", events_that_are_deleted),
    Scenario::new("a_table_of_partitions", a_table_of_partitions),
];

/// Everything is searchable, and indices and tables are equal.
fn check(case: &mut Case, tables: &[&str]) {
    case.settle();
    equal(case, tables);
}

fn equal(case: &mut Case, tables: &[&str]) {
    let query = "SELECT max(last_value) FROM pg_sequences WHERE sequencename LIKE 'outbox%'";
    let last: Option<i64> = case.sql.query_one(query, &[]).unwrap().get(0);
    let versions = Versions::Events(last.unwrap_or(0).unsigned_abs());
    for table in tables {
        let alias = case.alias(table);
        oracle::compare(&mut case.sql, &case.search, table, &alias, versions).expect_none();
    }
}

/// A server of its own: transactions of other tests would hold events back.
fn own_server() -> Server {
    Server::start(&shared::postgres_kind(), &["--set", "wal_level=replica"])
}

/// A table whose events are read in this way.
fn with_items(postgres: &Server, name: &str, (order, fill): (&str, &str)) -> Case {
    let mut case = Case::on(&format!("{name}_{}{fill}", &order[..2]), postgres, &shared::pair().search);
    outbox::prepare(&mut case, order, fill);
    case.execute("CREATE TABLE item (id int PRIMARY KEY, n int)");
    outbox::events_of(&mut case, "item", "id", &json!({"n": {"type": "integer"}}));
    case
}

fn status(case: &Case) -> Value {
    serde_json::from_str(&case.command(&["status", "--json"]).expect_success().stdout).unwrap()
}

/// It has begun to read.
fn reading(connector: &mut Connector) {
    wait_for("the reader", PATIENCE, || {
        connector.must_run();
        connector.log().contains("reading events").then_some(())
    });
}

/// Writers, some of which commit late, savepoints, rollbacks; kills of the connector.
fn under_load_and_killed(way: usize) {
    let (order, fill) = ORDERS[way];
    let mut seed = Seed::new();
    let postgres = own_server();
    let mut case = Case::on(&format!("events_load_{way}"), &postgres, &shared::pair().search);
    outbox::prepare(&mut case, order, fill);
    for (table, columns) in [
        ("kv", "k int PRIMARY KEY, n bigint, t text"),
        ("log", "n bigint PRIMARY KEY, t text"),
        ("slow", "id int PRIMARY KEY, n int"),
    ] {
        case.execute(&format!("CREATE TABLE {table} ({columns})"));
    }
    outbox::events_of(&mut case, "kv", "k", &json!({"n": {"type": "long"}}));
    outbox::events_of(&mut case, "log", "n", &json!({}));
    outbox::events_of(&mut case, "slow", "id", &json!({}));
    case.execute("INSERT INTO kv SELECT n, n, 'before' FROM generate_series(1, 200) n");
    let mut connector = case.run();
    check(&mut case, &["kv"]);
    let mut rng = seed.fork();
    let workload = Workload::start(&case, seed.fork(), Duration::from_millis(1));
    let mut late = case.database.session();
    for round in 0..8 {
        let n = rng.u32(1..5);
        late.batch_execute(&format!(
            "BEGIN; INSERT INTO slow SELECT i, {round} FROM generate_series(1, {n}) i ON CONFLICT (id) DO UPDATE SET n = excluded.n; \
             SAVEPOINT s; DELETE FROM slow; ROLLBACK TO s"
        ))
        .unwrap();
        // Others commit meanwhile, unless they have to wait.
        let more = workload.done() + rng.u64(5..40);
        let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple'))";
        wait_for("the others", PATIENCE, || {
            let waits: bool = case.sql.query_one(waits, &[]).unwrap().get(0);
            (waits || workload.done() >= more).then_some(())
        });
        if rng.bool() {
            connector.kill();
            connector = case.start(&["run"]);
        }
        late.batch_execute(if rng.u8(..4) == 0 { "ROLLBACK" } else { "COMMIT" }).unwrap();
    }
    reading(&mut connector);
    workload.stop();
    check(&mut case, &["kv", "log", "slow"]);
    case.command(&["verify"]).expect_success();
    connector.must_run();
    connector.stop();
    // A generation is made of what the events say together.
    case.command(&["resync"]).expect_success();
    equal(&mut case, &["kv", "log", "slow"]);
    case.command(&["teardown", "--indices"]).expect_success();
    case.execute("INSERT INTO kv VALUES (9999, 1, 'after')");
}

/// Answers that are lost or replaced, a target that is away, connections that end or are forgotten, on both sides.
fn cut_off_from_both_servers() {
    let postgres = own_server();
    let search = &shared::pair().search;
    let port = |server: &Server, fact: &str| server.fact(fact).rsplit(':').next().unwrap().parse().unwrap();
    for (at, (order, fill)) in [ORDERS[0], ORDERS[1], ORDERS[4]].into_iter().enumerate() {
        let mut seed = Seed::new();
        let mut rng = seed.fork();
        let source = Proxy::start(Protocol::Bytes, port(&postgres, "port"), rng.fork());
        let target = Proxy::start(Protocol::Http, port(search, "url"), rng.fork());
        let mut case = Case::on(&format!("events_cut_{at}"), &postgres, search);
        case.through(&source, &target);
        outbox::prepare(&mut case, order, fill);
        case.execute("CREATE TABLE kv (k int PRIMARY KEY, n bigint, t text); CREATE TABLE log (n bigint PRIMARY KEY, t text)");
        outbox::events_of(&mut case, "kv", "k", &json!({}));
        outbox::events_of(&mut case, "log", "n", &json!({}));
        let mut connector = case.run();
        let workload = Workload::start(&case, seed.fork(), Duration::from_millis(1));
        let faults = [
            Fault::Answered(Answers::Lost, 40),
            Fault::Answered(Answers::After(Canned::Gateway(502)), 40),
            Fault::Answered(Answers::Instead(Canned::TooMany), 40),
            Fault::Answered(Answers::HalfAsked(700), 40),
            Fault::Refused,
            Fault::Stalled,
        ];
        for (number, fault) in faults.into_iter().enumerate() {
            target.set(fault);
            let more = workload.done() + rng.u64(20..60);
            wait_for("the load", PATIENCE, || (workload.done() > more).then_some(()));
            // A request to a target that has forgotten it is waited for longer than a test may take.
            match number % 2 {
                0 => source.end([End::Cut, End::Reset, End::Forgotten][number / 2]),
                _ => target.end([End::Cut, End::Reset][rng.usize(0..2)]),
            }
            target.heal();
        }
        workload.stop();
        check(&mut case, &["kv", "log"]);
        connector.must_run();
        connector.stop();
    }
}

/// `WHERE id > last` passes an event over that commits after a later one was read.
fn what_readers_by_id_lose() {
    let postgres = own_server();
    for way in ORDERS {
        let mut case = with_items(&postgres, "events_late", way);
        let connector = case.run();
        let mut late = case.database.session();
        late.batch_execute("BEGIN; INSERT INTO outbox (kind, key, op, payload) VALUES ('other', 'x', 'U', '{}')").unwrap();
        late.batch_execute("INSERT INTO item VALUES (1, 1)").unwrap();
        if way.1 != "function" {
            case.execute("INSERT INTO item VALUES (2, 2)");
        }
        let read = |case: &mut Case, after: i64| -> Vec<i64> {
            let rows = case.sql.query("SELECT id FROM outbox WHERE id > $1 ORDER BY id", &[&after]).unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        };
        let first = read(&mut case, 0);
        late.batch_execute("COMMIT").unwrap();
        let second = read(&mut case, first.last().copied().unwrap_or(0));
        let all = read(&mut case, 0);
        if way.1 != "function" {
            assert!(first.len() + second.len() < all.len(), "that reader has lost nothing: {all:?}");
        }
        check(&mut case, &["item"]);
        connector.stop();
    }
}

/// In the order of transactions a key ends at its older state, when the one that began first writes last.
fn what_readers_by_transaction_turn_round() {
    let postgres = own_server();
    for way in ORDERS {
        let mut case = with_items(&postgres, "events_round", way);
        case.execute("INSERT INTO item VALUES (1, 0), (2, 0)");
        let connector = case.run();
        connector.stop();
        let mut early = case.database.session();
        early.batch_execute("BEGIN; SELECT pg_current_xact_id()").unwrap();
        case.execute("UPDATE item SET n = 1 WHERE id = 1");
        early.batch_execute("UPDATE item SET n = 2 WHERE id = 1; COMMIT").unwrap();
        let query = "SELECT payload->>'n' FROM outbox WHERE key = '1' ORDER BY transaction_id DESC, id DESC LIMIT 1";
        let last: String = case.sql.query_one(query, &[]).unwrap().get(0);
        assert_eq!(last, "1", "that order is not wrong");
        let connector = case.start(&["run"]);
        check(&mut case, &["item"]);
        connector.stop();
    }
}

/// An event of a transaction that is held back may be older than one that has been read: copied, applied, or deleted since.
fn what_comes_late_is_older() {
    let postgres = own_server();
    for (at, retention) in ["keep", "delete", "copied"].into_iter().enumerate() {
        let mut case = with_items(&postgres, &format!("events_older{at}"), ORDERS[0]);
        if retention == "delete" {
            case.config["events"]["retention"] = "delete".into();
        }
        case.execute("INSERT INTO item VALUES (1, 0), (2, 0)");
        let mut connector = (retention != "copied").then(|| case.run());
        let [mut early, mut open] = [case.database.session(), case.database.session()];
        for session in [&mut early, &mut open] {
            session.batch_execute("BEGIN; SELECT pg_current_xact_id()").unwrap();
        }
        case.execute("UPDATE item SET n = 1");
        early.batch_execute("UPDATE item SET n = 2 WHERE id = 1; DELETE FROM item WHERE id = 2; COMMIT").unwrap();
        if connector.is_none() {
            let mut begun = case.run_busy();
            reading(&mut begun);
            connector = Some(begun);
        }
        let alias = case.alias("item");
        wait_for("the index", PATIENCE, || case.search.behind(&alias));
        wait_for("the early one", PATIENCE, || case.search.field(&alias, "1", "n").filter(|n| *n == 2));
        wait_for("its deletion", PATIENCE, || (case.search.count(&alias) == Some(1)).then_some(()));
        // What was deleted is forgotten by then.
        for what in ["_flush", "_close", "_open"] {
            case.search.json("POST", &format!("{alias}-g1/{what}"), None);
        }
        open.batch_execute("COMMIT").unwrap();
        check(&mut case, &["item"]);
        let mut connector = connector.unwrap();
        connector.must_run();
        connector.stop();
    }
}

/// Places are 1 to n, in the order of commits, whoever rolls back.
fn places_have_no_gaps() {
    let postgres = Server::start(&shared::postgres_kind(), &["--set", "track_commit_timestamp=on", "--set", "max_connections=120"]);
    let pair = shared::pair();
    for fill in ["trigger", "function", "connector"] {
        let mut case = Case::on(&format!("events_gaps_{fill}"), &postgres, &pair.search);
        outbox::prepare(&mut case, "stream", fill);
        case.execute("CREATE TABLE item (id int PRIMARY KEY, n int)");
        outbox::events_of(&mut case, "item", "id", &json!({}));
        case.execute("INSERT INTO item VALUES (0, 0)");
        let connector = case.run();
        let mut seed = Seed::new();
        std::thread::scope(|scope| {
            for writer in 0..50 {
                let (database, mut rng) = (case.database.clone(), seed.fork());
                scope.spawn(move || {
                    let mut session = database.session();
                    for n in 0..10 {
                        let end = if rng.u8(..3) == 0 { "ROLLBACK" } else { "COMMIT" };
                        let id = 1 + writer * 10 + n;
                        session.batch_execute(&format!("BEGIN; INSERT INTO item VALUES ({id}, {n}); {end}")).unwrap();
                    }
                });
            }
        });
        check(&mut case, &["item"]);
        let query = "SELECT count(*), min(id), max(id), \
               count(*) FILTER (WHERE committed < before) \
             FROM (SELECT s.id, pg_xact_commit_timestamp(e.xmin) AS committed, \
                          lag(pg_xact_commit_timestamp(e.xmin)) OVER (ORDER BY s.id) AS before \
                     FROM wal2es.events_stream s JOIN outbox e ON e.id = s.event) placed";
        let row = case.sql.query_one(query, &[]).unwrap();
        let [count, first, last, wrong] = [0, 1, 2, 3].map(|at| row.get::<_, i64>(at));
        let events: i64 = case.sql.query_one("SELECT count(*) FROM outbox", &[]).unwrap().get(0);
        assert_eq!((count, first, last), (events, 1, events), "{fill}");
        // Who has a queue in between gives places in the order in which it finds them.
        if fill != "connector" {
            assert_eq!(wrong, 0, "{fill}: places are not in the order of commits");
        }
        connector.stop();
    }
}

/// A transaction that stays open is named, and what it held back comes when it ends.
fn who_holds_events_back_is_told() {
    let postgres = own_server();
    for way in [ORDERS[0], ORDERS[1]] {
        let mut case = with_items(&postgres, "events_held", way);
        let connector = case.run();
        let mut open = case.database.session();
        open.batch_execute("BEGIN; INSERT INTO item VALUES (1, 1)").unwrap();
        let pid: i32 = open.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
        case.execute("INSERT INTO item VALUES (2, 2)");
        let ended = case.command(&["wait", "--timeout", "1s"]);
        assert_eq!(ended.code, Some(1), "{}", ended.stderr);
        let said = status(&case)["events"].clone();
        let who = said["oldest_transaction"]["who"].as_str().unwrap();
        assert!(who.starts_with(&format!("process {pid} (idle in transaction)")), "{said}");
        assert_eq!(case.search.count(&case.alias("item")), Some(0));
        open.batch_execute("COMMIT").unwrap();
        check(&mut case, &["item"]);
        connector.stop();
    }
}

/// It looks now and then, whether it asked to be woken or not.
fn nobody_notifies() {
    let postgres = own_server();
    for way in ORDERS {
        let mut case = with_items(&postgres, "events_poll", way);
        case.config["events"]["poll"] = "50ms".into();
        let mut connector = case.run();
        let installed = "SELECT to_regclass('wal2es.reader') IS NOT NULL";
        let installed: bool = case.sql.query_one(installed, &[]).unwrap().get(0);
        assert_eq!(installed, way.0 == "stream", "nothing is made that is not needed");
        case.execute("INSERT INTO item VALUES (1, 1)");
        check(&mut case, &["item"]);
        connector.stop();

        case.config["events"].as_object_mut().unwrap().remove("poll");
        case.command(&["setup"]).expect_success();
        connector = case.start(&["run"]);
        reading(&mut connector);
        case.execute("ALTER TABLE outbox DISABLE TRIGGER wal2es_wake; INSERT INTO item VALUES (2, 2)");
        let found = || case.search.field(&case.alias("item"), "2", "n");
        wait_for("the sweep", PATIENCE, || found().filter(|n| *n == 2));
        wait_for("a word", PATIENCE, || connector.log().contains("has no trigger wal2es_wake").then_some(()));
        connector.stop();
        case.command(&["run"]).expect(2, &["has no trigger wal2es_wake", "wal2es setup", "events.poll"]);
    }
}

fn one_takes_over_from_another() {
    let postgres = own_server();
    let mut case = with_items(&postgres, "events_two", ORDERS[0]);
    let first = case.run();
    let mut second = case.start(&["run"]);
    wait_for("its turn", PATIENCE, || second.log().contains("waiting to take over").then_some(()));
    case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 500) n");
    first.kill();
    case.execute("UPDATE item SET n = n + 1 WHERE id > 100; DELETE FROM item WHERE id < 50");
    reading(&mut second);
    check(&mut case, &["item"]);
    second.must_run();
    // Another connector has a place of its own.
    let mut other = with_items(&postgres, "events_other", ORDERS[0]);
    other.config["source"]["url"] = case.config["source"]["url"].clone();
    let mut third = other.start(&["run"]);
    reading(&mut third);
    other.settle();
    assert_eq!(other.search.count(&other.alias("item")), Some(451));
    third.stop();
    second.stop();
}

/// With `synchronous_commit = off` events can be read that a crash takes away again.
fn what_a_crash_takes_back() {
    let pair = shared::pair();
    let options = ["--set", "wal_level=replica", "--set", "wal_writer_delay=10s", "--set", "max_wal_senders=0"];
    let mut postgres = Server::start(&shared::postgres_kind(), &options);
    let mut case = Case::on("events_crash", &postgres, &pair.search);
    outbox::prepare(&mut case, "transaction-id", "");
    case.execute("CREATE TABLE item (id int PRIMARY KEY, n int)");
    outbox::events_of(&mut case, "item", "id", &json!({}));
    let mut connector = case.run();
    for round in 1..=3 {
        let mut open = case.database.session();
        open.batch_execute("SET synchronous_commit = off").unwrap();
        for n in 0..20 {
            let sql = format!("INSERT INTO item VALUES ({n}, {round}) ON CONFLICT (id) DO UPDATE SET n = {round}");
            open.batch_execute(&sql).unwrap();
        }
        // Whatever was sent must be on disk.
        let first = format!("{}/_doc/0", case.alias("item"));
        let written = || case.search.find(&first).filter(|found| found["_source"]["n"] == round);
        wait_for("the first of them", PATIENCE, written);
        postgres.stop("immediate");
        postgres.start_again(&options);
        case.reconnect();
        if connector.ended().is_some() {
            connector = case.start(&["run"]);
        }
        check(&mut case, &["item"]);
    }
    connector.must_run();
    connector.stop();
}

/// What is in the index may go; then nothing can be built of it any more.
fn events_that_are_deleted() {
    let postgres = own_server();
    for way in [ORDERS[0], ORDERS[1], ORDERS[2]] {
        let mut case = with_items(&postgres, "events_gone", way);
        case.config["events"]["retention"] = "delete".into();
        case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 300) n");
        let mut connector = case.run();
        case.execute("UPDATE item SET n = 0 WHERE id % 2 = 0; DELETE FROM item WHERE id % 3 = 0");
        check(&mut case, &["item"]);
        let left = "SELECT count(*) FROM outbox";
        wait_for("its end", PATIENCE, || {
            (case.sql.query_one(left, &[]).unwrap().get::<_, i64>(0) == 0).then_some(())
        });
        case.execute("UPDATE item SET n = 5 WHERE id = 4");
        check(&mut case, &["item"]);
        case.command(&["verify"]).expect(2, &["retention"]);
        connector.must_run();
        connector.kill();
        case.execute("UPDATE item SET n = 6 WHERE id = 8");
        connector = case.start(&["run"]);
        check(&mut case, &["item"]);
        connector.stop();
        case.command(&["resync"]).expect(3, &["events.retention"]);
        check_without_connector(&mut case);
        case.execute("INSERT INTO wal2es.reader VALUES ('another one', true)");
        case.command(&["run"]).expect(2, &["other connectors read these events", "another one"]);
        // What is gone stays gone.
        case.config["events"]["retention"] = "keep".into();
        case.command(&["resync"]).expect(3, &["events.retention"]);
        check_without_connector(&mut case);
    }
}

/// A command that was refused has changed nothing.
fn check_without_connector(case: &mut Case) {
    let connector = case.start(&["run"]);
    check(case, &["item"]);
    connector.stop();
}

/// Partitions come and go; events are read wherever they lie.
fn a_table_of_partitions() {
    let postgres = own_server();
    for (at, (order, fill)) in ORDERS.into_iter().enumerate() {
        let mut case = Case::on(&format!("events_parts_{at}"), &postgres, &shared::pair().search);
        outbox::prepare(&mut case, order, fill);
        case.execute(
            "DROP TABLE outbox; CREATE SEQUENCE outbox_ids; \
             CREATE TABLE outbox (id bigint NOT NULL DEFAULT nextval('outbox_ids'), kind text, key text, op text, payload jsonb, \
               transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(), PRIMARY KEY (id)) PARTITION BY RANGE (id); \
             CREATE TABLE outbox_1 PARTITION OF outbox FOR VALUES FROM (1) TO (100); \
             CREATE TABLE outbox_2 PARTITION OF outbox FOR VALUES FROM (100) TO (1000); \
             CREATE INDEX ON outbox (transaction_id, id); CREATE TABLE item (id int PRIMARY KEY, n int)",
        );
        outbox::events_of(&mut case, "item", "id", &json!({}));
        case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 90) n");
        let mut connector = case.run();
        check(&mut case, &["item"]);
        case.execute("UPDATE item SET n = n + 1");
        check(&mut case, &["item"]);
        case.execute("ALTER TABLE outbox DETACH PARTITION outbox_1; DROP TABLE outbox_1; UPDATE item SET n = 7 WHERE id < 5");
        check(&mut case, &["item"]);
        connector.must_run();
        connector.stop();
    }
}
