//! Why a row has no document. Errors name the column and the place, never the value: values belong to the users.

/// Why one row could not be written.
///
/// All but [`Unchanged`](DocumentError::Unchanged) are definite: the same row fails the same way every time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// A key column is NULL, so the document has no `_id`.
    #[error("column {column:?} is part of the document's id and must not be NULL")]
    NullKey {
        /// The column.
        column: String,
    },
    /// Postgres did not send the value because the update left it alone (TOAST), and no image at hand has it.
    #[error("column {column:?} was not sent: the update left its large value as it was")]
    Unchanged {
        /// The first such column.
        column: String,
    },
    /// The text is not what Postgres prints for the column's type.
    #[error("column {column:?}: expected {expected} at byte {offset}")]
    Malformed {
        /// The column.
        column: String,
        /// Bytes from the beginning of the value's text, counted from 0. In an array element that is quoted with
        /// escapes: where the element begins.
        offset: usize,
        /// What should have been there.
        expected: &'static str,
    },
    /// The row has not as many columns as the table that the plan was made for.
    #[error("the row has {found} columns where its table has {expected}")]
    Width {
        /// Columns of the table.
        expected: usize,
        /// Columns of the row.
        found: usize,
    },
}

/// What a writer found wrong with a text; [`Malformed::of`] adds whose text it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    pub(crate) offset: usize,
    pub(crate) expected: &'static str,
}

impl Malformed {
    pub(crate) fn new(offset: usize, expected: &'static str) -> Self {
        Malformed { offset, expected }
    }

    /// The same error in a text of which this one begins at `start`.
    pub(crate) fn within(self, start: usize) -> Self {
        Malformed { offset: self.offset + start, ..self }
    }

    #[cold]
    pub(crate) fn of(self, column: &str) -> DocumentError {
        let Malformed { offset, expected } = self;
        DocumentError::Malformed { column: column.to_owned(), offset, expected }
    }
}
