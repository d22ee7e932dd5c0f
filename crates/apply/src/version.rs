//! The version that each document carries in the index.
//!
//! `((C >> 3) << 12) | seg`, where `C` is the position of the commit record and `seg` counts the transaction's row
//! changes by 65,536. It is made of the commit and not of the change, because changes are neither unique nor in
//! commit order: an INSERT that waits for a unique key is logged before the DELETE that it waits for and commits after
//! it, so versions made of change positions would delete the living row for good. `seg` 0 is kept for rows of a copy
//! at `C`, because the first streamed transaction may commit at the very position of the snapshot without being in it.
//!
//! The formula is part of the interface: `_version` of every document says which commit wrote it.

use std::fmt;

use change::{CommitLsn, Lsn};

/// An external version, as the target keeps it in `_version`. Rises with the commits; within one commit with `seg`.
///
/// It passes 2^53 after 16 TiB of log, so it is printed as a string wherever JSON readers might lose digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u64);

/// The number of the formula above, kept in the state and in each index so that another one is noticed.
pub const FORMULA: u32 = 1;

const SEGMENT_BITS: u32 = 12;
const MAX_SEGMENT: u64 = (1 << SEGMENT_BITS) - 1;
const CHANGES_PER_SEGMENT: u64 = 65_536;

impl Version {
    /// Of a row copied at the consistent point `at`.
    pub const fn copied(at: Lsn) -> Self {
        Version((at.get() >> 3) << SEGMENT_BITS)
    }

    /// Of the row change number `ordinal` (from 0) of the transaction that commits at `commit`. The ordinal counts
    /// every row change of the transaction, also of tables that are not indexed: a replay must count the same.
    pub const fn streamed(commit: CommitLsn, ordinal: u64) -> Self {
        Version(Self::copied(commit.0).0 | Self::segment_of(ordinal))
    }

    /// The segment that change number `ordinal` belongs to, 1 to 4095.
    pub const fn segment_of(ordinal: u64) -> u64 {
        let segment = 1 + ordinal / CHANGES_PER_SEGMENT;
        if segment < MAX_SEGMENT { segment } else { MAX_SEGMENT }
    }

    /// The version that the target printed.
    pub const fn from_raw(raw: u64) -> Self {
        Version(raw)
    }

    /// As the target takes it.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The commit, or the consistent point of the copy.
    pub const fn commit(self) -> Lsn {
        Lsn::new((self.0 >> SEGMENT_BITS) << 3)
    }

    /// Written by a copy rather than by the stream.
    pub const fn is_copied(self) -> bool {
        self.0 & MAX_SEGMENT == 0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} segment {})", self.0, self.commit(), self.0 & MAX_SEGMENT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: CommitLsn = CommitLsn(Lsn::new(0x1_5370_28C8));

    #[test]
    fn a_copy_at_a_commit_is_older_than_the_commit_itself() {
        assert!(Version::copied(C.0) < Version::streamed(C, 0));
        assert!(Version::copied(C.0).is_copied() && !Version::streamed(C, 0).is_copied());
    }

    #[test]
    fn the_formula_is_the_published_one() {
        assert_eq!(Version::streamed(C, 0).get(), ((C.0.get() >> 3) << 12) | 1);
        assert_eq!(Version::streamed(C, 65_535).get() & 4095, 1);
        assert_eq!(Version::streamed(C, 65_536).get() & 4095, 2);
        assert_eq!(Version::streamed(C, u64::MAX).get() & 4095, 4095);
        assert_eq!(Version::streamed(C, 70_000).commit(), C.0);
    }

    #[test]
    fn the_next_commit_is_newer_than_the_last_segment_of_this_one() {
        let next = CommitLsn(Lsn::new(C.0.get() + 8));
        assert!(Version::streamed(C, u64::MAX) < Version::copied(next.0));
    }

    #[test]
    fn fits_a_signed_long_up_to_two_to_the_54() {
        assert!(Version::streamed(CommitLsn(Lsn::new((1 << 54) - 8)), u64::MAX).get() < 1 << 63);
    }
}
