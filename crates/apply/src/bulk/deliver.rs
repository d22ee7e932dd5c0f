//! Sends one batch until every operation in it has a definite outcome.
//!
//! What failed for the moment is sent again, with growing pauses, for as long as it takes: the stream behind it waits,
//! and nothing is confirmed meanwhile. A document that the target will never take becomes a dead letter ([`refused`]); what
//! else can't succeed stops the connector. An attempt whose answer never came may
//! have been executed, so from then on a conflict with the operation's own version counts as its success.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use change::Lsn;
use hyper::StatusCode;
use tracing::warn;

use super::answer::{self, Item};
use super::batch::{Op, Sealed, select};
use super::outcome::{Outcome, Sent, judge};
use super::refused;
use crate::Error;
use crate::backoff::Backoff;
use crate::letters::{Letters, Reason, Refused};
use crate::target::{Answer, Target, explain, shorten};
use crate::version::Version;

/// Checks that the indices are the ones that they were, before anything is sent after a failure.
pub(crate) trait Guard: Sync {
    /// # Errors
    /// The target does not answer (transient), or an index is not what it was (stop).
    fn check(&self) -> impl Future<Output = Result<(), Error>> + Send;

    /// The table that an index belongs to, for messages.
    fn table_of(&self, index: &str) -> Option<String>;

    /// Where the rows go that have no document.
    fn letters(&self) -> &Letters;

    /// These operations may be executed at any time: their request got no definite answer.
    fn unknown(&self, _ops: &[Op], _body: &[u8]) {}

    /// Every operation has a definite good outcome.
    fn delivered(&self, _sealed: &Sealed) {}
}

/// What became of a batch.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Delivered {
    /// Operations that the index did not need, having something newer.
    pub(crate) superseded: u64,
    /// Attempts beyond the first.
    pub(crate) retries: u64,
    /// Documents that were completed from the row as it is now.
    pub(crate) reselected: u64,
    /// No commit beyond this is shown by a document that was completed so.
    pub(crate) settled: Lsn,
    /// Something counted as done because the index had it already, from a request that may not have answered yet: it may
    /// not be on disk, and a request that changes nothing does not wait for that.
    pub(crate) unsynced: bool,
    /// Documents that have a dead letter now, by the number of their index and their hash.
    pub(crate) refused: Vec<(u32, u64)>,
}

impl Delivered {
    /// Counts what became of a part.
    pub(crate) fn add(&mut self, part: Delivered) {
        self.superseded += part.superseded;
        self.retries += part.retries;
        self.reselected += part.reselected;
        self.settled = self.settled.max(part.settled);
        self.unsynced |= part.unsynced;
        self.refused.extend(part.refused);
    }
}

/// Operations that are still to be delivered.
struct Rest {
    body: Bytes,
    ops: Vec<Op>,
    /// An attempt at these may have been executed.
    retried: bool,
}

/// See the module.
///
/// # Errors
/// An operation that can't succeed, or [`Guard::check`] says stop.
pub(crate) async fn deliver(
    target: &Target,
    guard: &impl Guard,
    sealed: &Sealed,
) -> Result<Delivered, Error> {
    let mut delivery = Delivery {
        target,
        guard,
        ours: Ours { sealed, versions: None },
        delivered: Delivered::default(),
        refused: Vec::new(),
    };
    delivery.send(sealed.body.clone(), sealed.ops.clone()).await?;
    guard.delivered(sealed);
    if !delivery.refused.is_empty() {
        let (body, ops) = refused::removals(sealed, &mut delivery.refused);
        let removals = Sealed { body, ops, ..*sealed };
        delivery.send(removals.body.clone(), removals.ops.clone()).await?;
        guard.delivered(&removals);
    }
    let Delivery { mut delivered, refused, .. } = delivery;
    delivered.refused = refused::settle(guard.letters(), sealed, refused).await?;
    Ok(delivered)
}

/// One batch on its way.
struct Delivery<'a, G> {
    target: &'a Target,
    guard: &'a G,
    ours: Ours<'a>,
    delivered: Delivered,
    refused: Vec<Refused>,
}

