//! A look at certain keys.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::canonical::canonical;
use crate::{DocumentSeen, Entry, Fingerprint, Place, RowSeen};

/// Takes note of both sides of the keys that were asked for, and of no others. Here two texts of one value count as the same:
/// somebody may have written the index anew, with the fields in another order.
pub struct Lookup {
    entries: Mutex<HashMap<Box<[u8]>, Entry>>,
}

impl Lookup {
    /// Of these ids; none of them has been seen.
    pub fn new(ids: impl Iterator<Item = Box<[u8]>>) -> Self {
        Lookup { entries: Mutex::new(ids.map(|id| (id, Entry::default())).collect()) }
    }

    /// A row, made a document.
    pub fn row(&self, id: &[u8], source: &[u8], place: &[u8]) {
        self.change(id, |entry| {
            let (fingerprint, place) = (Fingerprint::of(id, &canonical(source)), Place::of(place));
            entry.row = Some(RowSeen { fingerprint, place });
        });
    }

    /// A document of the index.
    pub fn document(&self, id: &[u8], source: &[u8], version: u64) {
        self.change(id, |entry| {
            let fingerprint = Fingerprint::of(id, &canonical(source));
            entry.document = Some(DocumentSeen { fingerprint, version });
        });
    }

    fn change(&self, id: &[u8], change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get_mut(id) {
            change(entry);
        }
    }

    /// What was seen.
    pub fn end(self) -> HashMap<Box<[u8]>, Entry> {
        self.entries.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
