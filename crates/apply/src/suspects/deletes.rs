//! The deletes that are sent again and again, by key.

use std::sync::Arc;
use std::time::Instant;

use change::Lsn;
use hashbrown::HashTable;

use crate::version::Version;

/// A delete to send again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Again {
    pub(crate) index: Arc<str>,
    /// Quoted and escaped.
    pub(crate) id: Box<[u8]>,
    pub(crate) version: Version,
}

struct Entry {
    key: u64,
    again: Again,
    until: Instant,
    chunk: u64,
    /// The last round that it was sent in.
    round: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Deletes {
    entries: HashTable<Entry>,
    /// How many there are of each index. One that was ever in it stays.
    names: Vec<(Arc<str>, usize)>,
}

impl Deletes {
    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many there are of an index.
    pub(super) fn of(&self, index: &str) -> usize {
        let found = self.names.iter().find(|(name, _)| **name == *index);
        found.map_or(0, |(_, count)| *count)
    }

    /// The most that there are of one index.
    pub(super) fn most(&self) -> usize {
        self.names.iter().map(|(_, count)| *count).max().unwrap_or(0)
    }

    /// One copy of each name.
    pub(super) fn name(&mut self, index: &str) -> Arc<str> {
        if let Some((name, _)) = self.names.iter().find(|(name, _)| **name == *index) {
            return name.clone();
        }
        let name: Arc<str> = index.into();
        self.names.push((name.clone(), 0));
        name
    }

    /// Puts it in place of another one of its key. Gives the chunk of that.
    pub(super) fn insert(
        &mut self,
        key: u64,
        again: Again,
        until: Instant,
        chunk: u64,
    ) -> Option<u64> {
        let before = self.remove(key, &again.index, &again.id);
        let name = self.name(&again.index);
        self.count(&name, 1);
        let again = Again { index: name, ..again };
        let entry = Entry { key, again, until, chunk, round: 0 };
        self.entries.insert_unique(key, entry, |entry| entry.key);
        before
    }

    /// Gives the chunk that it was in.
    pub(super) fn remove(&mut self, key: u64, index: &str, id: &[u8]) -> Option<u64> {
        let found = |entry: &Entry| *entry.again.id == *id && *entry.again.index == *index;
        let entry = self.entries.find_entry(key, found).ok()?.remove().0;
        self.count(&entry.again.index, -1);
        Some(entry.chunk)
    }

    /// Forgets those of an index, and says to `left` which chunk each was in.
    pub(super) fn forget(&mut self, index: &str, mut left: impl FnMut(u64)) {
        self.entries.retain(|entry| {
            let stays = *entry.again.index != *index;
            if !stays {
                left(entry.chunk);
            }
            stays
        });
        self.names.retain(|(name, _)| **name != *index);
    }

    /// Up to `most` that have not been sent in this round and whose transactions are durable.
    pub(super) fn of_round(&mut self, round: u64, durable: Lsn, most: usize) -> Vec<Again> {
        let due =
            |entry: &&mut Entry| entry.round != round && is_complete(entry.again.version, durable);
        let due = self.entries.iter_mut().filter(due).take(most);
        due.map(|entry| {
            entry.round = round;
            entry.again.clone()
        })
        .collect()
    }

    /// It was sent at `sent`, with a definite outcome. Gives its chunk if that was the last time.
    pub(super) fn sent(&mut self, again: &Again, sent: Instant) -> Option<u64> {
        let key = super::key_of(&again.index, &again.id);
        let entry = self.entries.find(key, |entry| entry.again == *again)?;
        if entry.until > sent {
            return None;
        }
        self.remove(key, &again.index, &again.id)
    }

    /// Those of a chunk whose transactions are durable.
    pub(super) fn of_chunk(&self, chunk: u64, durable: Lsn) -> Vec<&Again> {
        let kept =
            |entry: &&Entry| entry.chunk == chunk && is_complete(entry.again.version, durable);
        self.entries.iter().filter(kept).map(|entry| &entry.again).collect()
    }

    fn count(&mut self, index: &str, change: isize) {
        if let Some((_, count)) = self.names.iter_mut().find(|(name, _)| **name == *index) {
            *count = count.saturating_add_signed(change);
        }
    }
}

/// Everything of the transaction that wrote it is in the index.
fn is_complete(version: Version, durable: Lsn) -> bool {
    version.commit() < durable
}
