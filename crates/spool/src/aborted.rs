//! Which messages of a transaction were rolled back to a savepoint.
//!
//! A mark says "of this part, nothing before this position". It costs some 30 bytes per aborted part, far less than what
//! Postgres itself keeps for it until the transaction ends.

use std::collections::HashMap;

/// Per aborted part the position, in bytes of records, before which its messages don't count.
#[derive(Default)]
pub(crate) struct Aborted {
    marks: HashMap<u32, u64>,
}

impl Aborted {
    /// Nothing of `part` before `end`, the end of all that is held, counts.
    pub(crate) fn mark(&mut self, part: u32, end: u64) {
        self.marks.insert(part, end);
    }

    /// `part` goes on at `end`. What stood behind `end` when the mark was set has been dropped since, and nothing of the part
    /// came after it, so that lowering the mark loses nothing.
    pub(crate) fn resume(&mut self, part: u32, end: u64) {
        if !self.marks.is_empty()
            && let Some(mark) = self.marks.get_mut(&part)
        {
            *mark = end.min(*mark);
        }
    }

    /// Whether the record of `part` that begins at `position` was rolled back.
    pub(crate) fn covers(&self, part: u32, position: u64) -> bool {
        !self.marks.is_empty() && self.marks.get(&part).is_some_and(|mark| position < *mark)
    }
}
