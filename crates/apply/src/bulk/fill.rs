//! Values that an update did not send, because it left them alone: where they belong, and where they are.
//!
//! They are those of the row before. If the same transaction made the document of that row, in this batch, the values are
//! taken from there when the operation is appended; what is still missing then is that of the state *before the
//! transaction*, under the id that the row had there, and is filled in when the batch is delivered ([`super::filling`]).
//!
//! A row that takes the place of another one (keys swapped by way of a third) needs a document that its own transaction
//! overwrites earlier in the batch: such an operation is `early`, its values are read before anything of the transaction
//! is sent. All others read in the order of the batch: nothing before them touches what they need.

use std::borrow::Cow;
use std::collections::HashMap;

use document::{Hole, Partial};
use serde_json::value::RawValue;

use super::batch::Op;

/// So many early operations fill a request: what they need is in memory at once.
pub(super) const EARLY: usize = 64;

/// What is missing in the source of an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fill {
    /// In the order of the source.
    pub(super) holes: Vec<Hole>,
    /// The id of the document before, not escaped, if it is not the operation's own.
    pub(super) base: Option<Vec<u8>>,
    /// See the module.
    pub(super) early: bool,
    pub(super) row: RowRef,
}

/// A row of a table, as one transaction has left it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RowRef {
    /// Which managed index.
    pub at: usize,
    /// Its key, as Postgres prints it, in the order of the id's columns.
    pub key: Vec<String>,
    /// The transaction.
    pub xid: u32,
}

impl Fill {
    /// Everything that `partial` lacks, from the document `before`, or from the one that it replaces.
    pub(super) fn new(row: RowRef, partial: &Partial, before: Option<&[u8]>) -> Self {
        Fill { holes: partial.holes.clone(), base: before.map(<[u8]>::to_vec), early: false, row }
    }
}

/// Fills the document `id` from `op`, which is in `body` and made the document `base` earlier in the transaction. Gives the
/// source and what is still missing in it.
pub(super) fn from_operation<'p>(
    row: RowRef,
    (id, base): (&[u8], &[u8]),
    partial: &'p Partial,
    op: &Op,
    body: &[u8],
) -> (Cow<'p, [u8]>, Fill) {
    let moved = (base != id).then_some(base);
    let fill = Fill::new(row, partial, moved);
    let no_holes = Fill::default();
    let lacking = op.fill().unwrap_or(&no_holes);
    let whole = op.source(body).map(|source| with_nulls(source, &lacking.holes));
    let Some(fields) = whole.as_deref().and_then(fields) else {
        return (Cow::Borrowed(&partial.source), fill);
    };
    let lacks = |hole: &Hole| lacking.holes.iter().any(|other| other.field == hole.field);
    let value = |hole: &Hole| if lacks(hole) { None } else { fields.get(&*hole.field).copied() };
    let (source, holes) = splice(&partial.source, &partial.holes, value);
    let base = lacking.base.as_deref().unwrap_or(base);
    let moved = base != id;
    let fill = Fill { holes, base: moved.then(|| base.to_vec()), early: moved, ..fill };
    (Cow::Owned(source), fill)
}

/// The fields of a document, each value as it stands there.
pub(super) fn fields(source: &[u8]) -> Option<HashMap<String, &RawValue>> {
    serde_json::from_slice(source).ok()
}

/// The source with the values that `value` knows in its holes, and the holes that remain.
pub(super) fn splice<'v>(
    source: &[u8],
    holes: &[Hole],
    value: impl Fn(&Hole) -> Option<&'v RawValue>,
) -> (Vec<u8>, Vec<Hole>) {
    let (mut spliced, mut left, mut done) = (Vec::with_capacity(source.len()), Vec::new(), 0);
    for hole in holes {
        spliced.extend_from_slice(source.get(done..hole.at).unwrap_or_default());
        done = hole.at;
        match value(hole) {
            Some(value) => spliced.extend_from_slice(value.get().as_bytes()),
            None => left.push(Hole { at: spliced.len(), ..hole.clone() }),
        }
    }
    spliced.extend_from_slice(source.get(done..).unwrap_or_default());
    (spliced, left)
}

/// A document with holes as one that can be parsed.
fn with_nulls<'s>(source: &'s [u8], holes: &[Hole]) -> Cow<'s, [u8]> {
    if holes.is_empty() {
        return Cow::Borrowed(source);
    }
    let (mut whole, mut done) = (Vec::with_capacity(source.len() + 4 * holes.len()), 0);
    for hole in holes {
        whole.extend_from_slice(source.get(done..hole.at).unwrap_or_default());
        whole.extend_from_slice(b"null");
        done = hole.at;
    }
    whole.extend_from_slice(source.get(done..).unwrap_or_default());
    Cow::Owned(whole)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_taken_as_they_stand() {
        let source = br#"{"id":1,"a":,"n":2,"b":}"#;
        let hole = |field: &str, at| Hole { field: field.into(), at };
        let holes = [hole("a", 12), hole("b", 23)];
        let before = br#"{"id":1,"a":1.50,"b":[ 1.0, "x" ]}"#;
        let values = fields(before).unwrap();
        let (whole, left) = splice(source, &holes, |hole| values.get(&*hole.field).copied());
        assert_eq!(whole, br#"{"id":1,"a":1.50,"n":2,"b":[ 1.0, "x" ]}"#);
        assert_eq!(left, []);
        let only_a =
            |hole: &Hole| values.get(&*hole.field).copied().filter(|_| &*hole.field == "a");
        let (part, left) = splice(source, &holes, only_a);
        assert_eq!(part, br#"{"id":1,"a":1.50,"n":2,"b":}"#);
        assert_eq!(left, [hole("b", 27)]);
        assert_eq!(with_nulls(&part, &left), br#"{"id":1,"a":1.50,"n":2,"b":null}"#.as_slice());
    }
}
