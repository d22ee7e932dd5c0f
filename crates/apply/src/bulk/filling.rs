//! Delivers a batch whose documents have holes: reads what is missing, fills it in, sends.
//!
//! Where a missing value is found, in this order: in an operation of an earlier transaction in this batch that has not
//! been sent yet; in the index, by realtime get, since everything before this batch has landed; else in the row as it is
//! now in its table. The last is for rows that have no document, or none to be trusted: one that was refused, one that
//! entered a row filter, and in a replay the document that a row had under another id ([`Filling::is_trusted`]).
//! Such a value may be newer than the document's version; what made it newer is still to come in the stream. A row that is
//! not there any more was deleted later: its document is left out, the delete follows.
//!
//! The documents that are read at once are bounded in number and, by the answer that holds them, in bytes; what is
//! filled is sent whenever it makes a request, so a batch of large documents is never in memory as a whole.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use change::Lsn;

use super::batch::{Op, Sealed, key_hash};
use super::deliver::{Delivered, Guard, deliver, guard_until_answered};
use super::fill::{Fill, RowRef, fields, splice};
use super::{Limits, Origin};
use crate::backoff::Backoff;
use crate::letters::Reason;
use crate::target::{ApiError, Document, Target};
use crate::{Error, Kind};

/// So many documents are read at once.
const AT_ONCE: usize = 32;

/// What becomes of [`Rows::current`].
pub type CurrentRow<'a> = Pin<Box<dyn Future<Output = Result<(Current, Lsn), Error>> + Send + 'a>>;

/// A row as it is now.
#[derive(Debug)]
pub enum Current {
    /// Its document.
    Document(Vec<u8>),
    /// There is none with that key.
    Gone,
    /// It can't become a document, and why.
    Impossible(String),
}

/// The rows of the tables as they are now.
pub trait Rows: Send + Sync {
    /// The document of a row as it is now, at its transaction or later, and a position that no commit is beyond which it
    /// may show. Takes as long as it takes for the transaction to be visible.
    fn current<'a>(&'a self, row: &'a RowRef) -> CurrentRow<'a>;
}

/// Sends `sealed` with its holes filled until every operation has a definite outcome. Nothing of an earlier batch may be
/// in flight.
///
/// # Errors
/// As [`deliver`]; a row that can't be read.
pub(crate) async fn deliver_filled(
    target: &Target,
    guard: &impl Guard,
    rows: &dyn Rows,
    limits: Limits,
    settled: Lsn,
    sealed: &Sealed,
) -> Result<Delivered, Error> {
    let filling = Filling { target, guard, rows, limits, settled, sealed };
    filling.run().await
}

struct Filling<'a, G> {
    target: &'a Target,
    guard: &'a G,
    rows: &'a dyn Rows,
    limits: Limits,
    /// Up to here rows were read as they were later.
    settled: Lsn,
    sealed: &'a Sealed,
}

/// Documents that were read, by the operation that needs them.
type Read = HashMap<usize, Option<Document>>;

/// What is filled and not sent yet.
#[derive(Default)]
struct Part {
    body: Vec<u8>,
    ops: Vec<Op>,
    by_hash: HashMap<u64, Vec<usize>>,
}

