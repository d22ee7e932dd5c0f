//! [The text format of Prometheus](https://prometheus.io/docs/instrumenting/exposition_formats/). What has not been measured
//! yet is left out: it is not zero.

use std::fmt::{Display, Write as _};

use crate::monitor::Applied;
use crate::status::Status;

pub(super) fn of(status: &Status, applied: Option<Applied>) -> String {
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, value: Option<&dyn Display>| {
        if let Some(value) = value {
            // Writing to a text can't fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n");
        }
    };
    let streaming = u8::from(status.state == "streaming");
    let superseded = applied.map(|applied| applied.superseded);
    let suspects = applied.map(|applied| applied.suspects);
    let rows = applied.map(|applied| applied.rows);
    let copied = status.progress.as_ref().map(|progress| progress.rows);
    let estimated = status.progress.as_ref().map(|progress| progress.estimated_rows);
    add("wal2es_streaming", "gauge", "1 while the stream is followed", Some(&streaming));
    add("wal2es_lag_bytes", "gauge", "Log that is not applied", show(&status.lag_bytes));
    add(
        "wal2es_lag_seconds",
        "gauge",
        "For how long something has not been applied",
        show(&status.lag_seconds),
    );
    add(
        "wal2es_slot_wal_bytes",
        "gauge",
        "Log that the server keeps for the slot",
        show(&status.wal_held_bytes),
    );
    add(
        "wal2es_applied_rows_total",
        "counter",
        "Row operations sent to the target, of the stream",
        show(&rows),
    );
    add(
        "wal2es_superseded_total",
        "counter",
        "Operations that found something newer in the index",
        show(&superseded),
    );
    add("wal2es_dead_letters", "gauge", "Rows that have no document", show(&status.dead_letters));
    add(
        "wal2es_suspects",
        "gauge",
        "Deletes that are sent again for a while, after requests without an answer",
        show(&suspects),
    );
    add("wal2es_copied_rows", "gauge", "Rows of the copy under way", show(&copied));
    add("wal2es_copy_estimated_rows", "gauge", "How many there may be in all", show(&estimated));
    text
}

fn show<T: Display>(value: &Option<T>) -> Option<&dyn Display> {
    value.as_ref().map(|value| value as &dyn Display)
}

#[cfg(test)]
mod tests {
    use change::Lsn;

    use super::*;

    #[test]
    fn only_what_is_measured() {
        let starting = Status { state: "starting".into(), ..Status::default() };
        let text = of(&starting, None);
        assert_eq!(text.lines().last(), Some("wal2es_streaming 0"));
        assert!(!text.contains("lag"));
        let status = Status {
            state: "streaming".into(),
            lag_bytes: Some(7),
            lag_seconds: Some(0.25),
            ..Status::default()
        };
        let applied =
            Applied { durable: Lsn::ZERO, visible: Lsn::ZERO, rows: 3, superseded: 2, suspects: 4 };
        let text = of(&status, Some(applied));
        for line in [
            "wal2es_streaming 1",
            "wal2es_lag_bytes 7",
            "wal2es_lag_seconds 0.25",
            "wal2es_applied_rows_total 3",
            "wal2es_suspects 4",
            "# TYPE wal2es_superseded_total counter",
            "wal2es_superseded_total 2",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}: {text}");
        }
    }
}
