//! Changes captured by triggers, into the same indices.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::seed::Seed;
use crate::support::servers::Server;
use crate::support::workload::Workload;
use crate::support::{PATIENCE, shared, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("where_the_log_can_not_be_decoded", where_the_log_can_not_be_decoded),
    Scenario::new("keys_of_all_kinds", keys_of_all_kinds),
    Scenario::new("by_roles_of_few_rights", by_roles_of_few_rights),
    Scenario::new("under_load_and_killed", under_load_and_killed),
    Scenario::new("compared_and_repaired", compared_and_repaired),
    Scenario::new("one_takes_over_from_another", one_takes_over_from_another),
    Scenario::new("what_commits_late", what_commits_late),
    Scenario::new("what_a_crash_takes_back", what_a_crash_takes_back),
    Scenario::new("what_is_not_captured_is_told", what_is_not_captured_is_told),
    Scenario::new("a_table_changed_meanwhile", a_table_changed_meanwhile),
    Scenario::new("two_connectors_and_prepared_transactions", two_connectors_and_prepared_transactions),
    Scenario::new("killed_after_a_truncation", killed_after_a_truncation),
    Scenario::new("a_partition_truncated_alone", a_partition_truncated_alone),
];

/// Everything is searchable, and indices and tables are equal.
fn check(case: &mut Case, tables: &[&str]) {
    case.settle();
    tables.iter().for_each(|table| case.compare_one(table));
}

fn status(case: &Case) -> Value {
    serde_json::from_str(&case.command(&["status", "--json"]).expect_success().stdout).unwrap()
}

/// It has read the whole of the queue once.
fn taking(connector: &mut Connector) {
    wait_for("the consumer", PATIENCE, || {
        connector.must_run();
        connector.log().contains("taking from the trigger queue").then_some(())
    });
}

/// No walsender, no slot, no log that can be decoded.
fn where_the_log_can_not_be_decoded() {
    let pair = shared::pair();
    let options = ["--set", "wal_level=replica", "--set", "max_wal_senders=0", "--set", "max_replication_slots=0"];
    let postgres = Server::start(&shared::postgres_kind(), &options);
    let mut case = Case::on("queue_plain", &postgres, &pair.search);
    case.table("item", "id int PRIMARY KEY, name text, price numeric(10,2), made timestamptz");
    case.execute("INSERT INTO item SELECT n, 'item ' || n, n / 7.0, now() FROM generate_series(1, 3000) n");
    case.command(&["run", "--setup", "--until-caught-up"]).expect(2, &["wal_level is replica", "source.capture: queue"]);
    case.read_by("queue");
    case.command(&["run"]).expect(2, &["wal2es setup"]);
    let mut connector = case.run();
    check(&mut case, &["item"]);
    for sql in [
        "INSERT INTO item VALUES (5000, 'new', 1.50, '2024-02-29 12:00+02')",
        "UPDATE item SET price = price + 1 WHERE id % 10 = 0",
        "UPDATE item SET id = id + 10000 WHERE id < 100",
        "DELETE FROM item WHERE id BETWEEN 200 AND 300",
        "BEGIN; DELETE FROM item WHERE id = 400; INSERT INTO item VALUES (400, 'again'); COMMIT",
        "BEGIN; UPDATE item SET id = -1 WHERE id = 500; UPDATE item SET id = 500 WHERE id = 501; \
         UPDATE item SET id = 501 WHERE id = -1; COMMIT",
        "BEGIN; DELETE FROM item; ROLLBACK",
        "BEGIN; SAVEPOINT a; DELETE FROM item WHERE id > 2000; ROLLBACK TO a; UPDATE item SET name = 'kept' WHERE id = 2001; COMMIT",
        "INSERT INTO item VALUES (600, 'conflict'), (7000, 'none') ON CONFLICT (id) DO UPDATE SET name = excluded.name",
        "SET session_replication_role = replica; UPDATE item SET name = 'as a replica' WHERE id = 700; RESET session_replication_role",
        "UPDATE item SET name = 'nothing' WHERE false",
        "TRUNCATE item",
        "BEGIN; INSERT INTO item VALUES (1, 'gone'); TRUNCATE item; INSERT INTO item VALUES (1, 'there'), (2, 'too'); COMMIT",
    ] {
        case.execute(sql);
        check(&mut case, &["item"]);
    }
    connector.must_run();
    assert_eq!(status(&case)["queue"], json!({"schema": "wal2es", "entries": 0, "taken": true}));
    case.command(&["teardown"]).expect(1, &["stop `wal2es run` first"]);
    connector.stop();
    case.execute("INSERT INTO item VALUES (9, 'while it was stopped')");
    case.catch_up();
    case.compare_one("item");
    case.command(&["resync"]).expect_success();
    case.compare_one("item");
    case.command(&["teardown", "--indices"]).expect_success();
    // Nothing is left in the way of who writes.
    case.execute("INSERT INTO item VALUES (10, 'after')");
    let query = "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal";
    assert_eq!(case.sql.query_one(query, &[]).unwrap().get::<_, i64>(0), 0);
}

