//! Who holds which rows, and what a rollback brings back.
//!
//! A transaction claims before it touches: rows of its lane in a table (shared), or the whole table (for DDL and TRUNCATE).
//! So no session ever waits for another, and what each transaction sees is known. A claim ends with the transaction, for
//! a prepared one when that is ended.

use std::collections::BTreeMap;

use super::sessions::SESSIONS;
use super::table::Table;

/// An open or prepared transaction.
pub struct Transaction {
    pub id: u32,
    /// The session, and the rows that it may touch.
    pub lane: usize,
    /// Begun by BEGIN; else it is a single statement.
    pub explicit: bool,
    /// It has touched what can't be prepared.
    pub temporary: bool,
    /// Labels that it added to the enum.
    pub labels: Vec<String>,
    levels: Vec<Level>,
}

/// What was there at the begin or at a savepoint, of the tables that are claimed.
struct Level {
    savepoint: String,
    tables: BTreeMap<usize, Table>,
    labels: usize,
}

impl Transaction {
    pub fn new(id: u32, lane: usize, explicit: bool) -> Self {
        let begin = Level { savepoint: String::new(), tables: BTreeMap::new(), labels: 0 };
        Transaction {
            id,
            lane,
            explicit,
            temporary: false,
            labels: Vec::new(),
            levels: vec![begin],
        }
    }

    /// How many savepoints are set.
    pub fn depth(&self) -> usize {
        self.levels.len() - 1
    }

    pub fn savepoint(&mut self, name: &str, world: &World) {
        let claimed = self.levels[0].tables.keys();
        let tables = claimed.map(|at| (*at, world.tables[*at].clone())).collect();
        let savepoint = name.to_owned();
        self.levels.push(Level { savepoint, tables, labels: self.labels.len() });
    }

    /// Forgets the newest savepoint of the name that the one at `depth` has, and all behind it. Its name.
    pub fn release(&mut self, depth: usize) -> String {
        let at = self.newest_of_that_name(depth);
        let name = self.levels[at].savepoint.clone();
        self.levels.truncate(at);
        name
    }

    /// Goes back to the newest savepoint of that name, which stays. Its name.
    pub fn rollback_to(&mut self, depth: usize, world: &mut World) -> String {
        let at = self.newest_of_that_name(depth);
        self.levels.truncate(at + 1);
        self.restore(at, world);
        self.levels[at].savepoint.clone()
    }

    /// A savepoint hides an older one of its name.
    fn newest_of_that_name(&self, depth: usize) -> usize {
        let name = &self.levels[depth].savepoint;
        self.levels.iter().rposition(|level| level.savepoint == *name).unwrap()
    }

    /// Everything is as it was at the begin.
    pub fn rollback(&mut self, world: &mut World) {
        self.restore(0, world);
    }

    fn restore(&mut self, level: usize, world: &mut World) {
        let level = &self.levels[level];
        for (at, saved) in &level.tables {
            if world.is_owned(*at, self.id) {
                world.tables[*at] = saved.clone();
            } else {
                world.tables[*at].rows[self.lane] = saved.rows[self.lane].clone();
            }
        }
        self.labels.truncate(level.labels);
    }
}

/// All tables, and the claims on them.
#[derive(Default)]
pub struct World {
    pub tables: Vec<Table>,
    owners: Vec<[Option<u32>; SESSIONS]>,
}

impl World {
    /// Its number.
    pub fn add(&mut self, table: Table) -> usize {
        self.tables.push(table);
        self.owners.push([None; SESSIONS]);
        self.tables.len() - 1
    }

    /// Claims the table, and its relative, for the transaction; unless another one stands in the way.
    pub fn claim(&mut self, transaction: &mut Transaction, table: usize, whole: bool) -> bool {
        let both = std::iter::once(table).chain(self.tables[table].relative);
        let lanes = if whole { 0..SESSIONS } else { transaction.lane..transaction.lane + 1 };
        let free = |owner: &Option<u32>| owner.is_none_or(|owner| owner == transaction.id);
        if !both.clone().all(|at| self.owners[at][lanes.clone()].iter().all(free)) {
            return false;
        }
        for at in both {
            let owned = self.is_owned(at, transaction.id);
            self.owners[at][lanes.clone()].fill(Some(transaction.id));
            self.save(transaction, at, !owned);
        }
        true
    }

    /// Into every level that has not got it. The rows of other lanes may have changed until the table is owned.
    fn save(&self, transaction: &mut Transaction, at: usize, refresh: bool) {
        let now = &self.tables[at];
        for level in &mut transaction.levels {
            let saved = level.tables.entry(at).or_insert_with(|| now.clone());
            for lane in (0..SESSIONS).filter(|lane| refresh && *lane != transaction.lane) {
                saved.rows[lane] = now.rows[lane].clone();
            }
        }
    }

    /// Whether the transaction has claimed the whole table.
    fn is_owned(&self, table: usize, transaction: u32) -> bool {
        self.owners[table].iter().all(|owner| *owner == Some(transaction))
    }

    /// Ends all claims of a transaction.
    pub fn release(&mut self, transaction: &Transaction) {
        for owner in self.owners.iter_mut().flatten() {
            if *owner == Some(transaction.id) {
                *owner = None;
            }
        }
    }
}
