//! The first pass: one sum for each bucket.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::judge::Versions;
use crate::selection::{BUCKETS, bucket};
use crate::{Fingerprint, Selection};

/// Rows are added, documents taken away, in any order and by any number of readers at once. 16 MiB, whatever there is.
pub struct Sums {
    buckets: Vec<[AtomicU64; 2]>,
    foreign: Mutex<Vec<Box<[u8]>>>,
    most_foreign: usize,
}

impl Sums {
    /// Nothing is added yet. No more than `most_foreign` ids of documents with a foreign version are kept.
    pub fn new(most_foreign: usize) -> Self {
        let buckets = (0..BUCKETS).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]).collect();
        Sums { buckets, foreign: Mutex::default(), most_foreign }
    }

    /// A row, made a document.
    pub fn row(&self, id: &[u8], source: &[u8]) {
        self.change(id, source, |sum, by| sum.fetch_add(by, Ordering::Relaxed));
    }

    /// A document of the index. One whose version is none of `versions` is remembered.
    pub fn document(&self, id: &[u8], source: &[u8], version: u64, versions: Versions) {
        self.change(id, source, |sum, by| sum.fetch_sub(by, Ordering::Relaxed));
        if versions.is_foreign(version) {
            let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
            if foreign.len() < self.most_foreign {
                foreign.push(id.into());
            }
        }
    }

    fn change(&self, id: &[u8], source: &[u8], by: fn(&AtomicU64, u64) -> u64) {
        if let Some(sums) = self.buckets.get(bucket(id)) {
            let [first, second] = Fingerprint::of(id, source).halves();
            by(&sums[0], first);
            by(&sums[1], second);
        }
    }

    /// The buckets in which something differs.
    pub fn differing(&self) -> Selection {
        let is_zero = |sum: &AtomicU64| sum.load(Ordering::Relaxed) == 0;
        Selection::of(|at| self.buckets.get(at).is_some_and(|sums| !sums.iter().all(is_zero)))
    }

    /// The ids of documents with a version that no commit can have given them.
    pub fn foreign(&self) -> Vec<Box<[u8]>> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
