//! Some of the buckets.

use std::hash::{DefaultHasher, Hasher as _};
use std::sync::atomic::{AtomicU64, Ordering};

/// How many buckets there are: few enough for 16 MiB of sums, so many that of a table of ten million rows about ten are in
/// one.
pub(crate) const BUCKETS: usize = 1 << 20;
const WORD: usize = 64;

/// The bucket of a document. The same within one process.
pub(crate) fn bucket(id: &[u8]) -> usize {
    let mut hasher = DefaultHasher::new();
    hasher.write(id);
    usize::try_from(hasher.finish() % (BUCKETS as u64)).unwrap_or(0)
}

/// A set of buckets. It can be asked by many at once while one takes some away.
pub struct Selection {
    bits: Vec<AtomicU64>,
}

impl Selection {
    /// The buckets that `wanted` says.
    pub(crate) fn of(wanted: impl Fn(usize) -> bool) -> Self {
        let word = |from: usize| {
            let bit = |at: usize| u64::from(wanted(from * WORD + at)) << at;
            AtomicU64::new((0..WORD).map(bit).fold(0, |word, bit| word | bit))
        };
        Selection { bits: (0..BUCKETS / WORD).map(word).collect() }
    }

    /// No bucket.
    pub fn none() -> Self {
        Selection::of(|_| false)
    }

    /// The document's bucket is one of them.
    pub fn contains(&self, id: &[u8]) -> bool {
        self.has(bucket(id))
    }

    /// How many.
    pub fn len(&self) -> usize {
        let ones = |word: &AtomicU64| word.load(Ordering::Relaxed).count_ones() as usize;
        self.bits.iter().map(ones).sum()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn has(&self, bucket: usize) -> bool {
        let word = self.bits.get(bucket / WORD).map_or(0, |word| word.load(Ordering::Relaxed));
        word >> (bucket % WORD) & 1 == 1
    }

    /// Moves the last half of them to `to`. Nothing when there are fewer than two.
    pub(crate) fn give_half(&self, to: &Selection) {
        let half = self.len() / 2;
        let last = (0..BUCKETS).rev().filter(|bucket| self.has(*bucket)).take(half);
        for bucket in last {
            let bit = 1 << (bucket % WORD);
            let word = bucket / WORD;
            if let (Some(from), Some(to)) = (self.bits.get(word), to.bits.get(word)) {
                from.fetch_and(!bit, Ordering::Relaxed);
                to.fetch_or(bit, Ordering::Relaxed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_disjoint_and_complete() {
        let (all, rest) = (Selection::of(|bucket| bucket % 3 == 0), Selection::none());
        let before = all.len();
        all.give_half(&rest);
        assert_eq!(all.len() + rest.len(), before);
        assert!(all.len() - rest.len() <= 1);
        assert!(
            (0..BUCKETS).all(|bucket| (all.has(bucket) ^ rest.has(bucket)) == (bucket % 3 == 0))
        );
        let one = Selection::of(|bucket| bucket == 7);
        one.give_half(&rest);
        assert_eq!(one.len(), 1, "one bucket can't be divided");
    }
}
