//! The state of a connector, as `wal2es status` finds it from outside and the HTTP endpoint tells it from inside.

use apply::{IndexState, Progress};
use serde::Serialize;
use wal::System;

use crate::limits::{Look, bytes};
use crate::progress::duration;
use crate::source::Source;

/// A report older than this is said to be old.
pub(crate) const FRESH_SECONDS: u64 = 30;
/// More tables or indices than this are not listed for people.
const MOST: usize = 40;

/// Everything that there is to tell; what is not known is null.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Status {
    /// One or two words.
    pub(crate) state: String,
    pub(crate) source: Option<SourceStatus>,
    /// Family and version.
    pub(crate) target: Option<String>,
    pub(crate) slot: Option<SlotStatus>,
    /// The trigger queue, where that takes the slot's place: how many entries wait (up to 100,000), and whether a process
    /// takes them.
    pub(crate) queue: Option<serde_json::Value>,
    /// The table of events, where that takes the slot's place: how it is read, whether a process does, and the oldest
    /// transaction, which may hold events back.
    pub(crate) events: Option<serde_json::Value>,
    pub(crate) generation: Option<u32>,
    pub(crate) applied_lsn: Option<String>,
    pub(crate) visible_lsn: Option<String>,
    pub(crate) lag_bytes: Option<u64>,
    pub(crate) lag_seconds: Option<f64>,
    /// Row operations per second, of late.
    pub(crate) rate: Option<u64>,
    /// Deletes that are sent again for a while, because a request that was given up may yet be executed.
    pub(crate) suspects: Option<usize>,
    pub(crate) wal_held_bytes: Option<u64>,
    pub(crate) safe_wal_size: Option<i64>,
    pub(crate) progress: Option<Progress>,
    pub(crate) needs_resync: Option<String>,
    /// Rows that have no document.
    pub(crate) dead_letters: Option<usize>,
    pub(crate) warnings: Vec<String>,
    pub(crate) indexes: Vec<IndexStatus>,
    /// What `status` knows of the process that runs comes from here.
    pub(crate) report: Option<ReportStatus>,
}

/// The database.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SourceStatus {
    pub(crate) system_id: String,
    pub(crate) timeline: u32,
    pub(crate) database: String,
    /// `server_version_num`.
    pub(crate) server_version: u32,
    /// Where its log ends.
    pub(crate) lsn: Option<String>,
}

/// The slot.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SlotStatus {
    pub(crate) name: String,
    pub(crate) active_pid: Option<i32>,
    pub(crate) confirmed_flush_lsn: Option<String>,
    pub(crate) wal_status: Option<String>,
    pub(crate) wal_held_bytes: Option<u64>,
}

/// One index.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct IndexStatus {
    pub(crate) name: String,
    pub(crate) table: String,
    /// The one that follows the stream.
    pub(crate) index: String,
    /// The one that readers see.
    pub(crate) shown: Option<String>,
    /// It was turned back to by `rollback`.
    pub(crate) rolled_back: bool,
    /// Those of earlier generations that `rollback` can turn back to.
    pub(crate) kept: Vec<String>,
    /// Its table is followed.
    pub(crate) followed: bool,
}

/// Whose report it is, and how old.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ReportStatus {
    pub(crate) updated_at: String,
    pub(crate) age_seconds: Option<u64>,
    pub(crate) pid: u32,
    pub(crate) host: String,
}

impl From<&IndexState> for IndexStatus {
    fn from(state: &IndexState) -> Self {
        IndexStatus {
            name: state.alias.clone(),
            table: state.table.clone(),
            index: state.index.clone(),
            shown: state.shown.clone(),
            rolled_back: state.held && state.shown.is_some(),
            kept: state.kept.iter().map(|kept| kept.index.clone()).collect(),
            followed: true,
        }
    }
}

impl IndexStatus {
    /// Of a table that is not published or configured any more.
    pub(crate) fn detached(state: &IndexState) -> Self {
        IndexStatus { followed: false, ..state.into() }
    }

