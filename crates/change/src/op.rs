//! What happened to a row.

use crate::Row;

/// The image of the row before an update or delete, as far as the replica identity of its table sends one.
#[derive(Clone, Copy, Debug)]
pub enum OldImage<'a> {
    /// Not sent: the key did not change.
    Absent,
    /// Only the columns of the replica identity; the others read as [`Value::Null`](crate::Value::Null), which means
    /// nothing there.
    Key(Row<'a>),
    /// The whole row (`REPLICA IDENTITY FULL`).
    Full(Row<'a>),
}

impl<'a> OldImage<'a> {
    /// The image, of either kind.
    pub fn row(&self) -> Option<Row<'a>> {
        match *self {
            OldImage::Absent => None,
            OldImage::Key(row) | OldImage::Full(row) => Some(row),
        }
    }
}

/// A change of one row.
#[derive(Clone, Copy, Debug)]
pub struct RowOp<'a> {
    /// Which table, by the number that the reader of the stream gave to its description.
    pub relation: u32,
    /// What happened.
    pub change: RowChange<'a>,
}

/// See [`RowOp`].
#[derive(Clone, Copy, Debug)]
pub enum RowChange<'a> {
    /// A row that was not there before.
    Insert {
        /// The row.
        new: Row<'a>,
    },
    /// A row that took the place of another one.
    Update {
        /// What is known of the row before.
        old: OldImage<'a>,
        /// The row from now on; may hold [`Value::Unchanged`](crate::Value::Unchanged).
        new: Row<'a>,
    },
    /// A row that is gone.
    Delete {
        /// What is known of it, at least its replica identity.
        old: OldImage<'a>,
    },
}

/// What a TRUNCATE said beside the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct TruncateOptions {
    /// `CASCADE` was given.
    pub cascade: bool,
    /// `RESTART IDENTITY` was given.
    pub restart_identity: bool,
}
