//! What is asked before the first write: slot and history of the source, shape and standing of the indices. Each difference
//! stops with its cause and remedy, and nothing is written.

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::servers::Server;
use crate::support::{PATIENCE, shared, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_slot_that_is_gone", a_slot_that_is_gone),
    Scenario::new("a_slot_that_was_advanced", a_slot_that_was_advanced),
    Scenario::new("a_slot_that_is_invalid", a_slot_that_is_invalid),
    Scenario::new("a_slot_that_becomes_invalid", a_slot_that_becomes_invalid),
    Scenario::new("a_slot_that_was_idle_for_too_long", a_slot_that_was_idle_for_too_long),
    Scenario::new("a_slot_of_another_database", a_slot_of_another_database),
    Scenario::new("a_slot_with_two_phases", a_slot_with_two_phases),
    Scenario::new("settings_that_were_changed", settings_that_were_changed),
    Scenario::new("a_mapping_that_was_changed", a_mapping_that_was_changed),
    Scenario::new("an_owner_that_was_changed", an_owner_that_was_changed),
    Scenario::new("blocks", blocks),
    Scenario::new("a_closed_index", a_closed_index),
    Scenario::new("an_alias_that_was_turned", an_alias_that_was_turned),
    Scenario::new("a_restored_index", a_restored_index),
    Scenario::new("a_state_that_was_edited", a_state_that_was_edited),
    Scenario::new("a_state_of_another_version", a_state_of_another_version),
    Scenario::new("a_state_that_was_deleted", a_state_that_was_deleted),
    Scenario::new("indices_of_another_connector", indices_of_another_connector),
];

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.one_item();
    case
}

/// Caught up, with something streamed, and stopped.
fn stopped(name: &str) -> Case {
    let mut case = case(name);
    stop(&mut case);
    case
}

fn stop(case: &mut Case) {
    case.catch_up();
    case.execute("INSERT INTO item VALUES (2, 'two')");
    case.catch_up();
    wait_until_free(case);
}

/// The server has noticed that nobody reads the slot any more.
fn wait_until_free(case: &mut Case) {
    let query = "SELECT active FROM pg_replication_slots WHERE slot_name = $1";
    wait_for("the slot to be free", PATIENCE, || {
        (!case.sql.query_one(query, &[&case.name]).unwrap().get::<_, bool>(0)).then_some(())
    });
}

fn drop_slot(case: &mut Case) {
    wait_until_free(case);
    case.sql.query("SELECT FROM pg_drop_replication_slot($1)", &[&case.name]).unwrap();
}

/// Refuses with code 3, and neither state nor index are touched.
fn expect_refused(case: &mut Case, words: &[&str]) {
    expect_refused_with(case, 3, words);
}

fn expect_refused_with(case: &mut Case, code: i32, words: &[&str]) {
    let (state, found) = (case.state(), found(case));
    case.command(&["run", "--until-caught-up"]).expect(code, words);
    assert_eq!(case.state(), state, "the state");
    assert_eq!(self::found(case), found, "the indices and their documents");
}

/// Indices, how much was ever written to them, and documents.
fn found(case: &Case) -> (Option<Value>, Option<Value>) {
    let name = case.alias("item");
    let indices = case.search.find(&format!("{name}*"));
    let stats = case.search.request("GET", &format!("{name}*/_stats/docs?filter_path=_all.primaries.docs"), None);
    (indices, serde_json::from_str(&stats.1).ok())
}

fn a_slot_that_is_gone() {
    let mut case = case("gone");
    case.command(&["setup"]).expect_success();
    drop_slot(&mut case);
    case.command(&["run"]).expect(2, &["no replication slot gone", "wal2es setup"]);
    case.catch_up();
    case.execute("INSERT INTO item VALUES (2, 'two')");
    drop_slot(&mut case);
    expect_refused(&mut case, &["slot gone is gone", "wal2es resync"]);
    // Made anew by hand, or by `--setup`: it begins behind what is missing.
    let state = case.state();
    case.command(&["run", "--setup"]).expect(3, &["slot gone", "ahead", "wal2es resync"]);
    assert_eq!(case.state(), state);
    assert_eq!(case.search.count(&case.alias("item")), Some(1));
}

fn a_slot_that_was_advanced() {
    let mut case = stopped("advanced");
    case.execute("INSERT INTO item VALUES (3, 'passed over')");
    let advance = "SELECT FROM pg_replication_slot_advance($1, pg_current_wal_lsn())";
    case.sql.query(advance, &[&case.name]).unwrap();
    expect_refused(&mut case, &["slot advanced", "ahead", "advanced by somebody", "wal2es resync"]);
}

/// A server that keeps little log.
fn forgetful() -> Server {
    Server::start(&shared::postgres_kind(), &["--set", "max_slot_wal_keep_size=1MB", "--set", "max_wal_size=32MB"])
}