impl<G: Guard> Filling<'_, G> {
    async fn run(&self) -> Result<Delivered, Error> {
        let ops = &self.sealed.ops;
        let mut delivered = Delivered::default();
        let (mut part, mut early) = (Part::default(), Read::new());
        let mut at = 0;
        while at < ops.len() {
            let of_transaction = self.early_from(at);
            if !of_transaction.is_empty() {
                self.send(&mut part, &mut delivered).await?;
                early = self.read(&of_transaction).await?;
            }
            let end = self.end_of_chunk(at);
            let needed: Vec<usize> =
                (at..end).filter(|at| self.reads(*at, &part, delivered.settled)).collect();
            let mut read = self.read(&needed).await?;
            for number in at..end {
                let document = early.remove(&number).or_else(|| read.remove(&number));
                self.fill(number, document.flatten(), &mut part, &mut delivered).await?;
            }
            if part.body.len() >= self.limits.bytes || part.ops.len() >= self.limits.rows {
                self.send(&mut part, &mut delivered).await?;
            }
            at = end;
        }
        self.send(&mut part, &mut delivered).await?;
        Ok(delivered)
    }

    fn commit_of(&self, at: usize) -> Option<Lsn> {
        self.sealed.ops.get(at).map(|op| op.version.commit())
    }

    fn fill_of(&self, at: usize) -> Option<&Fill> {
        self.sealed.ops.get(at)?.fill()
    }

    /// The early operations of the transaction that begins at `at`; none if none does.
    fn early_from(&self, at: usize) -> Vec<usize> {
        let commit = self.commit_of(at);
        if at > 0 && self.commit_of(at - 1) == commit {
            return Vec::new();
        }
        let of_transaction =
            (at..).take_while(|at| commit.is_some() && self.commit_of(*at) == commit);
        of_transaction.filter(|at| self.fill_of(*at).is_some_and(|fill| fill.early)).collect()
    }

    /// Where the operations end that are looked at together: after so many with holes, or so many bytes, or before a
    /// transaction that needs something read before it.
    fn end_of_chunk(&self, from: usize) -> usize {
        let (mut fills, mut bytes) = (0, 0);
        for (at, op) in self.sealed.ops.iter().enumerate().skip(from) {
            fills += usize::from(op.fill().is_some());
            bytes += op.lines(&self.sealed.body).len();
            let full = fills > AT_ONCE || bytes > self.limits.bytes;
            if at > from && (full || !self.early_from(at).is_empty()) {
                return at;
            }
        }
        self.sealed.ops.len()
    }

    /// Whether the operation needs a document of the index.
    fn reads(&self, at: usize, part: &Part, settled: Lsn) -> bool {
        let (Some(op), Some(fill)) = (self.sealed.ops.get(at), self.fill_of(at)) else {
            return false;
        };
        !fill.early
            && self.is_trusted(op, fill, settled)
            && part.before(op, &self.base(op, fill)).is_none()
    }

    /// The id of the document that has what is missing, as it stands in a body.
    fn base<'f>(&'f self, op: &Op, fill: &'f Fill) -> Base<'f> {
        match &fill.base {
            None => Base { hash: op.hash, id: op.id(&self.sealed.body).into() },
            Some(base) => {
                let mut id = Vec::new();
                document::write_json_string(base, &mut id);
                Base { hash: key_hash(op.index, base), id: id.into() }
            }
        }
    }

    /// Reads the documents that these operations need, for as long as it takes.
    async fn read(&self, needed: &[usize]) -> Result<Read, Error> {
        let mut read = Read::new();
        let (mut rest, mut size) = (needed, AT_ONCE);
        let mut backoff = Backoff::default();
        while let Some(some) = rest.get(..size.min(rest.len())).filter(|some| !some.is_empty()) {
            match self.documents(some).await {
                Ok(documents) => {
                    read.extend(some.iter().copied().zip(documents));
                    rest = rest.get(some.len()..).unwrap_or_default();
                    size = AT_ONCE;
                }
                Err(error) if error.is_too_large() && some.len() > 1 => size = some.len() / 2,
                Err(error) if error.is_too_large() => return Err(self.too_large(some)),
                Err(error) => {
                    let error = Error::from(error);
                    if error.kind() != Kind::Transient {
                        return Err(error);
                    }
                    if backoff.attempts().is_multiple_of(12) {
                        tracing::warn!(%error, "documents could not be read; trying again");
                    }
                    tokio::time::sleep(backoff.next()).await;
                    guard_until_answered(self.guard, &mut backoff).await?;
                }
            }
        }
        Ok(read)
    }

    async fn documents(&self, needed: &[usize]) -> Result<Vec<Option<Document>>, ApiError> {
        let found = needed.iter().filter_map(|at| {
            let (op, fill) = (self.sealed.ops.get(*at)?, self.fill_of(*at)?);
            Some((op.index_name(&self.sealed.body), self.base(op, fill)))
        });
        let found: Vec<_> = found.collect();
        let wanted: Vec<_> = found.iter().map(|(index, base)| (&**index, &*base.id)).collect();
        self.target.documents(&wanted).await
    }

    fn too_large(&self, of: &[usize]) -> Error {
        let op = of.first().and_then(|at| self.sealed.ops.get(*at));
        let id = op.map(|op| op.id(&self.sealed.body)).unwrap_or_default();
        Error::stop(
            format!(
                "document {} is too large to be read back for the values that an update left alone",
                String::from_utf8_lossy(id)
            ),
            "give its table REPLICA IDENTITY FULL and build the index anew: `wal2es resync`",
        )
    }

    /// Adds one operation to `part`, with its holes filled.
    async fn fill(
        &self,
        at: usize,
        read: Option<Document>,
        part: &mut Part,
        delivered: &mut Delivered,
    ) -> Result<(), Error> {
        let Some(op) = self.sealed.ops.get(at) else { return Ok(()) };
        let lines = op.lines(&self.sealed.body);
        let (Some(fill), Some(source)) = (self.fill_of(at), op.source(&self.sealed.body)) else {
            part.push(op, lines, &[]);
            return Ok(());
        };
        let action = lines.get(..lines.len() - source.len() - 1).unwrap_or_default();
        let trusted = self.is_trusted(op, fill, delivered.settled);
        let made = part.before(op, &self.base(op, fill)).filter(|_| trusted && !fill.early);
        let before = match made {
            Some(before) => before.source(&part.body).map(Bytes::copy_from_slice),
            None => read.filter(|_| trusted).map(|document| document.source),
        };
        if let Some(whole) = before.and_then(|before| filled(source, fill, &before)) {
            part.push(op, action, &whole);
            return Ok(());
        }
        let (now, settled) = self.rows.current(&fill.row).await?;
        delivered.reselected += 1;
        delivered.settled = delivered.settled.max(settled);
        let now = match now {
            Current::Document(now) => now,
            Current::Gone => return Ok(()),
            Current::Impossible(why) => {
                part.refuse(op, &self.sealed.body, Reason::plain(why));
                return Ok(());
            }
        };
        match filled(source, fill, &now) {
            Some(whole) => part.push(op, action, &whole),
            None => return Err(no_such_field(op, &self.sealed.body)),
        }
        Ok(())
    }

    /// Whether the document before, in the batch or in the index, can have what is missing. That of the same id can, or the
    /// operation will meet a newer version and not count. That of another id can't in a replay: it may be of a row that came
    /// later, or of one that was there earlier, because this row's document was left out; or its values may be those of a row
    /// that took its id later. Under that id the stream mends it, but not where it would be carried to. So it is also up to
    /// `settled`, which a row that was read may have been of.
    fn is_trusted(&self, op: &Op, fill: &Fill, settled: Lsn) -> bool {
        let settled = settled.max(self.settled);
        fill.base.is_none() || (op.origin != Origin::Replay && op.version.commit() >= settled)
    }

    async fn send(&self, part: &mut Part, delivered: &mut Delivered) -> Result<(), Error> {
        let Part { body, ops, .. } = std::mem::take(part);
        if ops.is_empty() {
            return Ok(());
        }
        let part = Sealed { body: body.into(), ops, ..*self.sealed };
        delivered.add(deliver(self.target, self.guard, &part).await?);
        Ok(())
    }
}