/// What a key looks like depends neither on the session that writes nor on how SQL compares it.
fn keys_of_all_kinds() {
    let mut case = Case::shared("queue_keys");
    case.read_by("queue");
    let tables = [
        ("moment", "id timestamptz PRIMARY KEY, n int"),
        ("flag", "id boolean PRIMARY KEY, n int"),
        ("padded", "id char(8) PRIMARY KEY, n int"),
        ("bytes", "id bytea PRIMARY KEY, n int"),
        ("amount", "id numeric PRIMARY KEY, n int"),
        ("pair", "a text, b int, n int, PRIMARY KEY (b, a)"),
    ];
    for (table, columns) in tables {
        case.table(table, columns);
    }
    let odd = r#"public."Odd ""name""""#;
    case.execute(&format!("CREATE TABLE {odd} (\"the id\" text PRIMARY KEY, n int)"));
    case.follow_as(odd, "queue-keys-odd");
    case.execute("INSERT INTO moment VALUES ('2024-01-01 00:00Z', 1); INSERT INTO flag VALUES (true, 1)");
    let connector = case.run();
    let mut other = case.database.session();
    other.batch_execute(
        "SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET bytea_output = 'escape'; SET lc_monetary = 'C'; \
         UPDATE moment SET n = 2; INSERT INTO moment VALUES ('2024-06-01 12:34:56.789+02', 3); \
         UPDATE flag SET n = 2; INSERT INTO padded VALUES ('ab', 1), ('', 2); \
         INSERT INTO bytes VALUES ('\\x00ff41', 1), ('\\x', 2); INSERT INTO amount VALUES (1.0, 1), (2.50, 2); \
         INSERT INTO pair VALUES ('x''y\"z', 1, 1), ('', 2, 2), (repeat('long', 300), 3, 3); \
         INSERT INTO \"Odd \"\"name\"\"\" VALUES ('[\"a\"]', 1), (E'tab\\tline\\nback\\\\slash', 2)",
    ).unwrap();
    case.execute(
        "UPDATE amount SET id = 1.00 WHERE id = 1; DELETE FROM bytes WHERE id = '\\x'; \
         UPDATE pair SET a = 'other' WHERE b = 3; UPDATE padded SET id = 'cd' WHERE n = 1",
    );
    let names: Vec<&str> = tables.iter().map(|(table, _)| *table).chain([odd]).collect();
    check(&mut case, &names);
    connector.stop();
}

/// Neither who runs the connector nor who writes may do more than has to be.
fn by_roles_of_few_rights() {
    let mut case = Case::shared("queue_roles");
    case.read_by("queue");
    case.table("item", "id int PRIMARY KEY, n int");
    case.command(&["setup"]).expect_success();
    case.execute(
        "DROP ROLE IF EXISTS queue_taker, queue_writer; CREATE ROLE queue_taker LOGIN; CREATE ROLE queue_writer LOGIN; \
         GRANT SELECT ON item TO queue_taker; GRANT USAGE ON SCHEMA wal2es TO queue_taker; \
         GRANT SELECT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wal2es TO queue_taker; \
         GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON item TO queue_writer",
    );
    case.config["source"]["url"] = case.database.url_of("queue_taker").into();
    let mut connector = case.start(&["run"]);
    taking(&mut connector);
    let port = case.database.port;
    let mut writer = crate::support::postgres::connect(port, &case.database.name, "queue_writer");
    // Nothing of its own is found by the functions.
    writer.batch_execute("CREATE TEMP TABLE queue (n int); CREATE TEMP TABLE consumer (asleep boolean)").unwrap();
    for sql in ["INSERT INTO item VALUES (1, 1), (2, 2)", "UPDATE item SET n = 3 WHERE id = 1", "DELETE FROM item WHERE id = 2"] {
        writer.batch_execute(sql).unwrap();
        check(&mut case, &["item"]);
    }
    writer.batch_execute("SELECT FROM wal2es.queue").unwrap_err();
    writer.batch_execute("TRUNCATE item").unwrap();
    check(&mut case, &["item"]);
    connector.stop();
    case.execute("DROP OWNED BY queue_taker, queue_writer; DROP ROLE queue_taker, queue_writer");
}

