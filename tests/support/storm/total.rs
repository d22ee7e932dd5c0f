//! What came of many runs.

use std::collections::BTreeMap;
use std::fmt;

/// Of one run or of many.
#[derive(Default, Debug)]
pub struct Total {
    pub schedules: u64,
    /// By the name of the strike.
    pub strikes: BTreeMap<&'static str, u64>,
    pub committed: u64,
    pub rolled_back: u64,
    pub failed: u64,
    /// Compared at the end.
    pub rows: u64,
    pub looks: u64,
    /// Answers that were lost, cut or replaced.
    pub spoilt: u64,
    /// Ends of the connector that a restart was the answer to.
    pub restarts: u64,
    /// Deleted keys that were seen again for a while.
    pub reappeared: u64,
}

impl Total {
    pub fn add(&mut self, other: &Total) {
        self.schedules += other.schedules;
        for (name, count) in &other.strikes {
            *self.strikes.entry(name).or_default() += count;
        }
        self.committed += other.committed;
        self.rolled_back += other.rolled_back;
        self.failed += other.failed;
        self.rows += other.rows;
        self.looks += other.looks;
        self.spoilt += other.spoilt;
        self.restarts += other.restarts;
        self.reappeared += other.reappeared;
    }
}

impl fmt::Display for Total {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Total { schedules, committed, rolled_back, failed, rows, looks, .. } = self;
        let strikes: u64 = self.strikes.values().sum();
        writeln!(f, "{schedules} schedules, {strikes} faults:")?;
        for (name, count) in &self.strikes {
            writeln!(f, "  {count:>6} {name}")?;
        }
        writeln!(f, "{} answers lost, cut or replaced", self.spoilt)?;
        writeln!(f, "{} ends of the connector that called for a restart", self.restarts)?;
        writeln!(
            f,
            "{committed} transactions committed, {rolled_back} rolled back, {failed} failed"
        )?;
        writeln!(f, "{rows} rows compared, {looks} looks meanwhile")?;
        write!(f, "{} deleted keys seen again for a while", self.reappeared)
    }
}