impl<G: Guard> Delivery<'_, G> {
    async fn send(&mut self, body: Bytes, ops: Vec<Op>) -> Result<(), Error> {
        let mut todo = vec![Rest { body, ops, retried: false }];
        let mut backoff = Backoff::default();
        // Parts are kept in the order of the stream: a key may be in two of them.
        while let Some(mut rest) = todo.pop() {
            if rest.ops.is_empty() {
                continue;
            }
            let verdict = match self.target.bulk(rest.body.clone()).await {
                Ok(answer) => self.read_answer(&rest, &answer)?,
                Err(error) => Verdict::Unknown(error.to_string(), error.may_have_been_executed()),
            };
            match verdict {
                Verdict::Complete => {
                    backoff = Backoff::default();
                    continue;
                }
                Verdict::TooLarge => {
                    todo.extend(self.split(&rest)?);
                    continue;
                }
                Verdict::Again { ops, why } => {
                    warn_of(&backoff, ops.len(), &why);
                    let (body, ops) = select(&rest.body, &rest.ops, |at, _| ops.contains(&at));
                    todo.push(Rest { body, ops, retried: rest.retried });
                }
                Verdict::Unknown(why, executed) => {
                    warn_of(&backoff, rest.ops.len(), &why);
                    rest.retried |= executed;
                    if executed {
                        self.guard.unknown(&rest.ops, &rest.body);
                    }
                    todo.push(rest);
                    guard_until_answered(self.guard, &mut backoff).await?;
                }
            }
            self.delivered.retries += 1;
            tokio::time::sleep(backoff.next()).await;
        }
        Ok(())
    }
}

enum Verdict {
    Complete,
    /// Some have to be sent again, and what the first of them was told.
    Again {
        ops: Vec<usize>,
        why: String,
    },
    /// No definite answer, and whether it may have been executed.
    Unknown(String, bool),
    TooLarge,
}

/// What this batch itself may have brought into the index: a key that comes twice in it meets, when its first
/// operation is sent again, the version of its second.
struct Ours<'a> {
    sealed: &'a Sealed,
    versions: Option<HashSet<(u64, Version)>>,
}

impl Ours<'_> {
    fn contains(&mut self, key: u64, version: Version) -> bool {
        let ops = &self.sealed.ops;
        self.versions
            .get_or_insert_with(|| ops.iter().map(|op| (op.hash, op.version)).collect())
            .contains(&(key, version))
    }
}

impl<G: Guard> Delivery<'_, G> {
    fn read_answer(&mut self, rest: &Rest, answer: &Answer) -> Result<Verdict, Error> {
        match answer.status {
            StatusCode::OK => {}
            StatusCode::PAYLOAD_TOO_LARGE => return Ok(Verdict::TooLarge),
            status => return whole_request(status, answer),
        }
        let items = match answer::parse(&answer.body, rest.ops.len()) {
            Ok(items) => items,
            Err(why) => {
                return Ok(Verdict::Unknown(format!("the answer can't be read: {why}"), true));
            }
        };
        let mut again = Vec::new();
        let mut reason = String::new();
        for (at, (op, item)) in rest.ops.iter().zip(&items).enumerate() {
            let sent = Sent { version: op.version, origin: op.origin, retried: rest.retried };
            self.delivered.unsynced |= item.status == 409;
            match judge(sent, item) {
                Outcome::Done => {}
                Outcome::Superseded => self.delivered.superseded += 1,
                Outcome::ForeignVersion(current)
                    if current > op.version && self.ours.contains(op.hash, current) =>
                {
                    self.delivered.superseded += 1;
                }
                Outcome::Retry => {
                    if again.is_empty() {
                        reason = item_text(item);
                    }
                    // A primary that did not answer the node that asked it may yet do it.
                    if item.status == 408 || item.status >= 500 {
                        self.guard.unknown(std::slice::from_ref(op), &rest.body);
                    }
                    again.push(at);
                }
                Outcome::Refused if op.source(&rest.body).is_some() => {
                    self.refused.push(refused::refused(op, &rest.body, refused::reason_of(item)));
                }
                definite => return Err(stop(self.guard, &definite, op, &rest.body, item)),
            }
        }
        if !again.is_empty() {
            self.delivered.superseded += drop_superseded(&mut again, &rest.ops);
        }
        if again.is_empty() {
            return Ok(Verdict::Complete);
        }
        Ok(Verdict::Again { ops: again, why: reason })
    }

    /// Two halves of a request that was too large, the second first. A document that is too large alone is refused.
    fn split(&mut self, rest: &Rest) -> Result<Vec<Rest>, Error> {
        let half = rest.ops.len() / 2;
        let part = |keep: &dyn Fn(usize) -> bool| {
            let (body, ops) = select(&rest.body, &rest.ops, |at, _| keep(at));
            Rest { body, ops, retried: rest.retried }
        };
        match rest.ops.as_slice() {
            [op] if op.source(&rest.body).is_some() => {
                let bytes = rest.body.len();
                let text =
                    format!("413: {bytes} bytes are more than the target takes in a request");
                self.refused.push(refused::refused(op, &rest.body, Reason::plain(text)));
                Ok(Vec::new())
            }
            [_] => Err(Error::stop(
                "the target takes no request of any size: 413",
                "raise http.max_content_length of the search server, or the limit of a proxy before it",
            )),
            _ => Ok(vec![part(&|at| at >= half), part(&|at| at < half)]),
        }
    }
}

