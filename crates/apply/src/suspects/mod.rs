//! Deletes that have to be sent again for a while, because a request that was given up may yet be executed.
//!
//! Closing a connection takes no request back: a server that was stopped executes what it has received when it goes on,
//! minutes later. A living document can't be hurt by that, it has a higher version. A deleted one can come back, because
//! the target forgets its tombstone after `gc_deletes`, or at once when it restarts. So a key is *suspect* when the
//! outcome of a write to it was ever unknown, or when a process before may have sent one; and a delete of a suspect key is
//! sent again, every half `gc_deletes`, until no server can hold such a request any more, and once more then.
//!
//! What must hold:
//! - A delete is sent again only when its transaction is complete: no other write of the same version can follow, so the
//!   delete can meet only what is older, or what is newer and keeps it out.
//! - What is kept names only such deletes. One that has ended may still be in it: sending it again changes nothing.
//! - A key that is taken for suspect wrongly costs a few requests; one that is missed could bring a row back. Keys are
//!   64-bit hashes, they run out with the latest of their chunk, and when there are too many of them every key is suspect.
//!
//! No I/O, and the time is an argument.

mod chunk;
mod deletes;
mod kept;

use std::time::{Duration, Instant};

use change::Lsn;

use crate::version::Version;
use chunk::Chunk;
pub(crate) use deletes::Again;
use deletes::Deletes;
pub use kept::SuspectChunk;
pub(crate) use kept::{Document, Kept};

/// How long a request may be executed after its connection was closed, unless the configuration says otherwise.
pub(crate) const ZOMBIE_LIMIT: Duration = Duration::from_secs(15 * 60);
/// Half of `gc_deletes`: a tombstone is renewed before it is forgotten.
const ROUND_EVERY: Duration = Duration::from_secs(30);
/// With a shorter limit, rounds come so many times before it is over.
const ROUNDS: u32 = 10;
/// More deletes of one index than this are not taken on.
pub(crate) const MOST_DELETES: usize = 100_000;
/// What becomes suspect within so great a part of the limit is kept together.
const CHUNKS: u32 = 8;
/// More keys than this are not told apart.
const MOST_KEYS: usize = 1_000_000;

/// A write with a definite outcome.
pub(crate) struct Written<'a> {
    pub(crate) index: &'a str,
    /// Quoted and escaped.
    pub(crate) id: &'a [u8],
    pub(crate) version: Version,
    pub(crate) delete: bool,
}

/// What a process before may have sent.
struct Earlier {
    /// Nothing that commits here or later.
    below: Lsn,
    /// Its connections were closed before this.
    closed: Instant,
}

/// See the module.
pub(crate) struct Suspects {
    limit: Duration,
    earlier: Option<Earlier>,
    /// The last one takes what is new.
    chunks: Vec<Chunk>,
    chunks_made: u64,
    deletes: Deletes,
    /// The round of requests under way, or the next one.
    round: u64,
    round_at: Option<Instant>,
    /// A request of this round failed.
    failed: bool,
    /// Documents of chunks that are over.
    over: Vec<String>,
    /// There is something to keep that is not kept yet.
    unsaved: bool,
}

impl Default for Suspects {
    fn default() -> Self {
        Suspects {
            limit: ZOMBIE_LIMIT,
            earlier: None,
            chunks: Vec::new(),
            chunks_made: 0,
            deletes: Deletes::default(),
            round: 1,
            round_at: None,
            failed: false,
            over: Vec::new(),
            unsaved: false,
        }
    }
}

impl Suspects {
    /// Requests may be executed for so long after they were given up.
    pub(crate) fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// A process before may have sent anything that commits before `below`, on connections that are closed by `now`.
    pub(crate) fn earlier(&mut self, below: Lsn, now: Instant) {
        self.earlier = Some(Earlier { below, closed: now });
    }

