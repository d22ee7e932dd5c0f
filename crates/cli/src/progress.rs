//! How far the copy is: bars on a terminal, a log line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use indicatif::{HumanFloatCount, ProgressBar, ProgressState, ProgressStyle};

const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress of one table.
pub(crate) struct Progress {
    table: String,
    rows: u64,
    bar: Option<ProgressBar>,
    began: Instant,
    said: Instant,
}

impl Progress {
    /// `estimate` is what the statistics of the server say, 0 if nothing.
    pub(crate) fn new(table: String, estimate: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(estimate);
            let style = if estimate > 0 {
                "{msg} {bar:30} {human_pos}/{human_len} rows, {rate} rows/s, {eta} left"
            } else {
                "{msg} {spinner} {human_pos} rows, {rate} rows/s"
            };
            if let Ok(style) = ProgressStyle::with_template(style) {
                let rate = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                    let _ = write!(out, "{}", HumanFloatCount(state.per_sec().round()));
                };
                bar.set_style(style.with_key("rate", rate));
            }
            bar.set_message(table.clone());
            bar
        });
        let now = Instant::now();
        Progress { table, rows: 0, bar, began: now, said: now }
    }

    pub(crate) fn add(&mut self, rows: u64) {
        self.rows += rows;
        match &self.bar {
            Some(bar) => {
                // Statistics may be old.
                if bar.length().is_some_and(|length| length > 0 && length < self.rows) {
                    bar.set_length(self.rows);
                }
                bar.set_position(self.rows);
            }
            None if self.said.elapsed() > LINE_EVERY => {
                self.said = Instant::now();
                tracing::info!(table = %self.table, rows = self.rows, rate = self.rate(), "copying");
            }
            None => {}
        }
    }

    pub(crate) fn finish(self) -> u64 {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        tracing::info!(table = %self.table, rows = self.rows, rate = self.rate(), "copied");
        self.rows
    }

    /// Rows per second.
    fn rate(&self) -> u64 {
        let micros = self.began.elapsed().as_micros().max(1);
        u64::try_from(u128::from(self.rows) * 1_000_000 / micros).unwrap_or(u64::MAX)
    }
}
