//! How far it is, asked for from outside: the screen, and the report that it is made of.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::{PATIENCE, held, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("while_it_copies_and_after", while_it_copies_and_after),
    Scenario::new("an_idle_one_is_not_behind", an_idle_one_is_not_behind),
    Scenario::new("a_report_that_is_old_or_nonsense", a_report_that_is_old_or_nonsense),
];

/// Wide ones, so that those which fit into the requests in flight are more than what is read at a time.
const ROWS: u64 = 10_000;

fn status(case: &Case) -> Value {
    let said = case.command(&["status", "--json"]).expect_success();
    serde_json::from_str(&said.stdout).unwrap()
}

fn report_path(case: &mut Case) -> String {
    format!("wal2es-state/_doc/{}.report", case.state_id())
}

fn while_it_copies_and_after() {
    let mut case = Case::shared("statuscopy");
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute(&format!("INSERT INTO item SELECT n, repeat('x', 1000) FROM generate_series(1, {ROWS}) n; ANALYZE item"));
    case.config["pipeline"] = json!({"batch_rows": 1000});
    let connector = held::start(&mut case, "item", &[]);
    let copying = wait_for("the copy in the status", PATIENCE, || {
        let status = status(&case);
        (status["progress"]["rows"].as_u64() > Some(0)).then_some(status)
    });
    assert_eq!(copying["state"], "copying");
    let progress = &copying["progress"];
    assert_eq!(progress["estimated_rows"], ROWS, "{progress}");
    assert!(progress["rows"].as_u64() < Some(ROWS), "{progress}");
    assert_eq!(progress["tables"][0]["table"], "public.item");
    assert_eq!(progress["tables"][0]["done"], false);
    assert_eq!(progress["tables_total"], 1);
    assert!(copying["report"]["pid"].as_u64() == Some(connector.pid().into()), "{copying}");
    let screen = case.command(&["status"]).expect_success().stdout;
    for words in ["copying", "of about 10000 rows, 0 of 1 tables", "public.item"] {
        assert!(screen.contains(words), "{words:?} is not in:\n{screen}");
    }
    // Every five seconds where there is no terminal.
    wait_for("a line of the log", PATIENCE, || connector.log().contains("estimated=10000").then_some(()));

    held::release(&case, "item");
    wait_for("the stream", PATIENCE, || (status(&case)["state"] == "streaming").then_some(()));
    case.settle();
    let after = wait_for("the report of the stream", PATIENCE, || {
        Some(status(&case)).filter(|status| status["lag_seconds"].is_f64())
    });
    assert_eq!((&after["progress"], &after["warnings"]), (&json!(null), &json!([])));
    assert!(after["wal_held_bytes"].is_u64() && after["rate"].is_u64(), "{after}");
    case.check();
    connector.stop();

    let path = report_path(&mut case);
    assert!(case.search.find(&path).is_some());
    wait_for("the slot to be free", PATIENCE, || (status(&case)["state"] == "stopped").then_some(()));
    case.command(&["teardown", "--indices"]).expect_success();
    assert_eq!(case.search.find(&path), None);
}

/// However long ago the last commit was.
fn an_idle_one_is_not_behind() {
    let mut case = Case::shared("statusidle");
    case.table("item", "id int PRIMARY KEY");
    case.execute("INSERT INTO item VALUES (1)");
    let connector = case.run();
    wait_for("the lag", PATIENCE, || {
        let status = status(&case);
        (status["lag_seconds"] == 0.0).then_some(())
    });
    // It stands still, and something is written: what it said is the past, what is written is known.
    connector.signal(nix::sys::signal::Signal::SIGSTOP);
    let lag = status(&case)["lag_bytes"].as_u64();
    case.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 100000))");
    assert!(status(&case)["lag_bytes"].as_u64() > lag.map(|lag| lag + 100_000));
    connector.signal(nix::sys::signal::Signal::SIGCONT);
    case.check();
}

fn a_report_that_is_old_or_nonsense() {
    let mut case = Case::shared("statusold");
    case.table("item", "id int PRIMARY KEY");
    case.catch_up();
    let path = report_path(&mut case);
    let put = |report: Value| {
        case.search.expect("PUT", &path, Some(&report));
        (status(&case), case.command(&["status"]).expect_success().stdout)
    };
    let (old, screen) = put(json!({
        "updated_at": "2026-01-02T03:04:05Z", "pid": 7, "host": "elsewhere", "lag_seconds": 1.5,
        "progress": {"rows": 1}, "warnings": ["of the past"],
    }));
    assert_eq!(old["report"]["pid"], 7);
    assert!(old["lag_seconds"].is_null() && old["progress"].is_null(), "{old}");
    assert_eq!(old["warnings"], json!([]));
    assert!(screen.contains("last report") && screen.contains("process 7 on elsewhere"), "{screen}");
    for nonsense in [json!({"pid": "x"}), json!({}), json!({"updated_at": "yesterday", "lag_seconds": 3})] {
        let (said, _) = put(nonsense);
        assert!(said["lag_seconds"].is_null(), "{said}");
    }
    case.search.expect("DELETE", &path, None);
    assert!(status(&case)["report"].is_null());
}
