//! How far a copy is.
//!
//! Whoever copies tells what has been done, from any task, which costs it two additions. Whoever shows it looks when it
//! likes: [`Shown`] on a terminal or in the log, the report and the HTTP endpoint by [`Copying::progress`].

mod meter;
mod shown;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use apply::Progress;

pub(crate) use meter::Meter;
pub(crate) use shown::Shown;

/// More tables than this are not told one by one.
const MOST: usize = 500;

/// A copy under way.
pub(crate) struct Copying {
    tables: Vec<TableProgress>,
    /// What is done to them, for the log: `copying`.
    doing: &'static str,
    began: Instant,
    meter: Mutex<Meter>,
}

/// One table of a copy.
struct TableProgress {
    table: String,
    rows: AtomicU64,
    /// What the statistics of the server say; 0 if nothing. Never less than `rows` when it is shown.
    estimate: AtomicU64,
    done: AtomicBool,
}

impl TableProgress {
    fn now(&self) -> apply::TableProgress {
        let rows = self.rows.load(Ordering::Relaxed);
        let done = self.done.load(Ordering::Relaxed);
        let estimated_rows =
            if done { rows } else { self.estimate.load(Ordering::Relaxed).max(rows) };
        apply::TableProgress { table: self.table.clone(), rows, estimated_rows, done }
    }
}

impl Copying {
    /// With the estimated number of rows of each table.
    pub(crate) fn new(tables: Vec<(String, u64)>) -> Self {
        Self::of(tables, "copying")
    }

    /// A comparison, of tables and indices.
    pub(crate) fn comparing(tables: Vec<(String, u64)>) -> Self {
        Self::of(tables, "comparing")
    }

    fn of(tables: Vec<(String, u64)>, doing: &'static str) -> Self {
        let began = Instant::now();
        let tables = tables
            .into_iter()
            .map(|(table, estimate)| TableProgress {
                table,
                rows: AtomicU64::new(0),
                estimate: AtomicU64::new(estimate),
                done: AtomicBool::new(false),
            })
            .collect();
        Copying { tables, doing, began, meter: Mutex::new(Meter::new(began)) }
    }

    /// `rows` more of the table at `at` are on their way.
    pub(crate) fn add(&self, at: usize, rows: u64) {
        if let Some(table) = self.tables.get(at) {
            table.rows.fetch_add(rows, Ordering::Relaxed);
        }
    }

    /// The table at `at` has `rows` rows, as far as can be told by now.
    #[cfg_attr(not(test), allow(dead_code, reason = "for copies that learn more on the way"))]
    pub(crate) fn estimate(&self, at: usize, rows: u64) {
        if let Some(table) = self.tables.get(at) {
            table.estimate.store(rows, Ordering::Relaxed);
        }
    }

    /// All rows of the table at `at` are on their way.
    pub(crate) fn done(&self, at: usize) {
        let Some(table) = self.tables.get(at) else { return };
        table.done.store(true, Ordering::Relaxed);
        let rows = table.rows.load(Ordering::Relaxed);
        tracing::info!(table = %table.table, rows, seconds = self.began.elapsed().as_secs(), "copied");
    }

    /// How far it is now.
    pub(crate) fn progress(&self) -> Progress {
        let mut tables: Vec<_> = self.tables.iter().map(TableProgress::now).collect();
        let rows = tables.iter().map(|table| table.rows).sum();
        let estimated_rows = tables.iter().map(|table| table.estimated_rows).sum();
        let rate = {
            let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
            meter.rate(Instant::now(), rows)
        };
        let (tables_done, tables_total) =
            (tables.iter().filter(|table| table.done).count(), tables.len());
        if tables.len() > MOST {
            tables.sort_by_key(|table| (!is_under_way(table), table.done));
            tables.truncate(MOST);
        }
        let remaining_seconds =
            remaining(rows, estimated_rows, rate).filter(|_| tables_done < tables_total);
        Progress {
            rows,
            estimated_rows,
            rate,
            remaining_seconds,
            tables_done,
            tables_total,
            tables,
        }
    }
}

/// Some of its rows are copied.
fn is_under_way(table: &apply::TableProgress) -> bool {
    !table.done && table.rows > 0
}

/// Seconds, if the estimate holds; none when it has been passed, or when nothing moves.
fn remaining(rows: u64, estimated: u64, rate: u64) -> Option<u64> {
    let left = estimated.checked_sub(rows).filter(|left| *left > 0)?;
    left.checked_div(rate).map(|seconds| seconds.max(1))
}

/// `1h 2m 3s` of seconds.
pub(crate) fn duration(seconds: u64) -> String {
    humantime::format_duration(Duration::from_secs(seconds)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn estimates_are_corrected_on_the_way() {
        let copying =
            Copying::new(vec![("a".to_owned(), 10), ("b".to_owned(), 0), ("c".to_owned(), 5)]);
        copying.add(0, 4);
        copying.add(1, 7);
        copying.add(9, 1);
        let estimates = |progress: &Progress| {
            let of = |table: &apply::TableProgress| table.estimated_rows;
            progress.tables.iter().map(of).collect::<Vec<_>>()
        };
        let progress = copying.progress();
        assert_eq!(estimates(&progress), [10, 7, 5]);
        assert_eq!((progress.rows, progress.estimated_rows, progress.tables_done), (11, 22, 0));
        copying.done(0);
        copying.estimate(2, 50);
        let progress = copying.progress();
        assert_eq!(estimates(&progress), [4, 7, 50]);
        assert_eq!((progress.estimated_rows, progress.tables_done), (61, 1));
    }

    #[test]
    fn the_time_that_remains() {
        assert_eq!(remaining(0, 1000, 100), Some(10));
        assert_eq!(remaining(999, 1000, 100), Some(1));
        assert_eq!(remaining(1000, 1000, 100), None);
        assert_eq!(remaining(0, 1000, 0), None);
        assert_eq!(duration(3723), "1h 2m 3s");
    }

    #[test]
    fn of_many_tables_those_under_way_are_told() {
        let many = (0..600).map(|n| (format!("t{n}"), 1)).collect();
        let copying = Copying::new(many);
        copying.add(599, 1);
        let progress = copying.progress();
        assert_eq!((progress.tables.len(), progress.tables_total), (MOST, 600));
        assert_eq!(progress.tables[0].table, "t599");
    }
}
