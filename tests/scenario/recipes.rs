//! Sequences of events that have broken other tools, made step by step; each looks into a second slot whether it really
//! came about.

use std::io::Write as _;
use std::thread::JoinHandle;

use nix::sys::signal::Signal;

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;
use crate::support::log;
use crate::support::oracle;
use crate::support::postgres::{Database, lsn};
use crate::support::{shared, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "x1_insert_logged_before_the_delete_it_waits_for",
        x1_insert_logged_before_the_delete_it_waits_for,
    ),
    Scenario::new("x2_first_commit_at_the_copys_own_position", x2_first_commit_at_the_copys_own_position),
    Scenario::new("x4_a_commit_that_waits_for_a_standby", x4_a_commit_that_waits_for_a_standby),
    Scenario::new("x4_a_copy_meanwhile", x4_a_copy_meanwhile),
    Scenario::new("x5_a_position_that_the_slot_has_left", x5_a_position_that_the_slot_has_left),
    Scenario::new("x6_a_slot_that_goes_back_in_a_crash", x6_a_slot_that_goes_back_in_a_crash),
    Scenario::new("x8_many_rows_at_one_position", x8_many_rows_at_one_position),
    Scenario::new("x9_keys_that_change_only_their_text", x9_keys_that_change_only_their_text),
    Scenario::new("x9_a_changed_key_and_an_unsent_value", x9_a_changed_key_and_an_unsent_value),
];

/// The DELETE makes room for the INSERT that waits for it: logged after it, committed before it.
fn x1_insert_logged_before_the_delete_it_waits_for() {
    let mut case = Case::shared("x1");
    // The index of `u` is the first one that an INSERT meets.
    case.execute("CREATE TABLE t (id int NOT NULL, u int UNIQUE)");
    case.execute("ALTER TABLE t ADD PRIMARY KEY (id); INSERT INTO t VALUES (1, 1)");
    case.follow("t");
    let mut connector = case.run();
    peek_by(&mut case, "test_decoding");
    x1_once(&mut case);
    let changes = peeked(&mut case);
    let at = |what: &str| {
        let found = changes.iter().position(|(_, text)| text.contains(what));
        found.unwrap_or_else(|| panic!("{what} is not in {changes:?}"))
    };
    let (delete, insert) = (at("DELETE: id[integer]:1"), at("INSERT: id[integer]:1 u[integer]:5"));
    assert!(delete < insert, "the order of commits: {changes:?}");
    assert!(changes[delete].0 > changes[insert].0, "the order of the log: {changes:?}");
    case.check();
    assert_eq!(case.search.count(&case.alias("t")), Some(1));
    // The same as a replay, in one batch.
    connector.must_run();
    connector.kill();
    case.execute("UPDATE t SET u = 1");
    x1_once(&mut case);
    case.catch_up();
    case.compare();
    drop_peek(&mut case);
}

fn x1_once(case: &mut Case) {
    let mut third = case.database.session();
    third.batch_execute("BEGIN; INSERT INTO t VALUES (99, 5)").unwrap();
    let (second, pid) = in_background(&case.database, "INSERT INTO t VALUES (1, 5)");
    wait_until_blocked(case, pid);
    case.execute("DELETE FROM t WHERE id = 1");
    third.batch_execute("ROLLBACK").unwrap();
    second.join().unwrap();
}

fn in_background(database: &Database, sql: &'static str) -> (JoinHandle<()>, i32) {
    let mut session = database.session();
    let pid = session.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    (std::thread::spawn(move || session.batch_execute(sql).unwrap()), pid)
}

fn wait_until_blocked(case: &mut Case, pid: i32) {
    let query = "SELECT cardinality(pg_blocking_pids($1)) > 0";
    wait_for("a session to wait for another", PATIENCE, || {
        case.sql.query_one(query, &[&pid]).unwrap().get::<_, bool>(0).then_some(())
    });
}

/// The first transaction of the stream commits at the very position of the snapshot, and is not in it. What else the
/// server logs may come between the two, so it takes a few attempts.
fn x2_first_commit_at_the_copys_own_position() {
    let pair = shared::fragile();
    for attempt in 0..10 {
        let mut case = Case::on(&format!("x2_{attempt}"), &pair.postgres, &pair.search);
        if x2_once(&mut case) {
            return;
        }
    }
    panic!("no commit fell on the position of the snapshot");
}

