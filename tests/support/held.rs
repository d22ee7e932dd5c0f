//! A first copy that stands still, because the index takes nothing.

use serde_json::json;

use super::case::Case;
use super::connector::Connector;
use super::{PATIENCE, wait_for};

/// Starts `run` and returns when it copies `table`, of which the index takes no row until [`release`].
///
/// The snapshot waits for transactions that are open, and the index is there by then: in between it is closed to writes.
pub fn start(case: &mut Case, table: &str, arguments: &[&str]) -> Connector {
    case.command(&["setup"]).expect_success();
    let mut open = case.database.session();
    open.batch_execute("BEGIN; SELECT pg_current_xact_id()").unwrap();
    let mut connector = case.start(&[&["run"], arguments].concat());
    wait_for("the snapshot to wait", PATIENCE, || {
        connector.must_run();
        let query =
            "SELECT FROM pg_replication_slots WHERE temporary AND database = current_database()";
        case.sql.query_opt(query, &[]).unwrap()
    });
    hold(case, table);
    open.batch_execute("COMMIT").unwrap();
    wait_for("the copy", PATIENCE, || {
        connector.must_run();
        connector.log().contains("copying the tables").then_some(())
    });
    connector
}

/// The index of `table` takes no rows from now on.
pub fn hold(case: &Case, table: &str) {
    block(case, table, &json!(true));
}

/// The index of `table` takes rows again.
pub fn release(case: &Case, table: &str) {
    block(case, table, &json!(null));
}

fn block(case: &Case, table: &str, blocked: &serde_json::Value) {
    let settings = json!({"index.blocks.read_only_allow_delete": blocked});
    case.search.expect("PUT", &format!("{}-g*/_settings", case.alias(table)), Some(&settings));
}