/// Leaves out of those that are to be sent again what a later operation of the same key has done away with. Sent after it,
/// an older document would be taken once the tombstone of a deletion has gone. Tells how many.
fn drop_superseded(again: &mut Vec<usize>, ops: &[Op]) -> u64 {
    let many = again.len();
    let mut failed = again.iter().copied().peekable();
    let settled = ops.iter().enumerate().filter(|(at, _)| failed.next_if_eq(at).is_none());
    let last: HashMap<u64, usize> = settled.map(|(at, op)| (op.hash, at)).collect();
    again.retain(|at| {
        let later = ops.get(*at).and_then(|op| last.get(&op.hash));
        later.is_none_or(|later| later < at)
    });
    (many - again.len()) as u64
}

/// An answer to the request as a whole: no item was looked at, except behind a gateway that gave up waiting.
fn whole_request(status: StatusCode, answer: &Answer) -> Result<Verdict, Error> {
    let text = format!("the target answers {status}{}", explain(&answer.body));
    match status.as_u16() {
        502..=504 => Ok(Verdict::Unknown(text, true)),
        408 | 429 | 500.. => Ok(Verdict::Unknown(text, false)),
        401 | 403 => Err(Error::config(
            text,
            "check the target's login and its rights (index, delete) on the indices",
        )),
        _ => Err(Error::stop(text, "look into the search server's log; nothing was confirmed")),
    }
}

fn stop(guard: &impl Guard, outcome: &Outcome, op: &Op, body: &Bytes, item: &Item<'_>) -> Error {
    let document = format!("document {}", String::from_utf8_lossy(op.id(body)));
    let index = op.index_name(body);
    let index = match guard.table_of(&index) {
        Some(table) => format!("{table} (index {index})"),
        None => index.into_owned(),
    };
    let at = op.version.commit();
    let said = item_text(item);
    match outcome {
        Outcome::Refused => Error::stop(
            format!("{index}: the target refuses {document} of the commit at {at}: {said}"),
            "correct the row, or leave the column out with `exclude` and build the index anew; the stream waits \
             at this commit and nothing is lost",
        ),
        Outcome::IndexGone => Error::stop(
            format!("{index}: the index is gone or closed ({said})"),
            "open it (POST /INDEX/_open), or build it anew: `wal2es resync`",
        ),
        Outcome::Dropped => Error::stop(
            format!("{index}: an ingest pipeline dropped {document}"),
            "remove the pipeline from the index (default_pipeline and final_pipeline: _none)",
        ),
        Outcome::DuplicateId => Error::stop(
            format!("{index}: two rows have the same id: {document}"),
            "choose `id` columns that are unique, or remove the foreign document",
        ),
        Outcome::ForeignVersion(current) => Error::stop(
            format!(
                "{index}: {document} is at version {current} (commit {}), which is not below ours, {} (commit {at}): \
                 somebody else writes to this index, or Postgres has gone back in time",
                current.commit(),
                op.version,
            ),
            "find the other writer, then build the index anew: `wal2es resync`",
        ),
        _ => Error::stop(
            format!("{index}: an answer that makes no sense for {document}: {said}"),
            "is there a proxy between wal2es and the search server?",
        ),
    }
}

fn item_text(item: &Item<'_>) -> String {
    match &item.error {
        Some(error) => {
            let reason = shorten(&error.reason);
            let cause = error.caused_by.as_ref().and_then(|cause| cause.reason.as_deref());
            let cause = cause.map(|cause| format!(" ({})", shorten(cause))).unwrap_or_default();
            format!("{} {}: {reason}{cause}", item.status, error.kind)
        }
        None => item.status.to_string(),
    }
}

fn warn_of(backoff: &Backoff, operations: usize, why: &str) {
    // The first failure, then about every tenth second.
    if backoff.attempts().is_multiple_of(12) {
        warn!(operations, reason = why, "the target did not take a batch; trying again");
    }
}

pub(super) async fn guard_until_answered(
    guard: &impl Guard,
    backoff: &mut Backoff,
) -> Result<(), Error> {
    loop {
        match guard.check().await {
            Err(error) if error.kind() == crate::Kind::Transient => {
                let pause: Duration = backoff.next();
                tokio::time::sleep(pause).await;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
#[path = "deliver_tests.rs"]
mod tests;