fn x2_once(case: &mut Case) -> bool {
    case.table("t", "id int PRIMARY KEY, v text");
    case.execute("INSERT INTO t VALUES (1, 'old'), (2, 'left alone')");
    case.command(&["setup"]).expect_success();
    case.execute("CREATE PUBLICATION peek FOR TABLE t");
    peek_by(case, "pgoutput");

    let [mut a, mut b, mut c] = [(); 3].map(|()| case.database.session());
    a.batch_execute("BEGIN; SELECT pg_current_xact_id()").unwrap();
    let connector = case.start(&["run"]);
    wait_for_slot(case, "NOT EXISTS (SELECT FROM pg_locks WHERE pid = active_pid AND NOT granted)", false);
    connector.signal(Signal::SIGSTOP);
    b.batch_execute("BEGIN; SELECT pg_current_xact_id()").unwrap();
    let of_b: i32 = b.query_one("SELECT pg_backend_pid()", &[]).unwrap().get(0);
    a.batch_execute("COMMIT").unwrap();
    // The server has gone on to wait for B.
    let waits = format!(
        "EXISTS (SELECT FROM pg_locks WHERE pid = active_pid AND NOT granted) AND {of_b} = ANY (pg_blocking_pids(active_pid))"
    );
    wait_for_slot(case, &waits, true);
    c.batch_execute("BEGIN; UPDATE t SET v = 'new' WHERE id = 1").unwrap();
    b.batch_execute("COMMIT").unwrap();
    wait_for_slot(case, "confirmed_flush_lsn IS NOT NULL", true);
    c.batch_execute("COMMIT").unwrap();
    connector.signal(Signal::SIGCONT);

    wait_for("the first load", PATIENCE, || case.state().filter(|state| state["step"] == "streaming"));
    case.check();
    let documents = oracle::documents(&case.search, &case.alias("t"));
    let point = (documents["2"].version >> 12) << 3;
    assert_eq!(documents["2"].version & 0xfff, 0, "a copied row");
    assert!(documents["1"].version > documents["2"].version, "a change is newer than any copy");
    let commits = peeked_commits(case);
    assert_eq!(commits.len(), 1);
    drop_peek(case);
    connector.stop();
    commits == [point]
}

/// Waits until the temporary slot of the copy is as `condition` says.
fn wait_for_slot(case: &mut Case, condition: &str, wanted: bool) {
    let query = format!(
        "SELECT COALESCE(bool_or({condition}), {}) FROM pg_replication_slots WHERE temporary AND database = $1",
        !wanted
    );
    wait_for("the slot of the copy", PATIENCE, || {
        let is: bool = case.sql.query_one(&query, &[&case.database.name]).unwrap().get(0);
        (is == wanted).then_some(())
    });
}

/// Commits wait for a standby that never comes.
fn wait_for_a_ghost(case: &mut Case, wait: bool) {
    let value = if wait { "ghost" } else { "" };
    case.execute(&format!("ALTER SYSTEM SET synchronous_standby_names = '{value}'"));
    case.execute("SELECT pg_reload_conf()");
    let query = "SELECT setting = $1 FROM pg_settings WHERE name = 'synchronous_standby_names'";
    wait_for("the setting", PATIENCE, || {
        case.database.session().query_one(query, &[&value]).unwrap().get::<_, bool>(0).then_some(())
    });
}

fn wait_until_it_waits(case: &mut Case, pid: i32) {
    let query = "SELECT wait_event = 'SyncRep' FROM pg_stat_activity WHERE pid = $1";
    wait_for("a commit to wait for the standby", PATIENCE, || {
        case.sql.query_one(query, &[&pid]).unwrap().get::<_, Option<bool>>(0).filter(|waits| *waits)
    });
}

/// It is in the log and can't be taken back, but no other session sees it. Searches do, and nothing is lost or shown twice.
fn x4_a_commit_that_waits_for_a_standby() {
    let pair = shared::fragile();
    let mut case = Case::on("x4", &pair.postgres, &pair.search);
    case.table("t", "id int PRIMARY KEY, v text");
    case.execute("INSERT INTO t VALUES (1, 'old'), (2, 'left alone')");
    let connector = case.run();
    wait_for_a_ghost(&mut case, true);
    let (update, pid) = in_background(&case.database, "UPDATE t SET v = 'new' WHERE id = 1");
    wait_until_it_waits(&mut case, pid);
    let alias = case.alias("t");
    wait_for("searches to show it", PATIENCE, || {
        case.search.field(&alias, "1", "v").filter(|value| *value == "new")
    });
    let seen: String = case.sql.query_one("SELECT v FROM t WHERE id = 1", &[]).unwrap().get(0);
    assert_eq!(seen, "old", "no session sees it yet");
    // A restart in between.
    connector.kill();
    let mut connector = case.start(&["run"]);
    case.settle();
    assert_eq!(case.search.field(&alias, "1", "v"), Some("new".into()));
    wait_for_a_ghost(&mut case, false);
    update.join().unwrap();
    case.check();
    connector.must_run();
}