fn under_load_and_killed() {
    let mut seed = Seed::new();
    let mut case = Case::shared("queue_load");
    case.read_by("queue");
    Workload::prepare(&mut case);
    case.execute("INSERT INTO kv SELECT n, n, 'before' FROM generate_series(1, 200) n");
    let mut connector = case.run();
    let mut rng = seed.fork();
    let workload = Workload::start(&case, seed.fork(), std::time::Duration::from_millis(1));
    for _ in 0..12 {
        let more = workload.done() + rng.u64(5..60);
        wait_for("the load", PATIENCE, || (workload.done() > more).then_some(()));
        connector.kill();
        connector = case.start(&["run"]);
    }
    taking(&mut connector);
    workload.stop();
    check(&mut case, &["kv", "log"]);
    connector.stop();
}

fn compared_and_repaired() {
    let mut seed = Seed::new();
    let mut case = Case::shared("queue_verify");
    case.read_by("queue");
    Workload::prepare(&mut case);
    case.table("still", "a int, b text, n int, PRIMARY KEY (a, b)");
    case.execute("INSERT INTO still SELECT n, 'x\"' || n, n FROM generate_series(1, 2000) n");
    let mut connector = case.run();
    let workload = Workload::start(&case, seed.fork(), std::time::Duration::from_millis(2));
    case.command(&["verify"]).expect_success();
    let index = format!("{}-g1", case.alias("still"));
    let path = |a: u32, version: u64| {
        let id = format!("%5B%22{a}%22%2C%22x%5C%22{a}%22%5D");
        format!("{index}/_doc/{id}?version={version}&version_type=external_gte")
    };
    case.search.json("DELETE", &path(5, 1), None);
    case.search.json("PUT", &path(6, 1), Some(&json!({"a": 6, "b": "x\"6", "n": 7})));
    case.search.json("PUT", &path(9000, 2), Some(&json!({"a": 9000, "b": "x\"9000", "n": 1})));
    case.search.json("PUT", &path(8, 9_000_000_000), Some(&json!({"a": 8, "b": "x\"8", "n": 8})));
    case.search.json("POST", &format!("{index}/_refresh"), None);
    let ended = case.command(&["verify", "--json"]).expect(1, &["index and table differ"]);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    let told = &told["indexes"].as_array().unwrap().iter().find(|one| one["table"] == "public.still").unwrap()["differences"];
    let mut kinds: Vec<_> =
        told.as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["different", "extra", "foreign version", "missing"], "{told}");
    case.search.json("DELETE", &path(8, 9_000_000_000), None);
    case.command(&["verify", "--repair", &case.alias("still")]).expect(1, &["could not be repaired"]);
    workload.stop();
    check(&mut case, &["kv", "log"]);
    case.execute("DELETE FROM still WHERE a = 8");
    check(&mut case, &["still"]);
    case.command(&["verify"]).expect_success();
    connector.must_run();
    connector.stop();
}

fn one_takes_over_from_another() {
    let mut case = Case::shared("queue_two");
    case.read_by("queue");
    case.table("item", "id int PRIMARY KEY, n int");
    let first = case.run();
    let mut second = case.start(&["run"]);
    wait_for("its turn", PATIENCE, || second.log().contains("waiting to take over").then_some(()));
    case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 500) n");
    first.kill();
    case.execute("UPDATE item SET n = n + 1 WHERE id > 100; DELETE FROM item WHERE id < 50");
    taking(&mut second);
    check(&mut case, &["item"]);
    second.must_run();
    second.stop();
}

/// A reader that goes by ids would have passed it over.
fn what_commits_late() {
    let mut case = Case::shared("queue_late");
    case.read_by("queue");
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO item SELECT n, 0 FROM generate_series(1, 10) n");
    let connector = case.run();
    let mut late = case.database.session();
    late.batch_execute("BEGIN; UPDATE item SET n = 1 WHERE id = 1; INSERT INTO item VALUES (11, 1); DELETE FROM item WHERE id = 2").unwrap();
    let last = |case: &mut Case| -> i64 {
        let query = "SELECT last_value FROM wal2es.queue_id_seq";
        case.sql.query_one(query, &[]).unwrap().get(0)
    };
    let drawn = last(&mut case);
    case.execute("UPDATE item SET n = 2 WHERE id > 2");
    check(&mut case, &["item"]);
    assert!(last(&mut case) > drawn, "later ids have been taken before");
    late.batch_execute("COMMIT").unwrap();
    check(&mut case, &["item"]);
    connector.stop();
}