/// The document that has what is missing.
struct Base<'a> {
    hash: u64,
    id: std::borrow::Cow<'a, [u8]>,
}

/// The source with all of its holes filled from `before`; none if that lacks one of the fields.
fn filled(source: &[u8], fill: &Fill, before: &[u8]) -> Option<Vec<u8>> {
    let fields = fields(before)?;
    let (whole, left) = splice(source, &fill.holes, |hole| fields.get(&*hole.field).copied());
    left.is_empty().then_some(whole)
}

fn no_such_field(op: &Op, body: &[u8]) -> Error {
    Error::stop(
        format!("document {}: its table has changed", String::from_utf8_lossy(op.id(body))),
        "start again",
    )
}

impl Part {
    /// The last operation of an earlier transaction that made the document `base`.
    fn before(&self, op: &Op, base: &Base<'_>) -> Option<&Op> {
        let made = self.by_hash.get(&base.hash)?.iter().rev().filter_map(|at| self.ops.get(*at));
        let mut of_base = made.filter(|other| {
            other.index == op.index
                && other.version.commit() < op.version.commit()
                && other.id(&self.body) == &*base.id
        });
        of_base.next()
    }

    /// Adds, in place of `op`, the deletion of a document that its row can't have.
    fn refuse(&mut self, op: &Op, body: &[u8], reason: Reason) {
        let deletion = op.refusal(body, reason, &mut self.body);
        self.by_hash.entry(op.hash).or_default().push(self.ops.len());
        self.ops.push(deletion);
    }

    /// Adds `op` with this action line and source.
    fn push(&mut self, op: &Op, action: &[u8], source: &[u8]) {
        let start = self.body.len();
        self.body.extend_from_slice(action);
        if !source.is_empty() {
            self.body.extend_from_slice(source);
            self.body.push(b'\n');
        }
        self.by_hash.entry(op.hash).or_default().push(self.ops.len());
        self.ops.push(op.moved(start, self.body.len() - start));
    }
}