/// The snapshot of a copy waits for it, so that it is in the snapshot or in the stream behind it, whichever.
fn x4_a_copy_meanwhile() {
    let pair = shared::fragile();
    let mut case = Case::on("x4copy", &pair.postgres, &pair.search);
    case.table("t", "id int PRIMARY KEY, v text");
    case.execute("INSERT INTO t VALUES (1, 'old'), (2, 'deleted')");
    case.command(&["setup"]).expect_success();
    wait_for_a_ghost(&mut case, true);
    let (update, pid) = in_background(&case.database, "UPDATE t SET v = 'new' WHERE id = 1");
    wait_until_it_waits(&mut case, pid);
    let mut connector = case.start(&["run"]);
    wait_for_slot(&mut case, "EXISTS (SELECT FROM pg_locks WHERE pid = active_pid AND NOT granted)", true);
    let (delete, pid) = in_background(&case.database, "DELETE FROM t WHERE id = 2");
    wait_until_it_waits(&mut case, pid);
    assert_eq!(case.search.count(&case.alias("t")), None, "readers see no half of it");
    connector.must_run();
    wait_for_a_ghost(&mut case, false);
    update.join().unwrap();
    delete.join().unwrap();
    wait_for("the first load", PATIENCE, || case.state().filter(|state| state["step"] == "streaming"));
    case.check();
    assert_eq!(case.search.count(&case.alias("t")), Some(1));
}

/// Asked for a position before the slot's, the server starts at the slot's and says nothing.
fn x5_a_position_that_the_slot_has_left() {
    let mut case = Case::shared("x5");
    case.read_by("pgoutput");
    case.table("t", "id int PRIMARY KEY, v text");
    case.execute("INSERT INTO t VALUES (1, 'copied')");
    case.run().stop();
    let before = case.confirmed();
    case.execute("INSERT INTO t VALUES (2, 'passed over')");
    let advance = "SELECT end_lsn::text FROM pg_replication_slot_advance($1, pg_current_wal_lsn())";
    let end = wait_for("the slot to be free", PATIENCE, || case.sql.query_one(advance, &[&case.name]).ok());
    let end = end.get::<_, &str>(0).parse().unwrap();
    case.execute("SELECT pg_logical_emit_message(true, 'wal2es-test', 'x')");
    assert!(case.confirmed() > before);
    let options = [("proto_version", "1"), ("publication_names", "x5")];
    let told = log::read(&case.database, "x5", &options, end);
    assert!(told.iter().all(|(_, message)| message.first() != Some(&b'I')), "it is told after all: {told:?}");
    let ended = wait_for("the refusal", PATIENCE, || {
        let ended = case.command(&["run", "--until-caught-up"]);
        (ended.code != Some(1)).then_some(ended)
    });
    ended.expect(3, &["slot x5", "ahead of the index", "wal2es resync"]);
    assert_eq!(case.search.count(&case.alias("t")), Some(1));
}

