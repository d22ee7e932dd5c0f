//! Tables by their names, for a plugin that tells no OIDs.
//!
//! test_decoding sends the rows of every table of the database under the name that the table had when the row changed. A
//! name that nobody has told us of may be a followed table that was renamed, so it is looked up in the catalog before a
//! row of it is passed over.

use std::collections::HashMap;

use change::TableName;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// A followed table.
    Followed(usize),
    /// A partition of one, whose rows are its rows.
    Part(usize),
    /// A table that is not followed.
    Other,
}

/// All names that have been told.
#[derive(Debug, Default)]
pub(crate) struct Names {
    known: HashMap<TableName, Known>,
}

impl Names {
    pub(crate) fn learn(&mut self, name: TableName, known: Known) {
        self.known.insert(name, known);
    }

    pub(crate) fn is_other(&self, name: &TableName) -> bool {
        self.get(name) == Some(Known::Other)
    }

    pub(crate) fn get(&self, name: &TableName) -> Option<Known> {
        self.known.get(name).copied()
    }
}
