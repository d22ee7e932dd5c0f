//! Dead letters: rows that have no document, because the target refuses it or none can be made.
//!
//! Such a row must not hold up the others, and must not vanish: it is written to the index [`INDEX`] with its reason, before
//! its commit counts as durable. Its document in the index is deleted, at the version that it would have had: what searches
//! would find instead is a state that the row is not in any more, or, of a transaction that took several requests, never
//! was. The next change of the row that the target takes clears the letter, and so does the end of the index.
//!
//! A letter has the version of the change, and is written and cleared as documents are: a replay does the same again, and
//! what comes late does not count. There are at most so many of them that the configuration says; beyond that something
//! is wrong with more than a row, and the connector stops.

mod letter;
mod store;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::Error;
use crate::backoff::persist;
use crate::bulk::key_hash;
use crate::indices::Indices;
use crate::target::Target;
use crate::version::Version;

pub use letter::{Letter, Reason};
pub use store::{INDEX, Stored, discard, forget_index, list, retry};

/// Those of one connector, as far as they are of indices that are written now. Cheap to clone.
#[derive(Clone)]
pub struct Letters {
    target: Arc<Target>,
    indices: Indices,
    cap: usize,
    /// The documents that have one, by their hash, with the number of their index. A false match only clears a letter that is
    /// not there.
    known: Arc<Mutex<HashMap<u64, u32>>>,
}

/// A row that has no document.
pub(crate) struct Refused {
    /// Of index and id.
    pub(crate) hash: u64,
    pub(crate) number: u32,
    pub(crate) index: String,
    /// As it stands in a request: quoted and escaped.
    pub(crate) id: Vec<u8>,
    pub(crate) version: Version,
    pub(crate) reason: Reason,
    /// The document, if there is one.
    pub(crate) document: Option<Vec<u8>>,
}

/// A row that has its document, or none any more.
pub(crate) struct Cleared<'a> {
    pub(crate) hash: u64,
    pub(crate) index: std::borrow::Cow<'a, str>,
    pub(crate) id: &'a [u8],
    pub(crate) version: Version,
}

impl Letters {
    /// For the documents of `indices`; at most `cap` of them.
    pub fn new(target: Arc<Target>, indices: Indices, cap: usize) -> Self {
        Letters { target, indices, cap, known: Arc::default() }
    }

    /// Learns which documents have a letter already.
    ///
    /// # Errors
    /// The target does not answer for long.
    pub async fn load(&self) -> Result<(), Error> {
        let numbers: Vec<(String, u32)> = self.indices.with(|list| {
            list.iter().map(|managed| (managed.state.index.clone(), managed.number)).collect()
        });
        let names: Vec<&str> = numbers.iter().map(|(name, _)| name.as_str()).collect();
        let stored = persist(|| list(&self.target, &names)).await?;
        let hashes = stored.iter().filter_map(|stored| {
            let (_, number) = numbers.iter().find(|(name, _)| *name == stored.letter.index)?;
            Some((key_hash(*number, stored.letter.id.as_bytes()), *number))
        });
        self.known().extend(hashes);
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.known().len()
    }

    /// None.
    pub fn is_empty(&self) -> bool {
        self.known().is_empty()
    }

    /// The document may have one.
    pub(crate) fn has(&self, hash: u64) -> bool {
        self.known().contains_key(&hash)
    }

    /// Writes letters, however long it takes. They are durable when it comes back.
    ///
    /// # Errors
    /// There are too many; the target does not let us.
    pub(crate) async fn write(&self, refused: &[Refused]) -> Result<(), Error> {
        let more = refused.iter().filter(|refused| !self.has(refused.hash)).count();
        if let Some(first) = refused.first()
            && self.len() + more > self.cap
        {
            return Err(self.too_many(first, self.len() + more));
        }
        let letters: Vec<Letter> = refused.iter().map(|refused| self.letter(refused)).collect();
        persist(|| store::write(&self.target, &letters)).await?;
        self.known().extend(refused.iter().map(|refused| (refused.hash, refused.number)));
        for refused in refused {
            tracing::warn!(
                index = refused.index, id = %String::from_utf8_lossy(&refused.id),
                commit = %refused.version.commit(), reason = refused.reason.short,
                "a row has no document: see `wal2es dead-letters list`"
            );
        }
        Ok(())
    }

    /// Clears the letters of documents that were written or deleted since, however long it takes.
    ///
    /// # Errors
    /// The target does not let us.
    pub(crate) async fn clear(&self, cleared: &[Cleared<'_>]) -> Result<(), Error> {
        let found: Vec<_> = cleared
            .iter()
            .map(|one| (store::name_of(&one.index, &unquoted(one.id)), one.version))
            .collect();
        let gone = persist(|| store::clear(&self.target, &found)).await?;
        let mut known = self.known();
        for (one, gone) in cleared.iter().zip(gone) {
            if gone {
                known.remove(&one.hash);
            }
        }
        Ok(())
    }

    /// The index of that number is not written any more: its letters go with it.
    pub(crate) fn forget(&self, number: u32) {
        self.known().retain(|_, of| *of != number);
    }

    fn letter(&self, refused: &Refused) -> Letter {
        let (alias, table) = self.indices.with(|list| {
            let found = list.iter().find(|managed| managed.state.index == refused.index);
            found.map(|m| (m.state.alias.clone(), m.state.table.clone())).unwrap_or_default()
        });
        Letter::new(refused, unquoted(&refused.id), alias, table)
    }

    fn too_many(&self, first: &Refused, count: usize) -> Error {
        Error::stop(
            format!(
                "{count} rows have no document, and pipeline.dead_letters.cap is {}; the last is document {} of {}: {}",
                self.cap,
                String::from_utf8_lossy(&first.id),
                first.index,
                first.reason.short
            ),
            "look at `wal2es dead-letters list`; correct the rows, or leave the column out with `exclude` and build the \
             index anew, or raise the cap; nothing was confirmed",
        )
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<u64, u32>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id as it was before it was written into a request.
fn unquoted(id: &[u8]) -> String {
    serde_json::from_slice(id).unwrap_or_else(|_| String::from_utf8_lossy(id).into_owned())
}