/// How far a slot was confirmed is written at checkpoints. What was applied comes again, and is the same.
fn x6_a_slot_that_goes_back_in_a_crash() {
    let mut pair = shared::fragile();
    let mut case = Case::on("x6", &pair.postgres, &pair.search);
    case.table("t", "id int PRIMARY KEY, v text");
    case.execute("INSERT INTO t SELECT n, 'copied' FROM generate_series(1, 10) n");
    // A checkpoint of the server's own may come in between: then the slot stays where it is.
    let mut went_back = false;
    for running in [true, false, false, false] {
        if went_back {
            break;
        }
        let connector = case.run();
        case.execute("CHECKPOINT");
        // The slot is written to disk once more when the position behind a checkpoint is confirmed.
        let checkpoint = case.written();
        case.execute("UPDATE t SET v = 'after the checkpoint' WHERE id = 1");
        wait_for("the confirmation", PATIENCE, || (case.confirmed() > checkpoint).then_some(()));
        for n in 1..=5 {
            case.execute(&format!("UPDATE t SET v = '{n}' WHERE id = {n}; DELETE FROM t WHERE id = 5 + {n}"));
            case.execute("INSERT INTO t SELECT 5 + n, 'again' FROM generate_series(1, 5) n ON CONFLICT DO NOTHING");
        }
        case.check();
        let connector = match running {
            true => Some(connector),
            false => {
                connector.stop();
                None
            }
        };
        let before = case.confirmed();
        pair.postgres.stop("immediate");
        pair.postgres.start_again(&shared::FRAGILE_POSTGRES);
        case.reconnect();
        match connector {
            Some(connector) => {
                case.execute("UPDATE t SET v = v || '.'");
                case.check();
                connector.stop();
            }
            None => {
                went_back = case.confirmed() < before;
                case.execute("UPDATE t SET v = v || '.'");
                case.catch_up();
                case.compare();
            }
        }
    }
    assert!(went_back, "the slot has not gone back");
}

/// COPY logs many rows in one record, so the position of a change tells nothing about which one it is.
fn x8_many_rows_at_one_position() {
    let mut case = Case::shared("x8");
    case.table("t", "id int PRIMARY KEY, n int");
    let mut connector = case.run();
    peek_by(&mut case, "test_decoding");
    copy_in(&mut case, "1\t1\n2\t1\n3\t1\n4\t1\n");
    let inserts: Vec<u64> =
        peeked(&mut case).into_iter().filter(|(_, text)| text.contains("INSERT")).map(|(at, _)| at).collect();
    assert!(inserts.len() == 4 && inserts.iter().all(|at| *at == inserts[0]), "{inserts:X?}");
    case.check();
    // One key at several positions of one transaction, others at one.
    case.execute("BEGIN");
    copy_in(&mut case, "5\t1\n6\t1\n7\t1\n8\t1\n");
    case.execute("DELETE FROM t WHERE id IN (5, 6); UPDATE t SET id = 5 WHERE id = 7");
    copy_in(&mut case, "7\t2\n6\t2\n");
    case.execute("UPDATE t SET n = 3 WHERE id IN (1, 6); DELETE FROM t WHERE id = 8; COMMIT");
    case.check();
    // And from an interrupted session on.
    connector.must_run();
    connector.kill();
    copy_in(&mut case, "11\t1\n12\t1\n13\t1\n");
    case.execute("DELETE FROM t WHERE id = 12");
    case.catch_up();
    case.compare();
    drop_peek(&mut case);
}

fn copy_in(case: &mut Case, lines: &str) {
    let mut copy = case.sql.copy_in("COPY t FROM STDIN").unwrap();
    copy.write_all(lines.as_bytes()).unwrap();
    copy.finish().unwrap();
}

/// Equal to Postgres, so the constraint lets them pass as the same key; another text, and so another document.
fn x9_keys_that_change_only_their_text() {
    let mut case = Case::shared("x9");
    case.execute("CREATE EXTENSION citext");
    case.table("t", "id numeric PRIMARY KEY, note text, at date");
    case.table("word", "id citext PRIMARY KEY, n int");
    case.table("spot", "id float8 PRIMARY KEY, n int");
    case.table("code", "id char(5) PRIMARY KEY, n int");
    case.execute("INSERT INTO t VALUES (1.0, 'a'), (2, 'b'); INSERT INTO word VALUES ('a', 1), ('B', 1)");
    case.execute("INSERT INTO spot VALUES ('-0', 1), (1, 1); INSERT INTO code VALUES ('a', 1), ('b ', 1)");
    let _connector = case.run();
    case.compare();
    case.execute("CREATE PUBLICATION peek FOR TABLE t");
    peek_by(&mut case, "pgoutput");
    case.execute("UPDATE t SET id = 1.00 WHERE id = 1");
    case.execute("DELETE FROM t WHERE id = 1");
    let messages = peeked_messages(&mut case);
    let has = |bytes: &[u8]| messages.iter().any(|message| message.windows(bytes.len()).any(|part| part == bytes));
    // What is no part of the key is sent as n, which here does not mean NULL.
    assert!(has(b"K\0\x03t\0\0\0\x031.0nnN"), "{messages:?}");
    assert!(messages.iter().any(|m| m.first() == Some(&b'D') && m.ends_with(b"K\0\x03t\0\0\0\x041.00nn")), "{messages:?}");
    case.check();
    assert_eq!(case.search.count(&case.alias("t")), Some(1));

    case.execute("UPDATE word SET id = upper(id::text)::citext; UPDATE spot SET id = 0 WHERE id = 0");
    case.execute("UPDATE code SET id = id || ' '; UPDATE t SET id = 2.000, note = 'c'");
    case.check();
    let ids = |case: &Case, table: &str| {
        let mut ids: Vec<String> = oracle::documents(&case.search, &case.alias(table)).into_keys().collect();
        ids.sort();
        ids
    };
    assert_eq!(ids(&case, "t"), ["2.000"]);
    assert_eq!(ids(&case, "word"), ["A", "B"]);
    assert_eq!(ids(&case, "spot"), ["0", "1"]);
    assert_eq!(ids(&case, "code"), ["a    ", "b    "]);
    case.execute("UPDATE spot SET id = '-0' WHERE id = 0; UPDATE spot SET id = 2 WHERE id = 1");
    case.execute("DELETE FROM word WHERE id = 'a'; INSERT INTO word VALUES ('a', 2); DELETE FROM code WHERE id = 'a'");
    case.check();
    case.execute("DELETE FROM spot; DELETE FROM word; DELETE FROM code; DELETE FROM t");
    case.check();
    drop_peek(&mut case);
}