    fn text(&self) -> String {
        let IndexStatus { name, table, index, .. } = self;
        let shown = match &self.shown {
            _ if !self.followed => ", not followed any more".to_owned(),
            Some(shown) if self.rolled_back => {
                format!(", readers see {shown}, which does not follow the stream (rollback)")
            }
            Some(shown) if shown != index => format!(", readers see {shown} until it is shown"),
            None => ", not shown yet".to_owned(),
            Some(_) => String::new(),
        };
        let kept = match self.kept.as_slice() {
            [] => String::new(),
            kept => format!(", {} kept", kept.join(", ")),
        };
        format!("{name} ({index}) of {table}{shown}{kept}")
    }
}

impl Status {
    /// For people: what each line is about, and what it says.
    pub(crate) fn lines(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![("state", self.state.clone())];
        if let Some(source) = &self.source {
            let at = source.lsn.as_ref().map(|lsn| format!(", at {lsn}")).unwrap_or_default();
            let version = source.server_version / 10_000;
            lines.push(("source", format!("{} on Postgres {version}{at}", source.database)));
        }
        lines.extend(self.target.iter().map(|target| ("target", target.clone())));
        lines.extend(self.slot.iter().map(|slot| ("slot", slot.text())));
        if let Some(queue) = &self.queue {
            let text = format!(
                "{} entries in {}.queue",
                queue["entries"],
                queue["schema"].as_str().unwrap_or_default()
            );
            lines.push(("queue", text));
        }
        if let Some(events) = &self.events {
            let text = |at: &str| events[at].as_str().unwrap_or_default().to_owned();
            lines.push(("events", format!("{}, by {}", text("table"), text("order"))));
            let oldest = &events["oldest_transaction"];
            if let (Some(who), Some(seconds)) = (oldest["who"].as_str(), oldest["seconds"].as_u64())
            {
                lines.push(("oldest", format!("{who}, open for {seconds} s")));
            }
        }
        lines.extend(self.positions().map(|text| ("applied", text)));
        lines.extend(self.needs_resync.iter().map(|reason| ("stopped", reason.clone())));
        if let Some(count) = self.dead_letters.filter(|count| *count > 0) {
            let text = format!("{count} rows have no document: see `wal2es dead-letters list`");
            lines.push(("letters", text));
        }
        for text in self.progress.iter().flat_map(progress_lines) {
            lines.push(("copy", text));
        }
        lines.extend(self.warnings.iter().map(|warning| ("warning", warning.clone())));
        for index in self.indexes.iter().take(MOST) {
            lines.push(("index", index.text()));
        }
        if let Some(more) = self.indexes.len().checked_sub(MOST).filter(|more| *more > 0) {
            lines.push(("index", format!("and {more} more")));
        }
        lines
            .extend(self.report.as_ref().and_then(ReportStatus::text).map(|text| ("report", text)));
        lines
    }

    /// The lines as one screen.
    pub(crate) fn screen(&self) -> String {
        let lines = self.lines().into_iter().map(|(about, text)| format!("{about:<10} {text}"));
        lines.collect::<Vec<_>>().join("\n")
    }

    fn positions(&self) -> Option<String> {
        let (applied, visible) = (self.applied_lsn.as_ref()?, self.visible_lsn.as_ref()?);
        let mut text = format!("{applied}, searchable {visible}");
        if let Some(lag) = self.lag_bytes {
            text.push_str(&format!(", lag {}", bytes(lag)));
        }
        if let Some(seconds) = self.lag_seconds {
            text.push_str(&format!(" and {seconds:.0} s"));
        }
        if let Some(rate) = self.rate {
            text.push_str(&format!(", {rate} rows/s"));
        }
        if let Some(suspects) = self.suspects.filter(|suspects| *suspects > 0) {
            text.push_str(&format!(", {suspects} deletes sent again for a while"));
        }
        Some(text)
    }
}

impl SourceStatus {
    /// As it was when it was connected to.
    pub(crate) fn of(system: &System, source: &Source) -> Self {
        SourceStatus {
            system_id: system.system_id.clone(),
            timeline: system.timeline,
            database: source.info.dbname.clone(),
            server_version: source.version,
            lsn: None,
        }
    }
}

impl SlotStatus {
    /// The slot `name` as it was seen; None when there is none.
    pub(crate) fn of(name: &str, look: &Look) -> Option<Self> {
        look.exists.then(|| SlotStatus {
            name: name.to_owned(),
            active_pid: look.active_pid,
            confirmed_flush_lsn: look.confirmed.map(|lsn| lsn.to_string()),
            wal_status: look.wal_status.clone(),
            wal_held_bytes: look.held,
        })
    }

