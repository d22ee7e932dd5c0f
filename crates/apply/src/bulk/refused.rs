//! What becomes of operations whose document the target will not take: the document goes, a dead letter comes.

use std::collections::HashMap;

use bytes::Bytes;

use super::Origin;
use super::answer::Item;
use super::batch::{Note, Op, Sealed, write_deletion};
use crate::Error;
use crate::letters::{Cleared, Letters, Reason, Refused};
use crate::target::shorten;
use crate::version::Version;

/// From here on a server's text quotes the value.
const QUOTES: [&str; 2] = [" Preview of field's value", " The prefix of the first immense term"];

/// Why the target refuses an item.
pub(super) fn reason_of(item: &Item<'_>) -> Reason {
    let Some(error) = &item.error else { return Reason::plain(item.status.to_string()) };
    let cause = error.caused_by.as_ref().and_then(|cause| cause.reason.as_deref());
    let cause = cause.map(|cause| format!(" ({})", shorten(cause))).unwrap_or_default();
    let end = QUOTES.iter().filter_map(|quote| error.reason.find(quote)).min();
    let safe = error.reason.get(..end.unwrap_or(error.reason.len())).unwrap_or_default();
    let told = |reason: &str| format!("{} {}: {}", item.status, error.kind, shorten(reason));
    Reason { short: told(safe), full: format!("{}{cause}", told(&error.reason)) }
}

/// The row of an index operation in `body`.
pub(super) fn refused(op: &Op, body: &[u8], reason: Reason) -> Refused {
    Refused {
        hash: op.hash,
        number: op.index,
        index: op.index_name(body).into_owned(),
        id: op.id(body).to_vec(),
        version: op.version,
        reason,
        document: op.source(body).map(<[u8]>::to_vec),
    }
}

/// The last version of each document in a batch.
struct Last(HashMap<u64, Version>);

impl Last {
    fn of(sealed: &Sealed) -> Self {
        let mut last = HashMap::with_capacity(sealed.ops.len());
        for op in &sealed.ops {
            let version = last.entry(op.hash).or_insert(op.version);
            *version = op.version.max(*version);
        }
        Last(last)
    }

    fn is(&self, hash: u64, version: Version) -> bool {
        self.0.get(&hash).is_none_or(|last| *last <= version)
    }
}

/// Of those that were refused, the ones that nothing in the batch follows, and the operations that delete their documents.
/// A row of a copy has none.
pub(super) fn removals(sealed: &Sealed, refused: &mut Vec<Refused>) -> (Bytes, Vec<Op>) {
    let last = Last::of(sealed);
    refused.retain(|one| last.is(one.hash, one.version));
    let (mut body, mut ops) = (Vec::new(), Vec::new());
    for one in refused {
        let of = sealed.ops.iter().find(|op| op.hash == one.hash && op.version == one.version);
        let Some(op) = of.filter(|op| !matches!(op.origin, Origin::Copy | Origin::CopyAgain))
        else {
            continue;
        };
        ops.push(op.deletion(&one.index, &one.id, &mut body));
    }
    (body.into(), ops)
}

/// Writes the letters of a batch that has been delivered, and clears those of the rows that have come right. Gives the
/// documents that have a letter now.
pub(super) async fn settle(
    letters: &Letters,
    sealed: &Sealed,
    mut refused: Vec<Refused>,
) -> Result<Vec<(u32, u64)>, Error> {
    let body = &sealed.body;
    let impossible = sealed.ops.iter().filter_map(|op| {
        let reason = op.refused()?.clone();
        Some(self::refused(op, body, reason))
    });
    refused.extend(impossible);
    if refused.is_empty() && letters.is_empty() {
        return Ok(Vec::new());
    }
    let last = Last::of(sealed);
    refused.retain(|one| last.is(one.hash, one.version));
    let is_refused = |op: &Op| refused.iter().any(|one| one.hash == op.hash);
    let come_right =
        |op: &&Op| letters.has(op.hash) && last.is(op.hash, op.version) && !is_refused(op);
    let cleared: Vec<_> = sealed
        .ops
        .iter()
        .filter(come_right)
        .map(|op| Cleared {
            hash: op.hash,
            index: op.index_name(body),
            id: op.id(body),
            version: op.version,
        })
        .collect();
    if !cleared.is_empty() {
        letters.clear(&cleared).await?;
    }
    if !refused.is_empty() {
        letters.write(&refused).await?;
    }
    Ok(refused.iter().map(|one| (one.number, one.hash)).collect())
}

impl Op {
    /// In place of this operation, the deletion of a document that its row can't have.
    pub(super) fn refusal(&self, from: &[u8], reason: Reason, body: &mut Vec<u8>) -> Op {
        let deletion = self.deletion(&self.index_name(from), self.id(from), body);
        deletion.with(Note::Refused(reason))
    }

    /// A deletion of the same document at the same version, appended to `body`. An earlier operation of the same transaction
    /// may have been sent.
    fn deletion(&self, index: &str, id: &[u8], body: &mut Vec<u8>) -> Op {
        let start = body.len();
        let id_start = write_deletion(index, id, self.version, body);
        self.at(start, body.len() - start, id_start)
    }
}

#[cfg(test)]
mod tests {
    use super::super::answer::{Cause, ItemError};
    use super::*;

    #[test]
    fn what_is_logged_has_no_value_of_the_row() {
        let error = ItemError {
            kind: "document_parsing_exception".into(),
            reason: "failed to parse field [v] of type [date] in document with id '7'. Preview of field's value: 'secret'".into(),
            caused_by: Some(Cause { reason: Some("failed to parse date field [secret]".into()) }),
        };
        let reason = reason_of(&Item { status: 400, result: None, error: Some(error) });
        assert!(reason.short.ends_with("in document with id '7'."), "{}", reason.short);
        assert!(reason.full.ends_with("(failed to parse date field [secret])"), "{}", reason.full);
    }
}
