//! Something breaks in the middle of the first load. The middle is where the target holds it: see
//! [`super::copy::start_blocked`].

use super::Scenario;
use super::copy::{end_workers, start_blocked, two_rows_with_one_id, unblock};
use crate::support::case::Case;
use crate::support::shared;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("from_its_target", target_killed),
    Scenario::new("from_its_source", sessions_ended),
    Scenario::new("from_its_source_with_two_rows_of_one_id", sessions_ended_two_rows),
    Scenario::new("from_its_snapshot", snapshot_ended),
    Scenario::new("by_its_user", told_to_stop),
    Scenario::new("from_replicas_for_as_long_as_it_takes", replicas),
];

const ROWS: u32 = 40_000;

/// Two tables: the small one is copied when the large one is held.
fn prepare(case: &mut Case) {
    case.config["pipeline"] = serde_json::json!({"batch_rows": 500});
    case.table("small", "id int PRIMARY KEY");
    case.execute("INSERT INTO small SELECT generate_series(1, 1000)");
    case.table("large", "id int PRIMARY KEY, filler text");
    case.execute(&format!(
        "INSERT INTO large SELECT n, repeat(md5(n::text), 31) FROM generate_series(1, {ROWS}) n"
    ));
}

fn target_killed() {
    let mut pair = shared::fragile();
    let mut case = Case::on("copytarget", &pair.postgres, &pair.search);
    prepare(&mut case);
    let mut connector = start_blocked(&case, "large");
    pair.search.kill9();
    pair.search.start_again(&[]);
    connector.must_run();
    wait_for("the index", PATIENCE, || case.search.find("_cluster/health?wait_for_status=yellow"));
    assert_eq!(case.state().unwrap()["step"], "copying");
    unblock(&case, "large");
    wait_for("the stream", PATIENCE, || connector.log().contains("streaming from").then_some(()));
    connector.must_run();
    case.check();
    connector.stop();
}

fn sessions_ended() {
    let mut case = Case::shared("copysource");
    prepare(&mut case);
    let mut connector = start_blocked(&case, "large");
    assert!(end_workers(&case) > 0, "{}", connector.log());
    unblock(&case, "large");
    wait_for("the stream", PATIENCE, || {
        connector.must_run();
        connector.log().contains("streaming from").then_some(())
    });
    let log = connector.log();
    let again = log.matches("reading this range again").count();
    assert!((1..=2).contains(&again), "{log}");
    assert!(log.contains(&format!("rows={}", ROWS + 1000)), "{log}");
    case.check();
    connector.stop();
}

/// Rows that are sent twice hide what a version would tell; the count does not. The rows are one page with 40 MB in TOAST,
/// a single range, and more than what sockets hold: the last row is not read before the end of the session.
fn sessions_ended_two_rows() {
    let mut case = Case::shared("copysourcetwice");
    case.config["pipeline"] = serde_json::json!({"batch_bytes": "1MiB", "copy_workers": 1});
    two_rows_with_one_id(&mut case, "large", 90, 16_000);
    let connector = start_blocked(&case, "large");
    assert_eq!(end_workers(&case), 1);
    unblock(&case, "large");
    connector.end(PATIENCE).expect(3, &["public.large: 83 rows were copied", "82 documents", "two rows have the same id"]);
}

/// Without it there is nothing to go on with: a start begins anew.
fn snapshot_ended() {
    let mut case = Case::shared("copysnapshot");
    prepare(&mut case);
    let connector = start_blocked(&case, "large");
    case.execute(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name LIKE '%\\_next' \
            AND database = current_database()",
    );
    wait_for("the end of its slot", PATIENCE, || {
        let query = "SELECT count(*) FROM pg_replication_slots WHERE temporary AND database = current_database()";
        (case.sql.query_one(query, &[]).unwrap().get::<_, i64>(0) == 0).then_some(())
    });
    assert!(end_workers(&case) > 0);
    unblock(&case, "large");
    connector.end(PATIENCE).expect(1, &["the snapshot of the copy is gone"]);
    case.catch_up();
    case.compare();
}

/// Nothing of it is left in Postgres.
fn told_to_stop() {
    let mut case = Case::shared("copystop");
    prepare(&mut case);
    let connector = start_blocked(&case, "large");
    connector.stop();
    wait_for("the end of its sessions", PATIENCE, || {
        let query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
        (case.sql.query_one(query, &[]).unwrap().get::<_, i64>(0) == 0).then_some(())
    });
    let query = "SELECT count(*) FROM pg_replication_slots WHERE temporary AND database = current_database()";
    assert_eq!(case.sql.query_one(query, &[]).unwrap().get::<_, i64>(0), 0);
    case.catch_up();
    case.compare();
}

fn replicas() {
    let mut case = Case::shared("copyreplicas");
    prepare(&mut case);
    case.config["indexes"][0]["settings"] = serde_json::json!({"auto_expand_replicas": "0-3"});
    case.config["indexes"][1]["settings"] = serde_json::json!({"number_of_replicas": 2});
    let settings = |case: &Case, table: &str| {
        let index = format!("{}-g1", case.alias(table));
        let found = case.search.json("GET", &format!("{index}?flat_settings=true"), None);
        let settings = &found[&index]["settings"];
        let get = |key: &str| settings[key].as_str().unwrap_or("none").to_owned();
        [get("index.number_of_replicas"), get("index.auto_expand_replicas")]
    };
    let connector = start_blocked(&case, "large");
    assert_eq!(settings(&case, "large"), ["0", "none"]);
    assert_eq!(settings(&case, "small"), ["0", "false"]);
    unblock(&case, "large");
    wait_for("the stream", PATIENCE, || connector.log().contains("streaming from").then_some(()));
    assert_eq!(settings(&case, "large"), ["2", "none"]);
    assert_eq!(settings(&case, "small"), ["0", "0-3"]);
    case.check();
    connector.stop();
}
