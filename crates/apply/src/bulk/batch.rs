//! A bulk body under construction.
//!
//! Operations are appended as they come, action and source straight into the body. Within one transaction the last
//! operation of a key takes the place of the one before, because both carry the same version; operations of different
//! transactions stay, in order, so that what a sealed batch leaves in the index is exactly the state at its last
//! commit. A transaction that is still open at the end can be cut off and stay behind, which is how a batch ends at a
//! commit boundary whenever the transaction fits one request.
//!
//! A transaction that does not fit is sent in several batches. When a key comes again in the same segment after its
//! first operation has been sent, both have the same version, and the second goes as `external_gte`: an order that
//! holds because the first has a definite outcome by then. For the same reason everything that a replay sends is
//! `external_gte`: the index may hold an earlier operation of the same segment. Keys that were sent are remembered by
//! 64-bit hash; a false match only turns `external` into `external_gte`.
//!
//! A document of which a value was not sent is appended with a hole ([`fill`]).

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

use bytes::Bytes;
use change::Lsn;
use document::Partial;
use foldhash::fast::FixedState;
use hashbrown::{HashSet, HashTable};

use super::fill::{self, Fill, RowRef};
use crate::letters::Reason;
use crate::version::Version;

/// When a batch is full.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the body. One operation may be larger.
    pub bytes: usize,
    /// Operations.
    pub rows: usize,
}

/// Appends the deletion of the document `id`, quoted and escaped, up to this very version. Gives the place of the id.
pub(crate) fn write_deletion(
    index: &str,
    id: &[u8],
    version: Version,
    body: &mut Vec<u8>,
) -> usize {
    body.extend_from_slice(DELETE);
    body.extend_from_slice(index.as_bytes());
    body.extend_from_slice(b"\",\"_id\":");
    let id_start = body.len();
    body.extend_from_slice(id);
    body.extend_from_slice(b",\"version\":");
    body.extend_from_slice(itoa::Buffer::new().format(version.get()).as_bytes());
    body.extend_from_slice(b",\"version_type\":\"external_gte\"}}\n");
    id_start
}

impl Limits {
    /// Room for so many requests.
    pub(crate) fn times(self, requests: usize) -> Self {
        let (bytes, rows) = (self.bytes * requests, self.rows * requests);
        Limits { bytes, rows }
    }
}

/// One operation as it is handed to [`Batch::push`].
pub struct Write<'a> {
    /// A number of the concrete index, the same for every write to it and for no other.
    pub index: u32,
    /// Its name.
    pub index_name: &'a str,
    /// The document's `_id`, not yet escaped.
    pub id: &'a [u8],
    /// What the document becomes.
    pub version: Version,
    /// Where the write comes from, which decides what a conflict means.
    pub origin: Origin,
}

/// Where a write comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A row of a copy into a fresh index: nothing can be there before.
    Copy,
    /// A row of a copy that this copy may have sent before.
    CopyAgain,
    /// A change that an earlier session may have sent.
    Replay,
    /// A change that nobody has sent before.
    Live,
    /// The row as it is now, of an entry of the trigger queue: whatever keeps it out is as new, or is followed by an entry of
    /// its own.
    Queue,
}

/// One operation in a batch.
#[derive(Clone, Debug)]
pub(crate) struct Op {
    /// Action and source in the body.
    start: usize,
    len: usize,
    /// The id within the action line, escaped.
    id_start: usize,
    id_len: usize,
    pub(crate) hash: u64,
    pub(crate) index: u32,
    pub(crate) version: Version,
    pub(crate) origin: Origin,
    /// Another operation of the same key and transaction follows.
    dead: bool,
    /// What else is to be known of it.
    pub(super) note: Option<Arc<Note>>,
}

/// What is to be known of few operations.
#[derive(Debug)]
pub(super) enum Note {
    /// This is missing in its source.
    Fill(Fill),
    /// It deletes the document of a row that can't become one.
    Refused(Reason),
}

/// Operations of whole transactions, and the beginning of one more.
pub struct Batch {
    limits: Limits,
    body: Vec<u8>,
    ops: Vec<Op>,
    /// Where the open transaction begins: operations before are complete.
    open_from: usize,
    /// Operations of the open transaction by index and id.
    keys: HashTable<usize>,
    /// Keys of the open transaction's current segment that have been sent in earlier batches.
    sent: HashSet<u64, FixedState>,
    sent_version: Option<Version>,
    end: Option<Lsn>,
    /// Operations that need something of before their transaction which the same transaction overwrites.
    early: usize,
}

