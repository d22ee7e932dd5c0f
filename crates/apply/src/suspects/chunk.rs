//! What became suspect at about the same time: it is kept in one document and forgotten together.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;

use super::kept::{SuspectChunk, unix_seconds_at};

/// A document takes no more keys than this, and no more deletes than that.
const KEYS: usize = 65_536;
const DELETES: usize = 4_000;

/// See the module.
pub(super) struct Chunk {
    /// Deletes say by this to which chunk they belong.
    pub(super) number: u64,
    pub(super) began: Instant,
    /// A request to one of these keys may be executed until then.
    pub(super) until: Instant,
    /// By [`super::key_of`].
    pub(super) keys: HashSet<u64, FixedState>,
    /// Every key is suspect: there were too many to tell them apart, or it is not known any more which.
    pub(super) every: bool,
    /// Deletes of this chunk that have not ended.
    pub(super) deletes: usize,
    /// Its document, once it has one.
    pub(super) id: Option<String>,
    /// There is more to it than its document says.
    pub(super) changed: bool,
    /// It takes nothing new.
    closed: bool,
}

impl Chunk {
    pub(super) fn new(number: u64, until: Instant, now: Instant) -> Self {
        Chunk {
            number,
            began: now,
            until,
            keys: HashSet::with_hasher(FixedState::default()),
            every: false,
            deletes: 0,
            id: None,
            changed: false,
            closed: false,
        }
    }

    /// One that an earlier process has kept. By the clock of the wall, which may have been set: it lasts no longer than
    /// `limit`.
    pub(super) fn kept(
        number: u64,
        reference: &SuspectChunk,
        limit: Duration,
        now: Instant,
    ) -> Self {
        let left =
            Duration::from_secs(reference.until.saturating_sub(crate::state::unix_seconds()));
        let until = now + left.min(limit);
        let id = Some(reference.id.clone());
        Chunk { id, closed: true, ..Chunk::new(number, until, now) }
    }

    pub(super) fn is_open(&self, span: Duration, now: Instant) -> bool {
        let room = self.keys.len() < KEYS && self.deletes < DELETES;
        room && !self.closed && now < self.began + span && now < self.until
    }

    pub(super) fn prolong(&mut self, until: Instant) {
        if until > self.until {
            self.until = until;
            self.changed = true;
        }
    }

    pub(super) fn has(&self, key: u64) -> bool {
        self.every || self.keys.contains(&key)
    }

    /// The key is suspect; when there are `many` already, all are. Whether that is new.
    pub(super) fn note(&mut self, key: u64, many: bool) -> bool {
        let new = !self.every
            && match many {
                true => !std::mem::replace(&mut self.every, true),
                false => self.keys.insert(key),
            };
        self.changed |= new;
        new
    }

    /// None of its requests can be executed any more.
    pub(super) fn forget_keys(&mut self) {
        self.keys = HashSet::with_hasher(FixedState::default());
        self.every = false;
    }

    /// For the state. Nothing of a chunk without a document.
    pub(super) fn reference(&self, now: Instant) -> Option<SuspectChunk> {
        let id = self.id.clone()?;
        Some(SuspectChunk { id, until: unix_seconds_at(self.until, now) })
    }
}