/// The new row comes without its large value, and the document that has it is under the old key.
fn x9_a_changed_key_and_an_unsent_value() {
    for (name, full) in [("x9key", false), ("x9full", true)] {
        let mut case = Case::shared(name);
        case.table("t", "id numeric PRIMARY KEY, body text");
        case.execute("ALTER TABLE t ALTER body SET STORAGE EXTERNAL");
        if full {
            case.execute("ALTER TABLE t REPLICA IDENTITY FULL");
        }
        case.execute("INSERT INTO t VALUES (1.0, repeat('x', 9000)), (2, 'small')");
        let _connector = case.run();
        case.execute("CREATE PUBLICATION peek FOR TABLE t");
        peek_by(&mut case, "pgoutput");
        case.execute("UPDATE t SET id = 1.00 WHERE id = 1");
        let messages = peeked_messages(&mut case);
        let updates = || messages.iter().filter(|message| message.first() == Some(&b'U'));
        assert_eq!(updates().count(), 1);
        if full {
            assert!(updates().all(|update| update[5] == b'O'), "{messages:?}");
        } else {
            assert!(updates().all(|update| update[5] == b'K' && update.ends_with(b"1.00u")), "{messages:?}");
        }
        case.check();
        assert_eq!(case.search.field(&case.alias("t"), "1.0", "body"), None);
        drop_peek(&mut case);
    }
}

/// The second slot is behind the same changes, and nobody else reads it.
fn peek_by(case: &mut Case, plugin: &str) {
    let slot = format!("{}_peek", case.name);
    let query = "SELECT FROM pg_create_logical_replication_slot($1, $2)";
    case.sql.query(query, &[&slot, &plugin]).unwrap();
}

fn drop_peek(case: &mut Case) {
    let slot = format!("{}_peek", case.name);
    case.sql.query("SELECT FROM pg_drop_replication_slot($1)", &[&slot]).unwrap();
}

/// Position and text of each change, by test_decoding.
fn peeked(case: &mut Case) -> Vec<(u64, String)> {
    let slot = format!("{}_peek", case.name);
    let query = "SELECT lsn::text, data FROM pg_logical_slot_peek_changes($1, NULL, NULL)";
    let rows = case.sql.query(query, &[&slot]).unwrap();
    rows.iter().map(|row| (lsn(row.get(0)), row.get(1))).collect()
}

/// The messages, by pgoutput.
fn peeked_messages(case: &mut Case) -> Vec<Vec<u8>> {
    let slot = format!("{}_peek", case.name);
    let query = "SELECT data FROM pg_logical_slot_peek_binary_changes($1, NULL, NULL, \
                 'proto_version', '1', 'publication_names', 'peek')";
    case.sql.query(query, &[&slot]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// Where the commit records are: Begin tells it.
fn peeked_commits(case: &mut Case) -> Vec<u64> {
    let messages = peeked_messages(case);
    let begins = messages.iter().filter(|message| message.first() == Some(&b'B'));
    begins.map(|begin| u64::from_be_bytes(begin[1..9].try_into().unwrap())).collect()
}
