//! Generations in each other's way: what is being built, was built, or is shown is never taken for a leftover, and there is
//! a way out of every state.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_copy_that_is_under_way", a_copy_that_is_under_way),
    Scenario::new("what_became_part_of_the_state", what_became_part_of_the_state),
    Scenario::new("a_number_that_was_used", a_number_that_was_used),
    Scenario::new("a_table_that_was_given_up", a_table_that_was_given_up),
    Scenario::new("readers_that_were_moved_on_before", readers_that_were_moved_on_before),
    Scenario::new("a_table_made_anew_before_it_was_reached", a_table_made_anew_before_it_was_reached),
    Scenario::new("what_was_kept_of_a_table_that_has_gone", what_was_kept_of_a_table_that_has_gone),
    Scenario::new("a_slot_that_is_lost_during_each_copy", a_slot_that_is_lost_during_each_copy),
    Scenario::new("a_table_altered_just_before_the_hand_over", a_table_altered_just_before_the_hand_over),
];

/// Caught up, and stopped.
fn stopped(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 100) n");
    case.catch_up();
    wait_for("the slot to be free", PATIENCE, || {
        let query = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
        (!case.sql.query_one(query, &[&case.name]).unwrap().get::<_, bool>(0)).then_some(())
    });
    case
}

/// Writes the state document of the slot that is called like the connector's with `suffix` behind it.
fn put_state(case: &Case, suffix: &str, state: &Value) {
    let id = format!("{}.{}.{}{suffix}", state["system_id"].as_str().unwrap(), case.database.name, case.name);
    case.search.expect("PUT", &format!("wal2es-state/_doc/{id}"), Some(state));
}

fn a_copy_that_is_under_way() {
    let mut case = stopped("gen_copy");
    let alias = case.alias("item");
    let mut state = case.state().unwrap();
    state["step"] = json!("copying");
    put_state(&case, "", &state);
    // Its lock: the key is the beginning of a digest.
    let mut other = case.database.session();
    let lock = "SELECT pg_advisory_lock(('x' || encode(substr(sha256('wal2es copy gen_copy'), 1, 8), 'hex'))::bit(64)::bigint)";
    other.batch_execute(lock).unwrap();
    case.command(&["run", "--until-caught-up"]).expect(1, &["another copy", "gen_copy"]);
    assert_eq!(case.search.count(&alias), Some(100), "its index is as it was");
    case.command(&["teardown", "--indices"]).expect(1, &["copy is under way", "stop"]);
    assert_eq!(case.search.count(&alias), Some(100), "its index is as it was");
    drop(other);
    case.catch_up();
    assert_eq!(case.search.generations(&alias), [format!("{alias}-g2")]);
    case.compare();
}

/// A build was killed when its indices were part of the connector's state already, and its own document was still there.
fn what_became_part_of_the_state() {
    let mut case = stopped("gen_part");
    let state = case.state().unwrap();
    put_state(&case, "_next", &state);
    case.catch_up();
    case.compare();
    put_state(&case, "_next", &state);
    case.command(&["teardown"]).expect_success();
    assert_eq!(case.search.count(&case.alias("item")), Some(100), "the index was to be kept");
}

/// A build was killed, and a request of it may still be executed.
fn a_number_that_was_used() {
    let mut case = stopped("gen_number");
    let alias = case.alias("item");
    let mut left = case.state().unwrap();
    left["generation"] = json!(7);
    left["indexes"][0]["index"] = json!(format!("{alias}-g7"));
    left["indexes"][0]["shown"] = Value::Null;
    put_state(&case, "_next", &left);
    case.command(&["resync"]).expect_success();
    assert_eq!(case.search.behind(&alias), Some(format!("{alias}-g8")));
    case.compare();
}

fn a_table_that_was_given_up() {
    let mut case = stopped("gen_given_up");
    case.config["source"]["catalog_interval"] = json!("500ms");
    case.table("other", "id int PRIMARY KEY");
    case.execute("ALTER PUBLICATION gen_given_up ADD TABLE other");
    let connector = case.run();
    wait_for("its index", PATIENCE, || case.search.behind(&case.alias("other")));
    case.execute("DROP TABLE other");
    connector.end(PATIENCE).expect(3, &["other", "wal2es resync"]);
    case.config["indexes"].as_array_mut().unwrap().pop();
    // With a new generation of the rest, or without.
    let before = case.state().unwrap();
    case.command(&["resync"]).expect_success();
    let mut state = case.state().unwrap();
    assert_eq!(state["detached"][0]["alias"], json!(case.alias("other")));
    for part in ["needs_resync", "needs_resync_of"] {
        state[part] = before[part].clone();
    }
    let other = state["detached"].as_array_mut().unwrap().remove(0);
    state["indexes"].as_array_mut().unwrap().push(other);
    put_state(&case, "", &state);
    case.execute("INSERT INTO item VALUES (1000, 1)");
    case.command(&["run", "--until-caught-up"]).expect_success();
    assert_eq!(case.search.count(&case.alias("item")), Some(101));
    assert_eq!(case.state().unwrap()["needs_resync"], Value::Null);
    case.search.expect("DELETE", &case.search.behind(&case.alias("other")).unwrap(), None);
}

