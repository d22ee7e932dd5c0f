//! What the source says: transactions in commit order, and what the table is after each.

use std::collections::{BTreeMap, BTreeSet};

use change::{CommitLsn, Lsn};
use fastrand::Rng;

use crate::version::Version;

/// One change of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// The row becomes this number.
    Write(&'static str, u64),
    Delete(&'static str),
    Truncate,
}

/// A transaction.
#[derive(Clone, Debug)]
pub(super) struct Transaction {
    pub(super) commit: CommitLsn,
    pub(super) end: Lsn,
    pub(super) changes: Vec<Change>,
}

/// A row: the version of its document and its number.
pub(super) type Row = (u64, u64);

/// The table after a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) rows: BTreeMap<&'static str, Row>,
    /// The version of the last change of each key.
    pub(super) last: BTreeMap<&'static str, u64>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Log {
    pub(super) copied_at: Lsn,
    pub(super) transactions: Vec<Transaction>,
    /// What was copied, and the table after each transaction.
    pub(super) tables: Vec<Table>,
}

const KEYS: [&str; 4] = ["a", "b", "c", "d"];

impl Log {
    /// Rows that were copied at `copied_at`, and then these transactions.
    pub(super) fn new(
        copied_at: Lsn,
        copied: &[(&'static str, u64)],
        transactions: Vec<Transaction>,
    ) -> Self {
        let version = Version::copied(copied_at).get();
        let rows = copied.iter().map(|(key, number)| (*key, (version, *number))).collect();
        let last = copied.iter().map(|(key, _)| (*key, version)).collect();
        let mut tables = vec![Table { rows, last }];
        for transaction in &transactions {
            let next = tables.last().cloned().unwrap_or_default().after(transaction);
            tables.push(next);
        }
        Log { copied_at, transactions, tables }
    }

    /// Some transactions, of which some are larger than a request of `request` operations.
    pub(super) fn random(random: &mut Rng, request: usize) -> Self {
        let copied_at = Lsn::new(8 * random.u64(100..200));
        let mut copied = KEYS.map(|key| (key, random.u64(..1000))).to_vec();
        copied.retain(|_| random.bool());
        let mut numbers = 1000..;
        // The first may commit at the very position of the copy.
        let mut commit = copied_at.get() + 8 * random.u64(..2);
        let mut transactions = Vec::new();
        for _ in 0..random.usize(5..25) {
            let changes = match random.u8(..20) {
                0 => truncation(random, &mut numbers),
                1..4 => large(random, &mut numbers, request),
                _ => small(random, &mut numbers, request),
            };
            let end = commit + 8 * random.u64(1..4);
            transactions.push(Transaction {
                commit: CommitLsn(Lsn::new(commit)),
                end: Lsn::new(end),
                changes,
            });
            commit = end + 8 * random.u64(..20);
        }
        Log::new(copied_at, &copied, transactions)
    }

    /// The table after everything.
    pub(super) fn end(&self) -> &Table {
        &self.tables[self.transactions.len()]
    }

    /// How many transactions end at or before `at`.
    pub(super) fn up_to(&self, at: Lsn) -> usize {
        self.transactions.partition_point(|transaction| transaction.end <= at)
    }
}

/// Fits one request: a key may come as often as it likes.
fn small(random: &mut Rng, numbers: &mut impl Iterator<Item = u64>, request: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    let count = random.usize(1..request);
    while changes.len() < count {
        let (key, other) = (KEYS[random.usize(..KEYS.len())], KEYS[random.usize(..KEYS.len())]);
        match random.u8(..5) {
            0 | 1 => changes.extend(numbers.next().map(|number| Change::Write(key, number))),
            2 | 3 => changes.push(Change::Delete(key)),
            // Two rows take each other's keys.
            _ => {
                changes.extend([Change::Delete(key), Change::Delete(other)]);
                changes.extend(numbers.next().map(|number| Change::Write(other, number)));
                changes.extend(numbers.next().map(|number| Change::Write(key, number)));
            }
        }
    }
    changes.truncate(request - 1);
    changes
}

/// Takes several requests. A key that comes twice is deleted at the end of it: what remains open between two documents of
/// one version is told in ARCHITECTURE.md.
fn large(random: &mut Rng, numbers: &mut impl Iterator<Item = u64>, request: usize) -> Vec<Change> {
    let mut changes = Vec::new();
    let mut written = BTreeSet::new();
    for key in KEYS {
        match random.u8(..4) {
            0 => changes.push(Change::Delete(key)),
            _ => {
                changes.extend(numbers.next().map(|number| Change::Write(key, number)));
                written.insert(key);
            }
        }
    }
    random.shuffle(&mut changes);
    let twice: Vec<_> = written.into_iter().filter(|_| random.bool()).collect();
    changes.extend(twice.into_iter().map(Change::Delete));
    debug_assert!(changes.len() >= request);
    changes
}

fn truncation(random: &mut Rng, numbers: &mut impl Iterator<Item = u64>) -> Vec<Change> {
    let mut changes = vec![Change::Truncate];
    for key in KEYS.iter().filter(|_| random.bool()) {
        changes.extend(numbers.next().map(|number| Change::Write(key, number)));
    }
    changes
}

impl Table {
    fn after(mut self, transaction: &Transaction) -> Table {
        let version = Version::streamed(transaction.commit, 0).get();
        for change in &transaction.changes {
            match change {
                Change::Write(key, number) => {
                    self.rows.insert(key, (version, *number));
                    self.last.insert(key, version);
                }
                Change::Delete(key) => {
                    self.rows.remove(key);
                    self.last.insert(key, version);
                }
                Change::Truncate => {
                    self.rows.clear();
                    self.last = KEYS.iter().map(|key| (*key, version)).collect();
                }
            }
        }
        self
    }
}
