//! What is to be copied, and how much of it has been: shared by all workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use change::Table;
use document::Plan;
use snapshot::Range;

use crate::progress::Copying;

/// A table and how its rows become documents.
pub(super) struct Followed {
    pub(super) table: Table,
    pub(super) plan: Plan,
}

/// See the module.
pub(super) struct Work {
    tables: Vec<Task>,
    /// The number of the table, and its range.
    ranges: Vec<(usize, Range)>,
    next: AtomicUsize,
    pub(super) progress: Arc<Copying>,
}

/// One table.
struct Task {
    followed: Followed,
    pages: u64,
    left: AtomicUsize,
    /// Of the ranges that are done.
    rows: AtomicU64,
    pages_done: AtomicU64,
}

/// A range to be copied.
pub(super) struct Job<'a> {
    /// The number of the table, which is that of its index.
    pub(super) at: usize,
    pub(super) followed: &'a Followed,
    pub(super) range: &'a Range,
}

impl Work {
    /// All ranges of all tables, to be done in this order.
    pub(super) fn new(tables: Vec<(Followed, Vec<Range>)>, progress: Arc<Copying>) -> Self {
        let (mut tasks, mut all) = (Vec::new(), Vec::new());
        for (at, (followed, ranges)) in tables.into_iter().enumerate() {
            tasks.push(Task {
                followed,
                pages: ranges.iter().map(|range| u64::from(range.pages())).sum(),
                left: AtomicUsize::new(ranges.len()),
                rows: AtomicU64::new(0),
                pages_done: AtomicU64::new(0),
            });
            if ranges.is_empty() {
                progress.done(at);
            }
            all.extend(ranges.into_iter().map(|range| (at, range)));
        }
        Work { tables: tasks, ranges: all, next: AtomicUsize::new(0), progress }
    }

    /// The next range that nobody has.
    pub(super) fn next(&self) -> Option<Job<'_>> {
        let (at, range) = self.ranges.get(self.next.fetch_add(1, Ordering::Relaxed))?;
        let task = self.tables.get(*at)?;
        Some(Job { at: *at, followed: &task.followed, range })
    }

    /// All `rows` of the range have been read.
    pub(super) fn done(&self, job: &Job<'_>, rows: u64) {
        let Some(task) = self.tables.get(job.at) else { return };
        let rows = task.rows.fetch_add(rows, Ordering::Relaxed) + rows;
        let pages = u64::from(job.range.pages());
        let pages = task.pages_done.fetch_add(pages, Ordering::Relaxed) + pages;
        if let Some(estimate) = (rows * task.pages).checked_div(pages) {
            self.progress.estimate(job.at, estimate);
        }
        if task.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.progress.done(job.at);
        }
    }

    /// The rows of each table, of the ranges that are done.
    pub(super) fn rows(&self) -> Vec<u64> {
        self.tables.iter().map(|task| task.rows.load(Ordering::Acquire)).collect()
    }
}