/// A connector moved readers to the index of a truncated table, and its state was changed before it said so.
fn readers_that_were_moved_on_before() {
    let mut case = stopped("gen_moved");
    let alias = case.alias("item");
    case.execute("TRUNCATE item; INSERT INTO item VALUES (1, 1), (2, 2)");
    case.catch_up();
    let shown = format!("{alias}-g1.t1");
    assert_eq!(case.search.behind(&alias), Some(shown));
    let mut state = case.state().unwrap();
    state["indexes"][0]["shown"] = json!(format!("{alias}-g1"));
    state["indexes"][0]["retired"] = json!([]);
    put_state(&case, "", &state);
    case.execute("INSERT INTO item VALUES (3, 3)");
    case.command(&["resync"]).expect_success();
    assert_eq!(case.search.behind(&alias), Some(format!("{alias}-g2")));
    case.compare();
}

/// The rows of the table of before come again, although the new one was built long after them.
fn a_table_made_anew_before_it_was_reached() {
    let mut case = stopped("gen_anew");
    case.execute(
        "INSERT INTO item VALUES (1000, 1); DROP TABLE item; CREATE TABLE item (id int PRIMARY KEY, n int); \
         ALTER PUBLICATION gen_anew ADD TABLE item; INSERT INTO item VALUES (1, 7)",
    );
    let alias = case.alias("item");
    case.command(&["resync", &alias]).expect_success();
    case.compare();
    case.execute("UPDATE item SET n = 8");
    case.catch_up();
    case.compare();
}

/// Copies without end would help nobody.
fn a_slot_that_is_lost_during_each_copy() {
    let mut case = stopped("gen_lost");
    case.config["source"]["on_slot_loss"] = json!("resync");
    case.execute("SELECT pg_drop_replication_slot('gen_lost')");
    let mut other = case.database.session();
    let mut connector = case.start(&["run"]);
    // Somebody moves the slot on all the time.
    let ended = wait_for("the end", PATIENCE, || {
        let advance = "SELECT pg_logical_emit_message(true, '', ''); \
                       SELECT pg_replication_slot_advance(slot_name, pg_current_wal_insert_lsn()) \
                         FROM pg_replication_slots WHERE slot_name = 'gen_lost' AND NOT active";
        let _ = other.batch_execute(advance);
        connector.ended()
    });
    assert_eq!(ended.code(), Some(3), "{}", connector.log());
    let copies = connector.log().matches("building a new generation").count();
    assert_eq!(copies, 3, "{}", connector.log());
}

/// The connector meets the altered table when its state has an index of the altered one already.
fn a_table_altered_just_before_the_hand_over() {
    let mut case = stopped("gen_altered");
    let mut connector = case.run();
    wait_for("the stream", PATIENCE, || connector.log().contains("streaming from").then_some(()));
    connector.signal(Signal::SIGSTOP);
    case.execute("ALTER TABLE item ADD m int DEFAULT 5; INSERT INTO item VALUES (1000, 1, 1)");
    let resync = case.start(&["resync"]);
    wait_for("the hand-over", PATIENCE, || {
        (case.state().unwrap()["generation"] == json!(2)).then_some(())
    });
    connector.signal(Signal::SIGCONT);
    resync.end(PATIENCE).expect_success();
    connector.must_run();
    case.check();
    connector.stop();
}

fn what_was_kept_of_a_table_that_has_gone() {
    let mut case = stopped("gen_kept");
    let gone = format!("{}-gone", case.alias("item"));
    let name = |number: u32| format!("{gone}-g{number}");
    for number in 1..=4 {
        case.search.expect("PUT", &name(number), None);
    }
    let mut state = case.state().unwrap();
    let mut index = state["indexes"][0].clone();
    for (key, value) in [
        ("alias", json!(gone)),
        ("index", json!(name(4))),
        ("shown", json!(name(4))),
        ("retired", json!([name(1)])),
        ("kept", json!([{"index": name(2), "until": 1, "applied_lsn": "0/0"},
                        {"index": name(3), "until": u32::MAX, "applied_lsn": "0/0"}])),
    ] {
        index[key] = value;
    }
    state["detached"] = json!([index]);
    put_state(&case, "", &state);
    case.catch_up();
    assert_eq!(case.search.generations(&gone), [name(3), name(4)]);
    for number in [3, 4] {
        case.search.expect("DELETE", &name(number), None);
    }
}