/// A batch to send.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) body: Bytes,
    pub(crate) ops: Vec<Op>,
    /// Everything up to here is in the index once this batch is; none while a transaction goes on in the next one.
    pub(crate) end: Option<Lsn>,
    /// The last operation belongs to a transaction that goes on.
    pub(crate) mid_transaction: bool,
}

const DELETE: &[u8] = b"{\"delete\":{\"_index\":\"";
const HASHER: FixedState = FixedState::with_seed(0x077a_12e5);

/// The hash of a document's index and id, not escaped, that operations and dead letters go by.
pub(crate) fn key_hash(index: u32, id: &[u8]) -> u64 {
    HASHER.hash_one((index, id))
}

impl Batch {
    /// An empty batch.
    pub fn new(limits: Limits) -> Self {
        Batch {
            limits,
            body: Vec::new(),
            ops: Vec::new(),
            open_from: 0,
            keys: HashTable::new(),
            sent: HashSet::with_hasher(HASHER),
            sent_version: None,
            end: None,
            early: 0,
        }
    }

    /// No operation in it.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty()
    }

    /// One of the limits is reached.
    pub fn is_full(&self) -> bool {
        self.body.len() >= self.limits.bytes
            || self.ops.len() >= self.limits.rows
            || self.early >= fill::EARLY
    }

    /// There is an operation of a complete transaction.
    pub fn has_complete(&self) -> bool {
        self.open_from > 0
    }

    /// Appends a document, whose source `source` writes as one line without its end.
    ///
    /// # Errors
    /// Those of `source`; the batch is as it was before.
    pub fn index<E>(
        &mut self,
        write: &Write<'_>,
        source: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let op = self.action(write, b"{\"index\":{\"_index\":\"");
        if let Err(error) = source(&mut self.body) {
            self.body.truncate(op.start);
            return Err(error);
        }
        self.body.push(b'\n');
        self.push(op);
        Ok(())
    }

    /// Appends a document of `row` with holes. They are filled at once from the operation of this
    /// transaction that made the document before, which is the one with the id `before` or `write.id`; else when the
    /// batch is delivered.
    pub(crate) fn partial(
        &mut self,
        write: &Write<'_>,
        before: Option<&[u8]>,
        partial: &Partial,
        row: RowRef,
    ) {
        let base = before.unwrap_or(write.id);
        let earlier = self.earlier(write.index, base).cloned();
        let (source, fill) = match &earlier {
            Some(op) => fill::from_operation(row, (write.id, base), partial, op, &self.body),
            None => (Cow::Borrowed(partial.source.as_slice()), Fill::new(row, partial, before)),
        };
        let mut op = self.action(write, b"{\"index\":{\"_index\":\"");
        self.body.extend_from_slice(&source);
        self.body.push(b'\n');
        if !fill.holes.is_empty() {
            self.early += usize::from(fill.early);
            op.note = Some(Arc::new(Note::Fill(fill)));
        }
        self.push(op);
    }

    /// The last operation of the open transaction on this document, as far as it is here.
    fn earlier(&self, index: u32, id: &[u8]) -> Option<&Op> {
        let hash = key_hash(index, id);
        let mut escaped = Vec::new();
        document::write_json_string(id, &mut escaped);
        let Batch { ops, body, keys, open_from, .. } = self;
        let same = |op: &Op| op.hash == hash && op.index == index && op.id(body) == escaped;
        let open = ops.get(*open_from..)?;
        // The keys are looked up from the second operation of a transaction on.
        if let [only] = open {
            return Some(only).filter(|only| same(only));
        }
        let found = keys.find(hash, |&at| ops.get(at).is_some_and(same))?;
        ops.get(*found)
    }

    /// Appends the deletion of a document.
    pub fn delete(&mut self, write: &Write<'_>) {
        let op = self.action(write, DELETE);
        self.push(op);
    }

    /// Appends the deletion of a document whose row can't become one any more: a dead letter says why.
    pub(crate) fn refuse(&mut self, write: &Write<'_>, reason: Reason) {
        let mut op = self.action(write, b"{\"delete\":{\"_index\":\"");
        op.note = Some(Arc::new(Note::Refused(reason)));
        self.push(op);
    }

    /// Forgets everything, as at the beginning of a session.
    pub fn clear(&mut self) {
        *self = Batch::new(self.limits);
    }

    /// The open transaction is complete and ends at `end`.
    pub fn commit(&mut self, end: Lsn) {
        self.open_from = self.ops.len();
        self.keys.clear();
        self.sent.clear();
        self.sent_version = None;
        self.end = self.end.max(Some(end));
    }

    /// Nothing was to do up to `end`. Must not be said within a transaction.
    pub fn idle(&mut self, end: Lsn) {
        self.end = self.end.max(Some(end));
    }

    /// How many deletes are in it.
    pub(crate) fn deletes(&self) -> u64 {
        count_deletes(&self.ops, &self.body)
    }

    /// The names of the indices that something is deleted from.
    pub(crate) fn deletes_from(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut numbers = Vec::new();
        for op in self.ops.iter().filter(|op| op.is_delete(&self.body)) {
            if !numbers.contains(&op.index) {
                numbers.push(op.index);
                names.push(op.index_name(&self.body).into_owned());
            }
        }
        names
    }

    /// Takes what there is to send: the complete transactions; when there are none, but the batch is full or `force`
    /// says so, the beginning of the open one. Call it again for what stayed behind.
    pub(crate) fn seal(&mut self, force: bool) -> Option<Sealed> {
        let mid_transaction = self.open_from == 0;
        if self.ops.is_empty() || (mid_transaction && !force && !self.is_full()) {
            return None;
        }
        let cut = if mid_transaction { self.ops.len() } else { self.open_from };
        if mid_transaction {
            self.remember_sent();
        }
        let rest = self.ops.split_off(cut);
        let ops = std::mem::replace(&mut self.ops, rest);
        let bytes = self.ops.first().map_or(self.body.len(), |op| op.start);
        let rest = self.body.split_off(bytes);
        let body = Bytes::from(std::mem::replace(&mut self.body, rest));
        self.open_from = 0;
        self.early = 0;
        for op in &mut self.ops {
            op.start -= bytes;
            op.id_start -= bytes;
        }
        self.keys.clear();
        let ops_left = &self.ops;
        for (at, op) in ops_left.iter().enumerate().filter(|(_, op)| !op.dead) {
            self.keys.insert_unique(op.hash, at, |at| ops_left.get(*at).map_or(0, |op| op.hash));
        }
        let (body, ops) = compact(body, ops);
        Some(Sealed { body, ops, end: self.end.take(), mid_transaction })
    }

    /// The end, when there is nothing to send before it.
    pub(crate) fn take_idle_end(&mut self) -> Option<Lsn> {
        if self.ops.is_empty() { self.end.take() } else { None }
    }

    /// The keys of the current segment are about to be sent while their transaction goes on.
    fn remember_sent(&mut self) {
        let Some(version) = self.ops.last().map(|op| op.version) else { return };
        self.turn_segment(version);
        let of_segment = self.ops.iter().filter(|op| op.version == version);
        self.sent.extend(of_segment.map(|op| op.hash));
    }

    fn turn_segment(&mut self, version: Version) {
        if self.sent_version != Some(version) {
            self.sent.clear();
            self.sent_version = Some(version);
        }
    }

    /// The action line.
    fn action(&mut self, write: &Write<'_>, verb: &[u8]) -> Op {
        let hash = key_hash(write.index, write.id);
        let again = self.sent_version == Some(write.version) && self.sent.contains(&hash);
        let body = &mut self.body;
        let start = body.len();
        body.extend_from_slice(verb);
        // An index name can't hold a byte that JSON would escape.
        body.extend_from_slice(write.index_name.as_bytes());
        body.extend_from_slice(b"\",\"_id\":");
        let id_start = body.len();
        document::write_json_string(write.id, body);
        let id_len = body.len() - id_start;
        body.extend_from_slice(b",\"version\":");
        body.extend_from_slice(itoa::Buffer::new().format(write.version.get()).as_bytes());
        body.extend_from_slice(if again || write.origin == Origin::Replay {
            b",\"version_type\":\"external_gte\"}}\n".as_slice()
        } else {
            b",\"version_type\":\"external\"}}\n".as_slice()
        });
        Op {
            start,
            len: 0,
            id_start,
            id_len,
            hash,
            index: write.index,
            version: write.version,
            origin: write.origin,
            dead: false,
            note: None,
        }
    }

    fn push(&mut self, mut op: Op) {
        op.len = self.body.len() - op.start;
        let at = self.ops.len();
        // The keys are looked up from the second operation of a transaction on.
        if at == self.open_from + 1
            && let Some(first) = self.ops.last()
        {
            self.keys.clear();
            self.keys.insert_unique(first.hash, at - 1, |_| 0);
        }
        if at > self.open_from {
            let (ops, body) = (&self.ops, &self.body);
            let same = |&other: &usize| {
                ops.get(other)
                    .is_some_and(|other| other.index == op.index && other.id(body) == op.id(body))
            };
            if let Some(found) = self.keys.find_mut(op.hash, same) {
                let before = std::mem::replace(found, at);
                if let Some(before) = self.ops.get_mut(before) {
                    before.dead = true;
                }
            } else {
                let ops = &self.ops;
                let rehash = |at: &usize| ops.get(*at).map_or(0, |op| op.hash);
                self.keys.insert_unique(op.hash, at, rehash);
            }
        }
        self.ops.push(op);
    }
}