/// More log than it keeps.
fn write_much(case: &mut Case) {
    for _ in 0..3 {
        case.execute("SELECT pg_switch_wal(); INSERT INTO item SELECT -random() * 1000000000, 'x' ON CONFLICT DO NOTHING");
    }
    case.execute("CHECKPOINT");
}

fn wait_until_lost(case: &mut Case) {
    let query = "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = $1";
    wait_for("the slot to be lost", PATIENCE, || {
        write_much(case);
        case.sql.query_one(query, &[&case.name]).unwrap().get::<_, bool>(0).then_some(())
    });
}

fn a_slot_that_is_invalid() {
    let shared = shared::pair();
    let postgres = forgetful();
    let mut case = Case::on("invalid", &postgres, &shared.search);
    case.one_item();
    // Before anything was made from it.
    case.command(&["setup"]).expect_success();
    wait_until_lost(&mut case);
    case.command(&["setup"]).expect(3, &["slot invalid", "wal_removed", "pg_drop_replication_slot"]);
    case.command(&["run", "--setup"]).expect(3, &["slot invalid", "wal_removed", "pg_drop_replication_slot"]);
    case.expect_nothing_in_target();
    drop_slot(&mut case);
    stop(&mut case);
    wait_until_lost(&mut case);
    expect_refused(&mut case, &["slot invalid", "wal_removed", "wal2es resync", "max_slot_wal_keep_size"]);
    case.command(&["run", "--setup"]).expect(3, &["slot invalid", "wal_removed", "wal2es resync"]);
}

/// The connector does not read for a while: the server ends its connection, and it ends itself.
fn a_slot_that_becomes_invalid() {
    let shared = shared::pair();
    let postgres = forgetful();
    let mut case = Case::on("becomes", &postgres, &shared.search);
    case.one_item();
    let connector = case.run();
    wait_for("the stream", PATIENCE, || connector.log().contains("streaming from").then_some(()));
    connector.signal(Signal::SIGSTOP);
    wait_until_lost(&mut case);
    connector.signal(Signal::SIGCONT);
    connector.end(PATIENCE).expect(3, &["slot becomes", "wal_removed", "wal2es resync", "max_slot_wal_keep_size"]);
    expect_refused(&mut case, &["slot becomes", "wal_removed", "wal2es resync"]);
}

fn a_slot_that_was_idle_for_too_long() {
    if shared::postgres_kind() != "postgres-18" {
        return;
    }
    let shared = shared::pair();
    let postgres = Server::start("postgres-18", &["--set", "idle_replication_slot_timeout=1s"]);
    let mut case = Case::on("idleslot", &postgres, &shared.search);
    case.one_item();
    stop(&mut case);
    let query = "SELECT invalidation_reason IS NOT NULL FROM pg_replication_slots WHERE slot_name = $1";
    wait_for("the slot to be invalidated", PATIENCE, || {
        case.execute("CHECKPOINT");
        case.sql.query_one(query, &[&case.name]).unwrap().get::<_, bool>(0).then_some(())
    });
    let remedy = "idle_replication_slot_timeout";
    expect_refused(&mut case, &["slot idleslot", "idle_timeout", "wal2es resync", remedy]);
}

fn a_slot_of_another_database() {
    let mut case = case("otherdb");
    let other = Case::shared("otherdb_2");
    let make = "SELECT FROM pg_create_logical_replication_slot('otherdb', $1)";
    let plugin = case.config["source"]["plugin"].as_str().unwrap().to_owned();
    other.database.session().query(make, &[&plugin]).unwrap();
    case.command(&["run", "--setup"]).expect(2, &["slot otherdb", "database otherdb_2", "source.slot"]);
    case.expect_nothing_in_target();
}

fn a_slot_with_two_phases() {
    let mut case = case("twophase");
    let plugin = case.config["source"]["plugin"].as_str().unwrap().to_owned();
    let make = "SELECT FROM pg_create_logical_replication_slot('twophase', $1, false, true)";
    case.sql.query(make, &[&plugin]).unwrap();
    case.command(&["run", "--setup"]).expect(2, &["slot twophase", "two_phase", "source.slot"]);
    case.expect_nothing_in_target();
}

