//! A copy as people see it: bars on a terminal, a line now and then elsewhere.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use apply::Progress;
use indicatif::{HumanCount, MultiProgress, ProgressBar, ProgressStyle};
use tokio::task::JoinHandle;

use super::{Copying, duration, is_under_way};
use crate::log;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two lines of the log.
const LINE_EVERY: Duration = Duration::from_secs(5);
/// More tables than this have no bar, and no place in a line.
const MOST: usize = 8;

/// Shows a copy until it is dropped.
pub(crate) struct Shown {
    task: JoinHandle<()>,
    bars: Option<Arc<Mutex<Bars>>>,
}

impl Shown {
    /// Begins to show it.
    pub(crate) fn begin(copying: Arc<Copying>) -> Self {
        if !log::is_for_a_terminal() {
            return Shown { task: tokio::spawn(lines(copying)), bars: None };
        }
        let bars = Arc::new(Mutex::new(Bars::new(log::bars().clone())));
        let drawn = bars.clone();
        let task = tokio::spawn(async move {
            loop {
                drawn.lock().unwrap_or_else(PoisonError::into_inner).draw(&copying.progress());
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        Shown { task, bars: Some(bars) }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.task.abort();
        if let Some(bars) = &self.bars {
            bars.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
    }
}

async fn lines(copying: Arc<Copying>) {
    let mut said = Instant::now();
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        // Looked at all the time, for the rate.
        let progress = copying.progress();
        if said.elapsed() >= LINE_EVERY {
            said = Instant::now();
            say(&progress, copying.doing);
        }
    }
}

fn say(progress: &Progress, doing: &str) {
    let now: Vec<String> = progress
        .tables
        .iter()
        .filter(|table| is_under_way(table))
        .take(MOST)
        .map(|table| format!("{} {} of {}", table.table, table.rows, table.estimated_rows))
        .collect();
    tracing::info!(
        rows = progress.rows,
        estimated = progress.estimated_rows,
        rate = progress.rate,
        remaining = progress.remaining_seconds.map(duration).as_deref().unwrap_or("unknown"),
        tables_done = progress.tables_done,
        tables = progress.tables_total,
        now = now.join(", "),
        "{doing}"
    );
}

/// One bar in total, and one for each table under way.
struct Bars {
    all: MultiProgress,
    total: ProgressBar,
    tables: HashMap<String, ProgressBar>,
    cleared: bool,
}

impl Bars {
    fn new(all: MultiProgress) -> Self {
        let total = all.add(bar("in total"));
        Bars { all, total, tables: HashMap::new(), cleared: false }
    }

    fn draw(&mut self, progress: &Progress) {
        if self.cleared {
            return;
        }
        let under_way: Vec<_> =
            progress.tables.iter().filter(|table| is_under_way(table)).take(MOST).collect();
        self.tables.retain(|name, bar| {
            let stays = under_way.iter().any(|table| table.table == *name);
            if !stays {
                bar.finish_and_clear();
                self.all.remove(bar);
            }
            stays
        });
        for table in under_way {
            let (all, total) = (&self.all, &self.total);
            let bar = self
                .tables
                .entry(table.table.clone())
                .or_insert_with(|| all.insert_before(total, bar(&table.table)));
            bar.set_length(table.estimated_rows);
            bar.set_position(table.rows);
        }
        self.total.set_length(progress.estimated_rows);
        self.total.set_message(pace(progress));
        self.total.set_position(progress.rows);
    }

    fn clear(&mut self) {
        self.cleared = true;
        for bar in self.tables.values().chain([&self.total]) {
            bar.finish_and_clear();
            self.all.remove(bar);
        }
        self.tables.clear();
    }
}

fn bar(name: &str) -> ProgressBar {
    const TEMPLATE: &str = "{prefix:20!} {wide_bar} {human_pos} of {human_len}{msg}";
    let bar = ProgressBar::new(0).with_prefix(name.to_owned());
    match ProgressStyle::with_template(TEMPLATE) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// `, 52,000 rows/s, 3m 20s left`.
fn pace(progress: &Progress) -> String {
    let mut text = format!(", {} rows/s", HumanCount(progress.rate));
    if let Some(seconds) = progress.remaining_seconds {
        text.push_str(&format!(", {} left", duration(seconds)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_the_bars_is_a_good_one() {
        let bar = bar("public.item");
        bar.set_length(10);
        assert_eq!((bar.length(), bar.prefix().as_str()), (Some(10), "public.item"));
    }

    #[test]
    fn the_pace_is_told_for_people() {
        let progress =
            Progress { rate: 52_000, remaining_seconds: Some(200), ..Progress::default() };
        assert_eq!(pace(&progress), ", 52,000 rows/s, 3m 20s left");
        assert_eq!(pace(&Progress::default()), ", 0 rows/s");
    }

    #[test]
    fn only_tables_under_way_have_a_bar() {
        let copying = Copying::new(vec![("a".to_owned(), 1), ("b".to_owned(), 1)]);
        let mut bars = Bars::new(MultiProgress::new());
        copying.add(0, 1);
        bars.draw(&copying.progress());
        assert_eq!(bars.tables.keys().collect::<Vec<_>>(), ["a"]);
        copying.done(0);
        copying.add(1, 1);
        bars.draw(&copying.progress());
        assert_eq!(bars.tables.keys().collect::<Vec<_>>(), ["b"]);
        bars.clear();
        bars.draw(&copying.progress());
        assert!(bars.tables.is_empty());
    }
}