fn count_deletes(ops: &[Op], body: &[u8]) -> u64 {
    ops.iter().filter(|op| op.is_delete(body)).count() as u64
}

impl Sealed {
    /// How many deletes are in it.
    pub(crate) fn deletes(&self) -> u64 {
        count_deletes(&self.ops, &self.body)
    }

    /// Values are missing in some of its documents.
    pub(crate) fn has_holes(&self) -> bool {
        self.ops.iter().any(|op| op.fill().is_some())
    }

    /// The numbers of the concrete indices that it writes to.
    pub(crate) fn indices(&self) -> Vec<u32> {
        let mut numbers = Vec::new();
        for op in &self.ops {
            if numbers.last() != Some(&op.index) && !numbers.contains(&op.index) {
                numbers.push(op.index);
            }
        }
        numbers
    }
}

impl Op {
    /// The id as it stands in the body, quoted and escaped.
    pub(crate) fn id<'b>(&self, body: &'b [u8]) -> &'b [u8] {
        body.get(self.id_start..self.id_start + self.id_len).unwrap_or_default()
    }

    /// The index, for messages.
    pub(crate) fn index_name<'b>(&self, body: &'b [u8]) -> Cow<'b, str> {
        let name = self.lines(body).split(|byte| *byte == b'"').nth(5);
        String::from_utf8_lossy(name.unwrap_or_default())
    }

    /// It deletes the document.
    pub(crate) fn is_delete(&self, body: &[u8]) -> bool {
        self.lines(body).starts_with(DELETE)
    }

    /// What is missing in its source.
    pub(super) fn fill(&self) -> Option<&Fill> {
        match self.note.as_deref() {
            Some(Note::Fill(fill)) => Some(fill),
            _ => None,
        }
    }

    /// Why its row has no document.
    pub(super) fn refused(&self) -> Option<&Reason> {
        match self.note.as_deref() {
            Some(Note::Refused(reason)) => Some(reason),
            _ => None,
        }
    }

    pub(super) fn with(self, note: Note) -> Op {
        Op { note: Some(Arc::new(note)), ..self }
    }

    /// Another operation on the same document, at the same version.
    pub(super) fn at(&self, start: usize, len: usize, id_start: usize) -> Op {
        Op { start, len, id_start, note: None, ..self.clone() }
    }

    /// The same, complete, at another place and of another length.
    pub(super) fn moved(&self, start: usize, len: usize) -> Op {
        let id_start = start + (self.id_start - self.start);
        let note = self.note.clone().filter(|note| !matches!(**note, Note::Fill(_)));
        Op { start, len, id_start, note, ..self.clone() }
    }

    /// The source; none of a delete.
    pub(super) fn source<'b>(&self, body: &'b [u8]) -> Option<&'b [u8]> {
        let mut lines = self.lines(body).splitn(2, |byte| *byte == b'\n');
        lines.nth(1).and_then(|source| source.strip_suffix(b"\n"))
    }

    /// Action and source.
    pub(crate) fn lines<'b>(&self, body: &'b [u8]) -> &'b [u8] {
        body.get(self.start..self.start + self.len).unwrap_or_default()
    }
}

/// A body of the operations that `keep` says, in their order.
pub(crate) fn select(
    body: &[u8],
    ops: &[Op],
    keep: impl Fn(usize, &Op) -> bool,
) -> (Bytes, Vec<Op>) {
    let chosen = || ops.iter().enumerate().filter(|(at, op)| keep(*at, op)).map(|(_, op)| op);
    let mut selected = Vec::with_capacity(chosen().map(|op| op.len).sum());
    let mut moved = Vec::with_capacity(chosen().count());
    for op in chosen() {
        let start = selected.len();
        selected.extend_from_slice(op.lines(body));
        moved.push(Op { start, id_start: start + (op.id_start - op.start), ..op.clone() });
    }
    (selected.into(), moved)
}

/// Leaves out the operations that another one of the same transaction has replaced.
fn compact(body: Bytes, ops: Vec<Op>) -> (Bytes, Vec<Op>) {
    if ops.iter().any(|op| op.dead) { select(&body, &ops, |_, op| !op.dead) } else { (body, ops) }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