fn settings_that_were_changed() {
    let mut case = stopped("settings");
    let index = case.search.behind(&case.alias("item")).unwrap();
    case.search.expect("PUT", "_ingest/pipeline/wal2es-test", Some(&json!({"processors": []})));
    let path = format!("{index}/_settings");
    for (key, other, ours) in [
        ("index.translog.durability", "async", "request"),
        ("index.gc_deletes", "1s", "60s"),
        ("index.refresh_interval", "1s", "-1"),
        ("index.default_pipeline", "wal2es-test", "_none"),
        ("index.final_pipeline", "wal2es-test", "_none"),
    ] {
        case.search.expect("PUT", &path, Some(&json!({key: other})));
        case.execute("UPDATE item SET name = name || '.'");
        let put = format!("PUT /{path} {{\"{key}\":\"{ours}\"}}");
        expect_refused(&mut case, &[key, other, ours, &put, "wal2es resync settings-item"]);
        case.search.expect("PUT", &path, Some(&json!({key: ours})));
    }
    case.search.expect("DELETE", "_ingest/pipeline/wal2es-test", None);
    case.catch_up();
    case.compare();
}

fn a_mapping_that_was_changed() {
    let mut case = stopped("mapping");
    let index = case.search.behind(&case.alias("item")).unwrap();
    case.search.expect("PUT", &format!("{index}/_mapping"), Some(&json!({"dynamic": true})));
    expect_refused(&mut case, &["mapping", "dynamic is true", "wal2es resync mapping-item"]);
    case.search.expect("PUT", &format!("{index}/_mapping"), Some(&json!({"dynamic": false})));
    let added = json!({"properties": {"more": {"type": "keyword"}}});
    case.search.expect("PUT", &format!("{index}/_mapping"), Some(&added));
    expect_refused(&mut case, &["mapping", "properties.more was added", "wal2es resync mapping-item"]);
}

fn an_owner_that_was_changed() {
    let mut case = stopped("owner");
    let index = case.search.behind(&case.alias("item")).unwrap();
    let mapping = case.search.json("GET", &format!("{index}/_mapping"), None);
    let ours = mapping[&index]["mappings"]["_meta"].clone();
    let put = |case: &Case, meta: &Value| {
        case.search.expect("PUT", &format!("{index}/_mapping"), Some(&json!({"_meta": meta})));
    };
    let with = |key: &str, value: Value| {
        let mut meta = ours.clone();
        meta["wal2es"][key] = value;
        meta
    };
    put(&case, &with("source", json!("1.shop.other")));
    expect_refused(&mut case, &[&index, "connector 1.shop.other", "owner.owner", "wal2es resync owner-item"]);
    put(&case, &with("generation", json!(7)));
    expect_refused(&mut case, &[&index, "generation 7", "wal2es resync owner-item"]);
    put(&case, &with("formula", json!(99)));
    expect_refused(&mut case, &[&index, "another version", "99", "wal2es resync"]);
    put(&case, &json!({}));
    expect_refused(&mut case, &[&index, "whose", "wal2es resync owner-item"]);
    put(&case, &ours);
    case.catch_up();
    case.compare();
}

fn blocks() {
    let mut case = stopped("blocks");
    let index = case.search.behind(&case.alias("item")).unwrap();
    let path = format!("{index}/_settings");
    for block in ["index.blocks.write", "index.blocks.read_only"] {
        case.search.expect("PUT", &path, Some(&json!({block: true})));
        case.execute("UPDATE item SET name = name || '.'");
        let put = format!("PUT /{path} {{\"{block}\":null}}");
        expect_refused_with(&mut case, 2, &[&index, block, &put]);
        case.search.expect("PUT", &path, Some(&json!({block: null})));
    }
    case.catch_up();
    case.compare();
}

fn a_closed_index() {
    let mut case = stopped("closed");
    let index = case.search.behind(&case.alias("item")).unwrap();
    case.search.expect("POST", &format!("{index}/_close"), None);
    let open = format!("{index}/_open");
    case.command(&["run"]).expect(2, &[&index, "closed", &format!("POST /{open}")]);
    case.search.expect("POST", &open, None);
    case.catch_up();
    case.compare();
}

fn an_alias_that_was_turned() {
    let mut case = stopped("turned");
    let alias = case.alias("item");
    let index = case.search.behind(&alias).unwrap();
    let other = "another-turned";
    case.search.expect("PUT", other, Some(&json!({})));
    let turn = |case: &Case, actions: Value| {
        case.search.expect("POST", "_aliases", Some(&json!({ "actions": actions })));
    };
    turn(&case, json!([{"remove": {"index": index, "alias": alias}}]));
    expect_refused(&mut case, &["alias turned-item is gone", "POST /_aliases", "wal2es resync turned-item"]);
    turn(&case, json!([{"add": {"index": other, "alias": alias}}]));
    expect_refused(&mut case, &["alias turned-item", other, &index, "POST /_aliases"]);
    turn(&case, json!([{"add": {"index": index, "alias": alias}}]));
    expect_refused(&mut case, &["alias turned-item", other, "POST /_aliases"]);
    // What the remedy says, done.
    let said = case.command(&["run"]).stderr;
    let actions = said.split_once("POST /_aliases ").unwrap().1;
    let mut actions = serde_json::Deserializer::from_str(actions).into_iter::<Value>();
    case.search.expect("POST", "_aliases", Some(&actions.next().unwrap().unwrap()));
    case.catch_up();
    case.compare();
    case.search.expect("DELETE", other, None);
}

