//! What was seen of one key.

use std::hash::{DefaultHasher, Hasher as _};

use crate::Fingerprint;

/// Which version of a row this is, of all that its key has had: while it is the same, nothing was done to the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u64);

impl Place {
    /// `text` says where the row lies and which transaction wrote it: `xmin` and `ctid`.
    pub fn of(text: &[u8]) -> Self {
        let mut hasher = DefaultHasher::new();
        hasher.write(text);
        Place(hasher.finish())
    }
}

/// A row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSeen {
    /// Of the document that it makes.
    pub fingerprint: Fingerprint,
    /// Which one it is.
    pub place: Place,
}

/// A document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentSeen {
    /// Of what it is.
    pub fingerprint: Fingerprint,
    /// `_version`.
    pub version: u64,
}

/// Both sides of one key; what is none was not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// In the table.
    pub row: Option<RowSeen>,
    /// In the index.
    pub document: Option<DocumentSeen>,
}

impl Entry {
    /// Both sides are the same.
    pub fn is_equal(&self) -> bool {
        self.row.map(|row| row.fingerprint) == self.document.map(|document| document.fingerprint)
    }
}
