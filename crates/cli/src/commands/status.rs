//! `wal2es status`: one screen.
//!
//! What is true comes from the servers and the state document. What only the running process knows, how far a copy is and
//! for how long the index has been behind, comes from its report, as long as that is fresh.

use std::process::ExitCode;
use std::time::SystemTime;

use apply::{Report, State, Step};
use serde_json::{Value, json};

use super::{Installation, answer};
use crate::config::Config;
use crate::failure::Failure;
use crate::limits::{self, Look};
use crate::position;
use crate::status::{FRESH_SECONDS, IndexStatus, ReportStatus, SlotStatus, SourceStatus, Status};

pub(super) async fn perform(config: &Config, json: bool) -> Result<ExitCode, Failure> {
    let found = Installation::find(config).await?;
    let current = position::current(&found.source.client).await?;
    let slot = &config.source.slot;
    let look = Look::take(&found.source.client, slot, found.source.version).await?;
    // Before the first run there is no index to look into, and nothing depends on it.
    let report = found.reports(config).load().await.unwrap_or_default();

    let mut status = Status { state: describe(&found, &look).to_owned(), ..Status::default() };
    let source = SourceStatus::of(&found.system, &found.source);
    status.source = Some(SourceStatus { lsn: Some(current.to_string()), ..source });
    status.target = Some(found.target.info().to_string());
    status.slot = SlotStatus::of(slot, &look);
    status.wal_held_bytes = look.held;
    status.safe_wal_size = look.safe_wal_size;
    status.warnings = limits::warnings(&look, slot, config.source.max_wal_held as u64);
    if config.by_events() {
        let taken = match &found.state {
            Some(state) => !crate::run::is_unread(&found.source, state).await?,
            None => false,
        };
        let events = crate::events::status(config, &found.source, taken).await?;
        status.state = of_tables(&found, &events, "no table of events").to_owned();
        status.events = Some(events).filter(|events| !events.is_null());
    }
    if config.by_queue() {
        let queue = crate::queue::status(config, &found.source).await?;
        status.state = of_tables(&found, &queue, "no queue").to_owned();
        status.queue = Some(queue).filter(|queue| !queue.is_null());
    }
    if let Some(state) = &found.state {
        status.generation = Some(state.generation);
        status.applied_lsn = Some(state.applied_lsn.to_string());
        status.visible_lsn = Some(state.visible_lsn.to_string());
        status.lag_bytes = Some(current.since(state.applied_lsn));
        status.needs_resync = state.needs_resync.clone();
        status.dead_letters = Some(found.dead_letters().await?);
        status.indexes = state.indexes.iter().map(Into::into).collect();
        status.indexes.extend(state.detached.iter().map(IndexStatus::detached));
    }
    if let Some(report) = report {
        reported(&mut status, report);
    }
    answer(json, &json!(status), || match &status.slot {
        _ if !config.by_log() => status.screen(),
        Some(_) => status.screen(),
        None => format!("{}\nslot       {slot} is not there: run `wal2es setup`", status.screen()),
    });
    Ok(ExitCode::SUCCESS)
}

fn describe(found: &Installation, look: &Look) -> &'static str {
    match (&found.state, look.wal_status.as_deref()) {
        _ if !look.exists => "no slot",
        (_, Some("lost")) => "slot lost",
        (None, _) => "never run",
        (Some(State { needs_resync: Some(_), .. }), _) => "needs resync",
        (Some(State { step: Step::Copying, .. }), _) => "copying",
        (Some(_), _) if look.active_pid.is_some() => "streaming",
        (Some(_), _) => "stopped",
    }
}

fn of_tables(found: &Installation, taken: &Value, none: &'static str) -> &'static str {
    match &found.state {
        _ if taken.is_null() => none,
        None => "never run",
        Some(State { needs_resync: Some(_), .. }) => "needs resync",
        Some(State { step: Step::Copying, .. }) => "copying",
        Some(_) if taken["taken"] == true => "streaming",
        Some(_) => "stopped",
    }
}

/// Adds what the process reports. How fast things go is told of the present only, how far a copy is of the past too.
fn reported(status: &mut Status, report: Report) {
    let written = humantime::parse_rfc3339_weak(&report.updated_at).ok();
    // Another machine's clock may be ahead of ours.
    let age = written.map(|at| SystemTime::now().duration_since(at).unwrap_or_default().as_secs());
    if age.is_some_and(|age| age < FRESH_SECONDS) {
        status.lag_seconds = report.lag_seconds;
        status.rate = report.rate;
        status.suspects = report.suspects;
        status.progress = report.progress;
    } else if status.state == "copying" {
        status.progress = report.progress;
    }
    status.report = Some(ReportStatus {
        updated_at: report.updated_at,
        age_seconds: age,
        pid: report.pid,
        host: report.host,
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use apply::Progress;

    use super::*;

    fn after(age: Duration, state: &str) -> Status {
        let mut status = Status { state: state.to_owned(), ..Status::default() };
        let at = SystemTime::now() - age;
        let report = Report {
            updated_at: humantime::format_rfc3339_seconds(at).to_string(),
            lag_seconds: Some(0.5),
            progress: Some(Progress::default()),
            ..Report::default()
        };
        reported(&mut status, report);
        status
    }

    #[test]
    fn an_old_report_says_nothing_of_the_present() {
        let fresh = after(Duration::from_secs(2), "streaming");
        assert!(fresh.lag_seconds == Some(0.5) && fresh.progress.is_some());
        assert!(after(Duration::from_secs(100), "stopped").progress.is_none());
        let old = after(Duration::from_secs(100), "copying");
        assert_eq!(old.lag_seconds, None);
        assert!(old.progress.is_some());
        assert!(old.screen().contains("last report 1m 4"), "{}", old.screen());
    }

    #[test]
    fn a_report_without_a_time_is_not_fresh() {
        let mut status = Status::default();
        reported(&mut status, Report { lag_seconds: Some(1.0), ..Report::default() });
        assert_eq!(status.lag_seconds, None);
    }
}