/// The same uuid with an older content: only the history of its shards tells.
fn a_restored_index() {
    let pair = shared::pair();
    let repository = crate::support::temp::TempDir::new("snapshots");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(repository.path(), open).unwrap();
    let path = repository.path().to_str().unwrap();
    let search = Server::start(&shared::search_kind(), &["--set", &format!("path.repo={path}")]);
    let mut case = Case::on("restored", &pair.postgres, &search);
    case.one_item();
    case.catch_up();
    let index = case.search.behind(&case.alias("item")).unwrap();
    let uuid = |case: &Case| {
        case.search.json("GET", &format!("{index}/_settings"), None)[&index]["settings"]["index"]["uuid"].clone()
    };
    let before = uuid(&case);
    let repository = json!({"type": "fs", "settings": {"location": path}});
    case.search.expect("PUT", "_snapshot/copy", Some(&repository));
    let what = json!({"indices": index, "include_global_state": false});
    case.search.expect("PUT", "_snapshot/copy/one?wait_for_completion=true", Some(&what));
    case.execute("INSERT INTO item VALUES (2, 'after the snapshot')");
    case.catch_up();
    case.search.expect("POST", &format!("{index}/_close"), None);
    case.search.expect("POST", "_snapshot/copy/one/_restore?wait_for_completion=true", Some(&what));
    assert_eq!(uuid(&case), before, "a restore over a closed index keeps the uuid");
    wait_for("the restored index", PATIENCE, || case.search.count(&index).filter(|count| *count == 1));
    expect_refused(&mut case, &[&index, "gone back in time", "snapshot", "wal2es resync"]);
}

fn edit(case: &mut Case, change: impl FnOnce(&mut Value)) {
    let mut state = case.state().unwrap();
    change(&mut state);
    let path = state_path(case);
    case.search.expect("PUT", &path, Some(&state));
}

fn state_path(case: &mut Case) -> String {
    let query = "SELECT system_identifier::text FROM pg_control_system()";
    let system: String = case.sql.query_one(query, &[]).unwrap().get(0);
    format!("wal2es-state/_doc/{system}.{}.{}", case.database.name, case.name)
}

fn a_state_that_was_edited() {
    let mut case = stopped("edited");
    let good = case.state().unwrap();
    // Beyond what was applied: a commit is between.
    case.execute("INSERT INTO item VALUES (3, 'three')");
    let query = "SELECT pg_current_wal_lsn()::text";
    let now: String = case.sql.query_one(query, &[]).unwrap().get(0);
    edit(&mut case, |state| state["applied_lsn"] = now.as_str().into());
    expect_refused(&mut case, &["the log", "not the one", "edited", "wal2es resync"]);
    edit(&mut case, |state| state["applied_lsn"] = "FFFF/0".into());
    expect_refused(&mut case, &["FFFF/0", "ahead of the server", "wal2es resync"]);
    edit(&mut case, |state| state["applied_lsn"] = "no position".into());
    expect_refused(&mut case, &["state document", "can't be read", "DELETE"]);
    edit(&mut case, |state| *state = good);
    case.catch_up();
    case.compare();
}

fn a_state_of_another_version() {
    let mut case = stopped("version");
    edit(&mut case, |state| state["formula"] = 99.into());
    expect_refused(&mut case, &["another version", "99", "wal2es resync"]);
    edit(&mut case, |state| state["step"] = "copying".into());
    expect_refused(&mut case, &["half-finished generation", "another version", "99", "wal2es resync"]);
}

/// Then nobody knows how far the indices are: they are left as they are, until new ones take their place.
fn a_state_that_was_deleted() {
    let mut case = stopped("deleted");
    let path = state_path(&mut case);
    case.search.expect("DELETE", &path, None);
    case.execute("DELETE FROM item WHERE id = 1; INSERT INTO item VALUES (3, 'three')");
    let before = case.search.behind(&case.alias("item")).unwrap();
    case.catch_up();
    case.compare();
    let after = case.search.behind(&case.alias("item")).unwrap();
    assert_ne!(after, before);
    case.search.expect("DELETE", &before, None);
}

fn indices_of_another_connector() {
    let mut first = stopped("firstone");
    let mut second = case("secondone");
    let alias = first.alias("item");
    second.config["indexes"][0]["name"] = alias.clone().into();
    let index = first.search.behind(&alias).unwrap();
    let owner = state_path(&mut first).rsplit('/').next().unwrap().to_owned();
    second.command(&["run", "--setup"]).expect(2, &[&alias, &index, "not ours", &owner, "name"]);
    assert_eq!(second.state(), None);
    first.catch_up();
    first.compare();
}
