//! The log that the server keeps for us is bounded, and people are told before it hurts.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::servers::Server;
use crate::support::{PATIENCE, held, shared, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("a_copy_that_holds_too_much", a_copy_that_holds_too_much),
    Scenario::new("warned_on_postgres_15", || warned("postgres-15")),
    Scenario::new("warned_on_postgres_18", || warned("postgres-18")),
];

fn status(case: &Case) -> Value {
    let said = case.command(&["status", "--json"]).expect_success();
    serde_json::from_str(&said.stdout).unwrap()
}

/// So many mebibytes of log that no index is made of.
fn write_log(case: &mut Case, mebibytes: u32) {
    case.execute(&format!(
        "SELECT count(pg_logical_emit_message(false, 'x', repeat('x', 1 << 20))) FROM generate_series(1, {mebibytes})"
    ));
}

fn a_copy_that_holds_too_much() {
    let pair = shared::fragile();
    let mut case = Case::on("toomuch", &pair.postgres, &pair.search);
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item SELECT n, 'x' FROM generate_series(1, 5000) n");
    case.config["source"]["max_wal_held"] = "100MiB".into();
    case.config["source"]["watch_interval"] = "100ms".into();
    let mut connector = held::start(&mut case, "item", &[]);
    write_log(&mut case, 60);
    wait_for("the warning", PATIENCE, || {
        connector.must_run();
        connector.log().contains("source.max_wal_held is 100.0 MiB").then_some(())
    });
    assert!(status(&case)["warnings"][0].as_str().unwrap().contains("max_wal_held"));
    // From here on the slot can be advanced to.
    case.execute("CHECKPOINT; INSERT INTO item VALUES (0, 'meanwhile')");
    write_log(&mut case, 60);
    let words = ["slot toomuch", "source.max_wal_held (100.0 MiB)", "not complete", "has its log back", "raise"];
    connector.end(PATIENCE).expect(3, &words);
    let held = status(&case)["wal_held_bytes"].as_u64().unwrap();
    assert!(held < 70 << 20, "{held} bytes are still held");
    let query = "SELECT count(*) FROM pg_replication_slots WHERE temporary";
    let left = || case.sql.query_one(query, &[]).unwrap().get::<_, i64>(0);
    wait_for("the temporary slot to go", PATIENCE, { let mut left = left; move || (left() == 0).then_some(()) });

    case.execute("UPDATE item SET name = 'later' WHERE id % 3 = 0");
    case.config["source"]["max_wal_held"] = "10GiB".into();
    case.catch_up();
    case.compare();
}

/// A transaction that stays open keeps the log of a slot that is read.
fn warned(kind: &str) {
    let pair = shared::pair();
    let postgres = Server::start(kind, &["--set", "max_slot_wal_keep_size=256MB"]);
    let name = kind.replace("postgres-", "warned");
    let mut case = Case::on(&name, &postgres, &pair.search);
    case.table("item", "id int PRIMARY KEY");
    case.config["source"]["watch_interval"] = "100ms".into();
    let mut connector = case.run();
    assert_eq!(status(&case)["warnings"], json!([]));
    assert!(status(&case)["safe_wal_size"].is_i64());
    let mut open = case.database.session();
    open.batch_execute("BEGIN; SELECT pg_current_xact_id()").unwrap();
    write_log(&mut case, 160);
    let said = |log: &str| log.matches("max_slot_wal_keep_size is 256.0 MiB").count();
    wait_for("the warning", PATIENCE, || {
        connector.must_run();
        (said(&connector.log()) > 0).then_some(())
    });
    let warnings = status(&case)["warnings"].to_string();
    assert!(warnings.contains(&format!("slot {name} will be lost when")), "{warnings}");
    // The report comes now and then, after many looks: nothing is said again.
    let report = |case: &Case| status(case)["report"]["updated_at"].clone();
    let before = report(&case);
    wait_for("the next report", PATIENCE, || (report(&case) != before).then_some(()));
    assert!(said(&connector.log()) <= 2, "{}", connector.log());
    open.batch_execute("COMMIT").unwrap();
    wait_for("the end of it", PATIENCE, || {
        case.execute("CHECKPOINT; INSERT INTO item SELECT COALESCE(max(id), 0) + 1 FROM item");
        connector.log().contains("far from max_slot_wal_keep_size again").then_some(())
    });
    assert_eq!(status(&case)["warnings"], json!([]));
    case.check();
    connector.stop();
}
