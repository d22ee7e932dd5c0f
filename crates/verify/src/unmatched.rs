//! A pass over some buckets, by id.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::{DocumentSeen, Entry, Fingerprint, Place, RowSeen, Selection};

type Entries = HashMap<Box<[u8]>, Entry>;

/// Keeps what has been seen on one side until the other side has it too. When too much waits, half of the buckets are
/// left for another pass: in the end all of a bucket has been seen, or nothing of it counts.
pub struct Unmatched {
    selected: Selection,
    left: Selection,
    most: usize,
    entries: Mutex<Entries>,
}

impl Unmatched {
    /// Of the documents in the buckets `selected`. About `most` ids are kept at once.
    pub fn new(selected: Selection, most: usize) -> Self {
        Unmatched { selected, left: Selection::none(), most, entries: Mutex::default() }
    }

    /// A row, made a document.
    pub fn row(&self, id: &[u8], source: &[u8], place: &[u8]) {
        if self.selected.contains(id) {
            let (fingerprint, place) = (Fingerprint::of(id, source), Place::of(place));
            self.put(id, |entry| entry.row = Some(RowSeen { fingerprint, place }));
        }
    }

    /// A document of the index.
    pub fn document(&self, id: &[u8], source: &[u8], version: u64) {
        if self.selected.contains(id) {
            let fingerprint = Fingerprint::of(id, source);
            self.put(id, |entry| entry.document = Some(DocumentSeen { fingerprint, version }));
        }
    }

    fn put(&self, id: &[u8], change: impl FnOnce(&mut Entry)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        // Half of the buckets may have been left meanwhile.
        if !self.selected.contains(id) {
            return;
        }
        match entries.get_mut(id) {
            Some(entry) => {
                change(entry);
                if entry.is_equal() {
                    entries.remove(id);
                }
            }
            None => {
                let mut entry = Entry::default();
                change(&mut entry);
                entries.insert(id.into(), entry);
            }
        }
        while entries.len() > self.most && self.selected.len() > 1 {
            self.selected.give_half(&self.left);
            entries.retain(|id, _| self.selected.contains(id));
        }
    }

    /// When both sides have been read: what differs, and the buckets that another pass has to look at.
    pub fn end(self) -> (HashMap<Box<[u8]>, Entry>, Selection) {
        (self.entries.into_inner().unwrap_or_else(PoisonError::into_inner), self.left)
    }
}