    /// Documents were sent and no answer came; the connection was closed at `now`.
    pub(crate) fn unknown<'a>(&mut self, writes: impl Iterator<Item = Written<'a>>, now: Instant) {
        for write in writes.filter(|write| !write.delete) {
            self.note(key_of(write.index, write.id), now + self.limit, now);
        }
    }

    /// Those writes are in the index, in this order.
    pub(crate) fn delivered<'a>(
        &mut self,
        writes: impl Iterator<Item = Written<'a>>,
        now: Instant,
    ) {
        self.expire(now);
        if self.is_quiet() {
            return;
        }
        let earlier = self.earlier.as_ref().map(|earlier| (earlier.below, earlier.closed));
        for write in writes {
            let again = earlier.filter(|(below, _)| write.version.commit() < *below);
            if again.is_none() && !write.delete && self.deletes.is_empty() {
                continue;
            }
            let key = key_of(write.index, write.id);
            let again = again.map(|(_, closed)| closed + self.limit);
            if let Some(until) = again {
                self.note(key, until, now);
            }
            match write.delete {
                true => self.deleted(key, &write, now),
                // It keeps out whatever comes late.
                false => self.ended(key, write.index, write.id),
            }
        }
    }

    /// Nothing is suspect.
    pub(crate) fn is_quiet(&self) -> bool {
        self.earlier.is_none() && self.chunks.is_empty()
    }

    /// Deletes that are sent again and again.
    pub(crate) fn len(&self) -> usize {
        self.deletes.len()
    }

    /// As many of this index are sent again and again as can be.
    pub(crate) fn is_full(&self, index: &str) -> bool {
        self.deletes.of(index) >= MOST_DELETES
    }

    /// There is such an index.
    pub(crate) fn has_full(&self) -> bool {
        self.deletes.len() >= MOST_DELETES && self.deletes.most() >= MOST_DELETES
    }

    /// The index is not written any more.
    pub(crate) fn forget(&mut self, index: &str) {
        let chunks = &mut self.chunks;
        self.deletes.forget(index, |chunk| leave(chunks, chunk));
    }

    /// Up to `most` deletes that are to be sent now, given that everything up to `durable` is in the index. None before
    /// the next round, and when this one is complete.
    pub(crate) fn due(&mut self, durable: Lsn, most: usize, now: Instant) -> Option<Vec<Again>> {
        self.expire(now);
        if self.deletes.is_empty() {
            self.round_at = None;
            return None;
        }
        let at = self.round_at?;
        if now < at {
            return None;
        }
        let due = self.deletes.of_round(self.round, durable, most);
        if !due.is_empty() {
            return Some(due);
        }
        self.round += 1;
        let pause =
            if std::mem::take(&mut self.failed) { self.period() / 10 } else { self.period() };
        self.round_at = Some((at + pause).max(now + pause / 2));
        None
    }

    /// Those of a request that was sent at `sent` have a definite outcome, or not.
    pub(crate) fn sent(&mut self, sent: Instant, outcomes: impl Iterator<Item = (Again, bool)>) {
        for (again, done) in outcomes {
            self.failed |= !done;
            if done && let Some(chunk) = self.deletes.sent(&again, sent) {
                leave(&mut self.chunks, chunk);
            }
        }
    }

    /// When to look again.
    pub(crate) fn wake(&self) -> Option<Instant> {
        let over = self.chunks.iter().map(|chunk| chunk.until).min();
        self.round_at.filter(|_| !self.deletes.is_empty()).or(over)
    }

    /// There is something to keep that is not kept yet.
    pub(crate) fn is_unsaved(&self) -> bool {
        self.unsaved
    }

    /// What has to be kept together with a state that says that everything up to `durable` is in the index. The
    /// documents are written before it and named after `owner`.
    pub(crate) fn keep(&mut self, owner: &str, durable: Lsn, now: Instant) -> Kept {
        self.expire(now);
        self.unsaved = false;
        let mut kept = Kept { over: std::mem::take(&mut self.over), ..Kept::default() };
        for chunk in &mut self.chunks {
            if chunk.changed {
                let deletes = self.deletes.of_chunk(chunk.number, durable);
                chunk.changed = deletes.len() < chunk.deletes;
                let document = Document::of(chunk, &deletes);
                let id = || format!("{owner}.suspects.{:016x}", fastrand::u64(..));
                kept.write.push((chunk.id.get_or_insert_with(id).clone(), document));
            }
            kept.refs.extend(chunk.reference(now));
        }
        kept
    }

    /// What an earlier process has kept. `document` is None when it is not there any more. `written` says which indices
    /// are still written.
    pub(crate) fn recall(
        &mut self,
        reference: &SuspectChunk,
        document: Option<Document>,
        written: impl Fn(&str) -> bool,
        now: Instant,
    ) {
        self.chunks_made += 1;
        let mut chunk = Chunk::kept(self.chunks_made, reference, self.limit, now);
        match document {
            Some(document) => {
                chunk.every = document.every;
                chunk.keys.extend(document.keys());
                for again in document.deletes().filter(|again| written(&again.index)) {
                    let key = key_of(&again.index, &again.id);
                    chunk.deletes += 1;
                    match self.deletes.insert(key, again, chunk.until, chunk.number) {
                        Some(before) if before == chunk.number => chunk.deletes -= 1,
                        Some(before) => leave(&mut self.chunks, before),
                        None => {}
                    }
                }
            }
            None => chunk.every = true,
        }
        self.round_at = Some(now);
        // Before the one that takes what is new.
        self.chunks.insert(0, chunk);
    }

    fn period(&self) -> Duration {
        ROUND_EVERY.min(self.limit / ROUNDS)
    }

    /// Until when the key is suspect.
    fn suspect_until(&self, key: u64) -> Option<Instant> {
        self.chunks.iter().filter(|chunk| chunk.has(key)).map(|chunk| chunk.until).max()
    }

    fn deleted(&mut self, key: u64, write: &Written<'_>, now: Instant) {
        let Some(until) = self.suspect_until(key) else { return };
        let again = Again {
            index: self.deletes.name(write.index),
            id: write.id.into(),
            version: write.version,
        };
        let chunk = self.open_chunk(until, now);
        chunk.deletes += 1;
        chunk.changed = true;
        let number = chunk.number;
        self.unsaved = true;
        self.round_at.get_or_insert(now + self.period());
        if let Some(before) = self.deletes.insert(key, again, until, number) {
            leave(&mut self.chunks, before);
        }
    }

    fn ended(&mut self, key: u64, index: &str, id: &[u8]) {
        if let Some(chunk) = self.deletes.remove(key, index, id) {
            leave(&mut self.chunks, chunk);
        }
    }

    fn note(&mut self, key: u64, until: Instant, now: Instant) {
        let many = self.chunks.iter().map(|chunk| chunk.keys.len()).sum::<usize>() >= MOST_KEYS;
        self.unsaved |= self.open_chunk(until, now).note(key, many);
    }

    /// The chunk that takes what is new, which will be known until `until` at least.
    fn open_chunk(&mut self, until: Instant, now: Instant) -> &mut Chunk {
        let span = self.limit / CHUNKS;
        if !self.chunks.last().is_some_and(|chunk| chunk.is_open(span, now)) {
            self.chunks_made += 1;
            self.chunks.push(Chunk::new(self.chunks_made, until, now));
        }
        let last = self.chunks.len() - 1;
        let chunk = &mut self.chunks[last];
        chunk.prolong(until);
        chunk
    }

    fn expire(&mut self, now: Instant) {
        let limit = self.limit;
        self.earlier.take_if(|earlier| earlier.closed + limit <= now);
        for chunk in self.chunks.iter_mut().filter(|chunk| chunk.until <= now) {
            chunk.forget_keys();
        }
        for over in self.chunks.extract_if(.., |chunk| chunk.until <= now && chunk.deletes == 0) {
            self.unsaved |= over.id.is_some();
            self.over.extend(over.id);
        }
    }
}

/// A delete of that chunk has ended.
fn leave(chunks: &mut [Chunk], number: u64) {
    if let Some(chunk) = chunks.iter_mut().find(|chunk| chunk.number == number) {
        chunk.deletes = chunk.deletes.saturating_sub(1);
    }
}

/// [FNV-1a](https://datatracker.ietf.org/doc/html/draft-eastlake-fnv), because it is kept and must be the same in the next
/// version of wal2es.
fn key_of(index: &str, id: &[u8]) -> u64 {
    let bytes = index.as_bytes().iter().chain(id);
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
