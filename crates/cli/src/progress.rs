//! How far a copy is: a log line now and then.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const LINE_EVERY: Duration = Duration::from_secs(5);

/// A copy under way. Whoever copies tells what has been done, from any task; whoever shows it looks when it likes.
pub(crate) struct Copying {
    tables: Vec<TableProgress>,
    began: Instant,
    said: Mutex<Instant>,
}

/// One table of a copy.
pub(crate) struct TableProgress {
    pub(crate) table: String,
    rows: AtomicU64,
    /// What the statistics of the server say, corrected as the copy goes; 0 if nothing.
    estimate: AtomicU64,
    done: AtomicBool,
}

impl Copying {
    /// With the estimated number of rows of each table.
    pub(crate) fn new(tables: Vec<(String, u64)>) -> Self {
        let now = Instant::now();
        let tables = tables
            .into_iter()
            .map(|(table, estimate)| TableProgress {
                table,
                rows: AtomicU64::new(0),
                estimate: AtomicU64::new(estimate),
                done: AtomicBool::new(false),
            })
            .collect();
        Copying { tables, began: now, said: Mutex::new(now) }
    }

    /// `rows` more of the table at `at` are on their way.
    pub(crate) fn add(&self, at: usize, rows: u64) {
        let Some(table) = self.tables.get(at) else { return };
        let rows = table.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        table.estimate.fetch_max(rows, Ordering::Relaxed);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() > LINE_EVERY {
            *said = Instant::now();
            tracing::info!(table = %table.table, rows, rate = self.rate(rows), "copying");
        }
    }

    /// By what has been read of it, the table at `at` has about so many rows.
    pub(crate) fn estimate(&self, at: usize, rows: u64) {
        if let Some(table) = self.tables.get(at) {
            table.estimate.store(rows.max(table.rows.load(Ordering::Relaxed)), Ordering::Relaxed);
        }
    }

    /// All rows of the table at `at` are on their way.
    pub(crate) fn done(&self, at: usize) {
        let Some(table) = self.tables.get(at) else { return };
        table.done.store(true, Ordering::Relaxed);
        let rows = table.rows.load(Ordering::Relaxed);
        tracing::info!(table = %table.table, rows, rate = self.rate(rows), "copied");
    }

    /// Rows per second.
    fn rate(&self, rows: u64) -> u64 {
        let micros = self.began.elapsed().as_micros().max(1);
        u64::try_from(u128::from(rows) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}
