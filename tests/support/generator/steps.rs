//! What a session does next: begins, changes, sets savepoints, ends.

use super::sessions::SESSIONS;
use super::table::Table;
use super::transaction::Transaction;
use super::values::{quoted, text};
use super::{Generator, Step, kinds};

/// Savepoints within savepoints.
const DEEPEST: usize = 4;
const SAVEPOINTS: [&str; 3] = ["s", "\"S p\"", "again"];
/// Prepared at a time.
const MOST_PREPARED: usize = 2;

impl Generator {
    /// One step of one session, or the end of a prepared transaction.
    pub fn step(&mut self) {
        let lane = self.draw.rng.usize(..SESSIONS);
        if !self.prepared.is_empty() && self.draw.one_in(8) {
            self.end_prepared(lane);
        } else if self.open[lane].is_some() {
            self.go_on(lane);
        } else if self.draw.one_in(3) {
            self.alone(lane);
        } else {
            self.begin(lane, true);
            self.sessions.run(lane, kinds::BEGIN, "BEGIN");
            self.change(lane);
        }
    }

    /// So many steps; then everything is ended.
    pub fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        self.finish();
    }

    /// Ends all that is open or prepared.
    pub fn finish(&mut self) {
        for lane in 0..SESSIONS {
            if self.open[lane].is_some() {
                self.commit(lane);
            }
        }
        while !self.prepared.is_empty() {
            self.end_prepared(0);
        }
    }

    fn begin(&mut self, lane: usize, explicit: bool) {
        self.number += 1;
        self.open[lane] = Some(Transaction::new(self.number, lane, explicit));
    }

    /// A statement that is a transaction.
    fn alone(&mut self, lane: usize) {
        self.begin(lane, false);
        match self.draw.rng.u32(..20) {
            0 => self.vacuum_full(lane).unwrap_or_default(),
            1 => self.message(lane),
            2 => self.duplicate(lane).unwrap_or_default(),
            3 => self.add_value(lane).unwrap_or_default(),
            4 => self.truncate(lane).unwrap_or_default(),
            _ => self.change(lane),
        }
        self.end(lane, true);
    }

    fn go_on(&mut self, lane: usize) {
        let steps: &[(u32, Step)] = &[
            (50, Self::change),
            (10, Self::savepoint),
            (8, Self::back_to_savepoint),
            (4, Self::release_savepoint),
            (8, Self::alter),
            (2, |it, lane| it.truncate(lane).unwrap_or_default()),
            (1, |it, lane| it.copy_many(lane).unwrap_or_default()),
            (2, |it, lane| it.duplicate(lane).unwrap_or_default()),
            (3, Self::message),
            (2, Self::temporary),
            (12, Self::commit),
            (3, Self::rollback),
            (4, Self::prepare_transaction),
        ];
        let step = self.weighted(steps);
        step(self, lane);
    }

    fn savepoint(&mut self, lane: usize) {
        let Some(transaction) = &mut self.open[lane] else { return };
        if transaction.depth() < DEEPEST {
            let name = self.draw.pick(&SAVEPOINTS);
            transaction.savepoint(name, &self.world);
            self.sessions.run(lane, kinds::SAVEPOINT, &format!("SAVEPOINT {name}"));
        }
    }

    fn back_to_savepoint(&mut self, lane: usize) {
        let Some(transaction) = &mut self.open[lane] else { return };
        if transaction.depth() > 0 {
            let depth = self.draw.rng.usize(1..=transaction.depth());
            let name = transaction.rollback_to(depth, &mut self.world);
            self.sessions.run(lane, kinds::ROLLBACK_TO, &format!("ROLLBACK TO {name}"));
        }
    }

    fn release_savepoint(&mut self, lane: usize) {
        let Some(transaction) = &mut self.open[lane] else { return };
        if transaction.depth() > 0 {
            let depth = self.draw.rng.usize(1..=transaction.depth());
            let name = transaction.release(depth);
            self.sessions.run(lane, kinds::RELEASE, &format!("RELEASE {name}"));
        }
    }

    fn commit(&mut self, lane: usize) {
        self.sessions.run(lane, kinds::COMMIT, "COMMIT");
        self.end(lane, true);
    }

    fn rollback(&mut self, lane: usize) {
        self.sessions.run(lane, kinds::ROLLBACK, "ROLLBACK");
        self.end(lane, false);
    }

    fn end(&mut self, lane: usize, committed: bool) {
        if let Some(transaction) = self.open[lane].take() {
            self.settle(transaction, committed);
        }
    }

    fn settle(&mut self, mut transaction: Transaction, committed: bool) {
        if !committed {
            transaction.rollback(&mut self.world);
        }
        self.world.release(&transaction);
        self.draw.labels.append(&mut transaction.labels);
    }

    /// What it has claimed it keeps; the session is free.
    fn prepare_transaction(&mut self, lane: usize) {
        let may = |it: &Transaction| !it.temporary;
        if !self.two_phase
            || self.prepared.len() >= MOST_PREPARED
            || !self.open[lane].as_ref().is_some_and(may)
        {
            return;
        }
        let Some(transaction) = self.open[lane].take() else { return };
        let sql = format!("PREPARE TRANSACTION {}", self.global_name(&transaction));
        self.sessions.run(lane, kinds::PREPARE_TRANSACTION, &sql);
        self.prepared.push(transaction);
    }

    fn global_name(&self, transaction: &Transaction) -> String {
        quoted(&format!("{} {}", self.options.publication, transaction.id))
    }

    /// By any session that has no transaction open; if there is none, not yet.
    fn end_prepared(&mut self, lane: usize) {
        if self.open[lane].is_some() {
            return;
        }
        let transaction = self.prepared.swap_remove(self.draw.rng.usize(..self.prepared.len()));
        let name = self.global_name(&transaction);
        let committed = !self.draw.one_in(3);
        let (kind, how) = if committed {
            (kinds::COMMIT_PREPARED, "COMMIT")
        } else {
            (kinds::ROLLBACK_PREPARED, "ROLLBACK")
        };
        self.sessions.run(lane, kind, &format!("{how} PREPARED {name}"));
        self.settle(transaction, committed);
    }

    fn message(&mut self, lane: usize) {
        let (within, kind) =
            if self.draw.rng.bool() { (true, kinds::MESSAGE) } else { (false, kinds::MESSAGE_NOW) };
        let text = quoted(&text::text(&mut self.draw));
        let sql = format!("SELECT pg_logical_emit_message({within}, 'generator', {text})");
        self.sessions.run(lane, kind, &sql);
    }

    fn temporary(&mut self, lane: usize) {
        let text = quoted(&text::text(&mut self.draw));
        self.sessions.run(lane, kinds::TEMPORARY, &format!("INSERT INTO scratch VALUES ({text})"));
        if let Some(transaction) = &mut self.open[lane] {
            transaction.temporary = true;
        }
    }

    /// Writes the table anew; the rows stay what they are.
    fn vacuum_full(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, true, |_| true)?;
        let sql = format!("VACUUM FULL {}", self.world.tables[at].sql());
        self.sessions.run(lane, kinds::VACUUM_FULL, &sql);
        Some(())
    }

    /// Claims one of the tables wanted, for the open transaction of the lane.
    pub(super) fn table(
        &mut self,
        lane: usize,
        whole: bool,
        wanted: impl Fn(&Table) -> bool,
    ) -> Option<usize> {
        let tables = &self.world.tables;
        let mut candidates: Vec<usize> =
            (0..tables.len()).filter(|at| wanted(&tables[*at])).collect();
        self.draw.rng.shuffle(&mut candidates);
        let transaction = self.open[lane].as_mut()?;
        candidates.into_iter().find(|at| self.world.claim(transaction, *at, whole))
    }

    /// The same, with rows that the lane may touch.
    pub(super) fn table_with_row(
        &mut self,
        lane: usize,
        wanted: impl Fn(&Table) -> bool,
    ) -> Option<usize> {
        self.table(lane, false, |table| !table.rows[lane].is_empty() && wanted(table))
    }

    /// One of them, as often as its weight says.
    pub(super) fn weighted<T: Copy>(&mut self, from: &[(u32, T)]) -> T {
        let sum: u32 = from.iter().map(|(weight, _)| weight).sum();
        let mut at = self.draw.rng.u32(..sum);
        for (weight, step) in from {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return *step,
            }
        }
        unreachable!("{at} is below the sum of the weights")
    }
}