    fn text(&self) -> String {
        let confirmed = self.confirmed_flush_lsn.as_deref().unwrap_or("nothing");
        let reader =
            self.active_pid.map_or("nobody reads it".to_owned(), |pid| format!("read by {pid}"));
        let held = bytes(self.wal_held_bytes.unwrap_or(0));
        let status = match self.wal_status.as_deref() {
            None | Some("reserved") => String::new(),
            Some(status) => format!(" ({status})"),
        };
        format!("{} ({reader}), confirmed {confirmed}, holds {held} of WAL{status}", self.name)
    }
}

impl ReportStatus {
    /// Only what is worth a line: that it is old.
    fn text(&self) -> Option<String> {
        let age = self.age_seconds.filter(|age| *age >= FRESH_SECONDS)?;
        let (pid, host) = (self.pid, &self.host);
        Some(format!("last report {} ago, of process {pid} on {host}", duration(age)))
    }
}

fn progress_lines(progress: &Progress) -> Vec<String> {
    let mut total = format!(
        "{} of about {} rows, {} of {} tables, {} rows/s",
        progress.rows,
        progress.estimated_rows,
        progress.tables_done,
        progress.tables_total,
        progress.rate
    );
    if let Some(seconds) = progress.remaining_seconds {
        total.push_str(&format!(", {} left", duration(seconds)));
    }
    let of = |table: &apply::TableProgress| match table.done {
        true => format!("{}: {} rows, done", table.table, table.rows),
        false => format!("{}: {} of about {} rows", table.table, table.rows, table.estimated_rows),
    };
    let mut lines = vec![total];
    lines.extend(
        progress
            .tables
            .iter()
            .filter(|table| !table.done || progress.tables_total <= MOST)
            .take(MOST)
            .map(of),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_readers_see_is_told_where_it_is_another_index() {
        let text = r#"{"alias": "p", "table": "public.p", "index": "p-g2", "uuid": "", "histories": [], "shown": "p-g1",
                       "retired": [], "truncations": 0, "plan_hash": ""}"#;
        let mut state: IndexState = serde_json::from_str(text).unwrap();
        let told = |state: &IndexState| IndexStatus::from(state).text();
        assert_eq!(told(&state), "p (p-g2) of public.p, readers see p-g1 until it is shown");
        state.held = true;
        assert!(
            told(&state).ends_with("readers see p-g1, which does not follow the stream (rollback)")
        );
        assert!(IndexStatus::detached(&state).text().ends_with("not followed any more"));
        state.held = false;
        state.shown = Some("p-g2".into());
        assert_eq!(told(&state), "p (p-g2) of public.p");
    }

    #[test]
    fn one_screen() {
        let table = |done| apply::TableProgress {
            table: "public.a".into(),
            rows: 3,
            estimated_rows: 9,
            done,
        };
        let report = |age| ReportStatus {
            updated_at: String::new(),
            age_seconds: Some(age),
            pid: 7,
            host: "h".into(),
        };
        let status = Status {
            state: "copying".into(),
            applied_lsn: Some("0/10".into()),
            visible_lsn: Some("0/8".into()),
            lag_bytes: Some(2048),
            lag_seconds: Some(1.6),
            progress: Some(Progress {
                rows: 6,
                estimated_rows: 12,
                rate: 2,
                remaining_seconds: Some(63),
                tables_done: 1,
                tables_total: 2,
                tables: vec![table(true), table(false)],
            }),
            report: Some(report(40)),
            ..Status::default()
        };
        let expected = "state      copying\n\
                        applied    0/10, searchable 0/8, lag 2.0 KiB and 2 s\n\
                        copy       6 of about 12 rows, 1 of 2 tables, 2 rows/s, 1m 3s left\n\
                        copy       public.a: 3 rows, done\n\
                        copy       public.a: 3 of about 9 rows\n\
                        report     last report 40s ago, of process 7 on h";
        assert_eq!(status.screen(), expected);
        let status = Status { report: Some(report(3)), ..status };
        assert!(!status.screen().contains("report"));
    }
}
