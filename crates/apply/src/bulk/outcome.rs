//! What the answer of the target means for one operation: one pure table.

use super::answer::Item;
use super::batch::Origin;
use crate::version::Version;

/// What is known of an operation now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its effect is in the index.
    Done,
    /// The index already shows something at least as new.
    Superseded,
    /// Try it again, as it is.
    Retry,
    /// The target will never take this document.
    Refused,
    /// The index is not there, or closed.
    IndexGone,
    /// An ingest pipeline dropped the document.
    Dropped,
    /// Two rows of a copy have the same `_id`.
    DuplicateId,
    /// The index holds a version that wal2es has not written.
    ForeignVersion(Version),
    /// The answer makes no sense.
    Nonsense,
}

/// The part of an operation that its outcome depends on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) version: Version,
    pub(crate) origin: Origin,
    /// An earlier attempt of this very operation may have been executed.
    pub(crate) retried: bool,
}

/// Judges one item. A failed item is retried for as long as its status says that it may succeed; how often it has
/// been is the caller's business.
pub(crate) fn judge(sent: Sent, item: &Item<'_>) -> Outcome {
    match (item.status, &item.error) {
        (200 | 201, None) if item.result.as_deref() == Some("noop") => Outcome::Dropped,
        // A delete of a document that is not there answers 404 and still leaves its version behind.
        (200 | 201 | 404, None) => Outcome::Done,
        (_, None) => Outcome::Nonsense,
        (409, Some(error)) => match current_version(&error.reason) {
            Some(current) => conflict(sent, current),
            None => Outcome::Nonsense,
        },
        (400, Some(error)) if error.kind == "index_closed_exception" => Outcome::IndexGone,
        (400 | 413, Some(_)) => Outcome::Refused,
        (404, Some(_)) => Outcome::IndexGone,
        // 403 is an index block (flood stage before it became 429, or an operator's): it may be lifted.
        (403 | 408 | 429 | 500.., Some(_)) => Outcome::Retry,
        (_, Some(_)) => Outcome::Nonsense,
    }
}

/// The index holds `current`, which kept `sent` out.
fn conflict(sent: Sent, current: Version) -> Outcome {
    match sent.origin {
        Origin::Copy if sent.retried && current == sent.version => Outcome::Done,
        // Two rows with one id are not told apart from one row twice: whoever sends rows again counts documents.
        Origin::CopyAgain if current == sent.version => Outcome::Done,
        Origin::Copy | Origin::CopyAgain => Outcome::DuplicateId,
        Origin::Replay | Origin::Queue => Outcome::Superseded,
        // Only this very operation can have made exactly this version: an attempt whose answer was lost, on the way to us
        // or between two nodes.
        Origin::Live if current == sent.version => Outcome::Done,
        // A repair or a copy that was made later shows this change already.
        Origin::Live if current.is_copied() && is_soon_after(current, sent.version) => {
            Outcome::Superseded
        }
        Origin::Live => Outcome::ForeignVersion(current),
    }
}

/// No stream is so many bytes behind its server: a copy beyond that is none of ours.
const FAR: u64 = 1 << 44;

fn is_soon_after(copy: Version, change: Version) -> bool {
    let (copy, change) = (copy.commit(), change.commit());
    copy >= change && copy.since(change) < FAR
}

/// `… current version [10] is higher or equal to the one provided [9]`: the only place where the answer tells it.
pub(crate) fn current_version(reason: &str) -> Option<Version> {
    let (_, rest) = reason.split_once("current version [")?;
    let (number, _) = rest.split_once(']')?;
    number.parse().ok().map(Version::from_raw)
}

#[cfg(test)]
mod tests {
    use change::{CommitLsn, Lsn};

    use super::super::answer::ItemError;
    use super::*;

    fn at(lsn: u64) -> Version {
        Version::streamed(CommitLsn(Lsn::new(lsn)), 0)
    }

    fn item(status: u16, error: Option<(&'static str, String)>) -> Item<'static> {
        let error = error.map(|(kind, reason)| ItemError {
            kind: kind.into(),
            reason: reason.into(),
            caused_by: None,
        });
        Item { status, result: None, error }
    }

    fn conflict_with(current: Version) -> Item<'static> {
        let reason = format!(
            "[7]: version conflict, current version [{current}] is higher or equal to the one provided [1]"
        );
        item(409, Some(("version_conflict_engine_exception", reason)))
    }

    #[test]
    fn statuses() {
        let live = Sent { version: at(800), origin: Origin::Live, retried: false };
        let failed = |status, kind| judge(live, &item(status, Some((kind, String::new()))));
        for status in [200, 201, 404] {
            assert_eq!(judge(live, &item(status, None)), Outcome::Done);
        }
        let noop = Item { status: 200, result: Some("noop".into()), error: None };
        assert_eq!(judge(live, &noop), Outcome::Dropped);
        assert_eq!(judge(live, &item(302, None)), Outcome::Nonsense);
        assert_eq!(failed(400, "mapper_parsing_exception"), Outcome::Refused);
        assert_eq!(failed(400, "index_closed_exception"), Outcome::IndexGone);
        assert_eq!(failed(404, "index_not_found_exception"), Outcome::IndexGone);
        for status in [403, 429, 500, 502, 503, 504] {
            assert_eq!(failed(status, "any"), Outcome::Retry);
        }
        assert_eq!(failed(409, "without a version in its reason"), Outcome::Nonsense);
    }

    #[test]
    fn conflicts() {
        let v = at(800);
        let cases = [
            // The first attempt beyond the replay never meets a version, unless a copy or repair was there first.
            (Origin::Live, false, at(800), Outcome::Done),
            (Origin::Live, false, at(808), Outcome::ForeignVersion(at(808))),
            (Origin::Live, false, Version::copied(Lsn::new(800)), Outcome::Superseded),
            (
                Origin::Live,
                false,
                Version::copied(Lsn::new(1 << 53)),
                Outcome::ForeignVersion(Version::copied(Lsn::new(1 << 53))),
            ),
            (
                Origin::Live,
                false,
                Version::copied(Lsn::new(792)),
                Outcome::ForeignVersion(Version::copied(Lsn::new(792))),
            ),
            // Its own effect, whose answer was lost.
            (Origin::Live, true, at(800), Outcome::Done),
            (Origin::Live, true, at(808), Outcome::ForeignVersion(at(808))),
            (Origin::Replay, false, at(808), Outcome::Superseded),
            (Origin::Queue, false, at(808), Outcome::Superseded),
            (Origin::Queue, true, at(800), Outcome::Superseded),
        ];
        for (origin, retried, current, expected) in cases {
            let sent = Sent { version: v, origin, retried };
            assert_eq!(judge(sent, &conflict_with(current)), expected, "{sent:?} {current:?}");
        }
    }

    #[test]
    fn a_copied_row_meets_nothing_but_its_own_earlier_attempt() {
        let version = Version::copied(Lsn::new(800));
        let copy = |retried| Sent { version, origin: Origin::Copy, retried };
        let again = Sent { version, origin: Origin::CopyAgain, retried: false };
        assert_eq!(judge(again, &conflict_with(version)), Outcome::Done);
        assert_eq!(judge(again, &conflict_with(at(808))), Outcome::DuplicateId);
        assert_eq!(judge(copy(false), &conflict_with(version)), Outcome::DuplicateId);
        assert_eq!(judge(copy(true), &conflict_with(version)), Outcome::Done);
        assert_eq!(judge(copy(true), &conflict_with(at(808))), Outcome::DuplicateId);
    }
}