/// With `synchronous_commit = off` rows can be read that a crash takes away again.
fn what_a_crash_takes_back() {
    let pair = shared::pair();
    let options = ["--set", "wal_level=replica", "--set", "wal_writer_delay=10s", "--set", "max_wal_senders=0"];
    let mut postgres = Server::start(&shared::postgres_kind(), &options);
    let mut case = Case::on("queue_crash", &postgres, &pair.search);
    case.read_by("queue");
    case.table("item", "id int PRIMARY KEY, n int");
    let mut connector = case.run();
    for round in 1..=3 {
        let mut open = case.database.session();
        open.batch_execute("SET synchronous_commit = off").unwrap();
        for n in 0..20 {
            open.batch_execute(&format!("INSERT INTO item VALUES ({n}, {round}) ON CONFLICT (id) DO UPDATE SET n = {round}")).unwrap();
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
        // Whoever waits has to be heard by a consumer that is connected again.
        check(&mut case, &["item"]);
    }
    connector.stop();
}

fn what_is_not_captured_is_told() {
    let mut case = Case::shared("queue_told");
    case.read_by("queue");
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("CREATE TABLE part (id int PRIMARY KEY, n int) PARTITION BY RANGE (id); CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100)");
    case.follow("part");
    let mut connector = case.run();
    case.execute("INSERT INTO part VALUES (1, 1); INSERT INTO part_1 VALUES (2, 2); UPDATE part_1 SET n = 3 WHERE id = 1; DELETE FROM part WHERE id = 2");
    check(&mut case, &["item", "part"]);
    case.execute("CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200)");
    wait_for("the sweep", PATIENCE, || {
        connector.must_run();
        connector.log().contains("public.part_2").then_some(())
    });
    connector.stop();
    case.command(&["run"]).expect(2, &["public.part_2", "wal2es setup"]);
    case.command(&["setup"]).expect_success();
    let connector = case.start(&["run"]);
    case.execute("INSERT INTO part_2 VALUES (150, 1)");
    check(&mut case, &["item", "part"]);
    connector.stop();
    case.execute("ALTER TABLE item DISABLE TRIGGER wal2es_update");
    case.command(&["run"]).expect(2, &["public.item", "wal2es setup"]);
    case.command(&["setup"]).expect_success();
    // Filled from the log, an index has versions that are far above those of entries.
    case.config["source"]["capture"] = "slot".into();
    case.command(&["setup"]).expect_success();
    case.command(&["run"]).expect(3, &["source.capture", "wal2es resync"]);
    // Another queue begins to count anew.
    case.config["source"]["capture"] = "queue".into();
    case.execute("DROP SCHEMA wal2es CASCADE");
    case.command(&["setup"]).expect_success();
    case.command(&["run"]).expect(3, &["another trigger queue", "wal2es resync"]);
    case.execute("COMMENT ON TABLE wal2es.queue IS 'wal2es queue, version 7'");
    case.command(&["run"]).expect(2, &["version 7"]);
}

fn a_partition_truncated_alone() {
    let mut case = Case::shared("queue_part");
    case.read_by("queue");
    case.execute(
        "CREATE TABLE part (id int PRIMARY KEY, n int) PARTITION BY RANGE (id); CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100); \
         CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200); INSERT INTO part SELECT n, n FROM generate_series(0, 199) n",
    );
    case.follow("part");
    let connector = case.run();
    case.execute("TRUNCATE part_2");
    connector.end(PATIENCE).expect(3, &["a partition was truncated alone", "wal2es resync"]);
    case.command(&["run"]).expect(3, &["a partition was truncated alone"]);
    case.command(&["resync"]).expect_success();
    case.compare_one("part");
    let connector = case.start(&["run"]);
    case.execute("TRUNCATE part; INSERT INTO part VALUES (7, 7)");
    check(&mut case, &["part"]);
    connector.stop();
}

fn a_table_changed_meanwhile() {
    let mut case = Case::shared("queue_alter");
    case.read_by("queue");
    case.table("item", "id int PRIMARY KEY, price numeric, extra int");
    case.execute(
        "INSERT INTO item VALUES (1, 1.5), (2, 2.7); \
         CREATE TABLE part (a text COLLATE \"C\", b text COLLATE \"POSIX\", PRIMARY KEY (a, b)) PARTITION BY LIST (a); \
         CREATE TABLE part_1 PARTITION OF part FOR VALUES IN ('x'); CREATE TABLE part_2 PARTITION OF part FOR VALUES IN ('y'); \
         INSERT INTO part VALUES ('x', '1'), ('y', '2')",
    );
    case.follow("part");
    let connector = case.run();
    case.execute("UPDATE part SET b = '3' WHERE a = 'x'; TRUNCATE part_1, part; INSERT INTO part VALUES ('x', '1'), ('y', '2')");
    check(&mut case, &["item", "part"]);
    case.execute("ALTER TABLE item ALTER price TYPE int USING round(price)");
    connector.end(PATIENCE).expect(3, &["public.item", "wal2es resync"]);
    case.command(&["resync"]).expect_success();
    ["item", "part"].iter().for_each(|table| case.compare_one(table));
    let connector = case.start(&["run"]);
    case.execute("ALTER TABLE part DETACH PARTITION part_2");
    connector.end(PATIENCE).expect(2, &["public.part_2", "wal2es setup"]);
    case.command(&["setup"]).expect_success();
    case.command(&["run"]).expect(3, &["a partition went", "wal2es resync"]);
    case.command(&["resync"]).expect_success();
    // It is nobody's business any more.
    case.execute("TRUNCATE part_2; INSERT INTO part VALUES ('x', '9')");
    let connector = case.start(&["run"]);
    check(&mut case, &["item", "part"]);
    connector.stop();
    // Another id: entries of the one before are left.
    case.execute("INSERT INTO item VALUES (3, 3, 3); UPDATE item SET extra = id; ALTER TABLE item ALTER extra SET NOT NULL; \
                  CREATE UNIQUE INDEX ON item (extra, id); ALTER TABLE item REPLICA IDENTITY FULL");
    case.config["indexes"][0]["id"] = json!(["extra", "id"]);
    case.command(&["setup"]).expect_success();
    case.command(&["resync"]).expect_success();
    let connector = case.start(&["run"]);
    case.execute("DELETE FROM item WHERE id = 1");
    case.settle();
    assert_eq!(case.search.count(&case.alias("item")), Some(2));
    connector.stop();
}

/// The consumer sleeps, or has found nothing so often that it would, if it were to.
fn idle(case: &mut Case) {
    // A consumer falls asleep after 40 looks.
    let mut enough = None;
    wait_for("an idle consumer", PATIENCE, || {
        let query = "SELECT asleep, seq_scan + COALESCE(idx_scan, 0) FROM wal2es.consumer, \
                     pg_stat_user_tables WHERE relid = 'wal2es.queue'::regclass";
        let row = case.sql.query_one(query, &[]).unwrap();
        let (asleep, looks): (bool, i64) = (row.get(0), row.get(1));
        (asleep || looks > *enough.get_or_insert(looks + 100)).then_some(())
    });
}

fn two_connectors_and_prepared_transactions() {
    let pair = shared::pair();
    let options = ["--set", "max_prepared_transactions=5"];
    let postgres = Server::start(&shared::postgres_kind(), &options);
    let mut case = Case::on("queue_prepared", &postgres, &pair.search);
    case.read_by("queue");
    case.table("item", "id int PRIMARY KEY, n int");
    let connector = case.run();
    idle(&mut case);
    case.execute("BEGIN; INSERT INTO item VALUES (1, 1); PREPARE TRANSACTION 'one'");
    case.execute("INSERT INTO item VALUES (2, 2)");
    case.execute("COMMIT PREPARED 'one'");
    check(&mut case, &["item"]);
    // Each would take what the other needs.
    case.config["source"]["slot"] = "another".into();
    case.command(&["run"]).expect(2, &["queue_prepared", "queue.schema"]);
    connector.stop();
}

/// What a process before may have sent is over: a write is not suspect, which would be saved with the state.
fn until_nothing_is_suspect(case: &mut Case) {
    wait_for("the end of suspicion", PATIENCE, || {
        case.execute("INSERT INTO item VALUES (0, 0) ON CONFLICT (id) DO UPDATE SET n = item.n + 1");
        case.settle();
        let suspects = case.state()?["suspects"].take();
        suspects.as_array().is_none_or(Vec::is_empty).then_some(())
    });
}

/// The state has to name the new index before nobody knows of the truncation any more.
fn killed_after_a_truncation() {
    let mut case = Case::shared("queue_truncate");
    case.read_by("queue");
    case.config["pipeline"] = json!({"zombie_limit": "1s"});
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 100) n");
    let mut connector = case.run();
    for round in 1..=6 {
        until_nothing_is_suspect(&mut case);
        case.execute(&format!("BEGIN; TRUNCATE item; INSERT INTO item SELECT n, {round} FROM generate_series(1, 10) n; COMMIT"));
        wait_for("the queue to be empty", PATIENCE, || (case.entries() == 0).then_some(()));
        connector.kill();
        connector = case.start(&["run"]);
        check(&mut case, &["item"]);
    }
    connector.stop();
}
