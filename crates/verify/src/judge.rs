//! What the two sides of a key mean, while the index goes on changing.

use crate::Entry;

/// What versions tell of when a document was written. As numbers they rise with the commits.
#[derive(Clone, Copy, Debug)]
pub struct Versions {
    /// No commit has a version below this.
    pub lowest: u64,
    /// Everything above was written by a commit that the rows do not show yet.
    pub at: u64,
    /// No commit can have had a version above this by now.
    pub highest: u64,
}

impl Versions {
    /// No commit can have given a document this version.
    pub fn is_foreign(&self, version: u64) -> bool {
        !(self.lowest..=self.highest).contains(&version)
    }
}

/// How a key differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The row has no document.
    Missing,
    /// The document has no row.
    Extra,
    /// The document is not that of the row, though it is not older than it should be by the stream.
    Different,
    /// The document has a version that no commit gave it.
    Foreign,
}

/// See [`judge()`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing is wrong.
    Equal,
    /// The stream has changed the key, or may have: look again at a later position.
    Moving,
    /// It is wrong.
    Differs(Kind),
}

/// Decides over a key that was seen twice: `before`, if it was, and `now`. Each time the index was looked at after
/// everything that the rows show had become visible in it.
///
/// A document that is newer than the rows says nothing. One that is not, and not the row's, is wrong: nothing that the
/// stream has still to bring can be meant for it. A document that is not there has no version, and may have been deleted
/// since the rows were read; it is missing if a later look finds the very same row, so that nothing was done to the key
/// in between. What is said to differ must have been seen to differ twice, in the same way.
pub fn judge(before: Option<&Entry>, now: &Entry, versions: Versions) -> Verdict {
    let Entry { row, document } = now;
    if document.is_some_and(|document| versions.is_foreign(document.version)) {
        return Verdict::Differs(Kind::Foreign);
    }
    if now.is_equal() {
        return Verdict::Equal;
    }
    if document.is_some_and(|document| document.version > versions.at) {
        return Verdict::Moving;
    }
    let keys =
        |entry: &Entry| (entry.row.map(|row| row.place), entry.document.map(|doc| doc.version));
    let untouched = before.is_some_and(|before| keys(before) == keys(now));
    match (row, document) {
        _ if !untouched => Verdict::Moving,
        (Some(_), None) => Verdict::Differs(Kind::Missing),
        (None, _) => Verdict::Differs(Kind::Extra),
        (Some(_), Some(_)) => Verdict::Differs(Kind::Different),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DocumentSeen, Fingerprint, Place, RowSeen};

    const VERSIONS: Versions = Versions { lowest: 10, at: 100, highest: 200 };

    fn entry(row: Option<(&str, &str)>, document: Option<(&str, u64)>) -> Entry {
        let fingerprint = |source: &str| Fingerprint::of(b"1", source.as_bytes());
        Entry {
            row: row.map(|(source, place)| RowSeen {
                fingerprint: fingerprint(source),
                place: Place::of(place.as_bytes()),
            }),
            document: document.map(|(source, version)| DocumentSeen {
                fingerprint: fingerprint(source),
                version,
            }),
        }
    }

    fn once(now: Entry) -> Verdict {
        judge(None, &now, VERSIONS)
    }

    fn twice(now: Entry) -> Verdict {
        judge(Some(&now), &now, VERSIONS)
    }

    #[test]
    fn what_is_equal_needs_no_second_look() {
        assert_eq!(once(entry(Some(("a", "p")), Some(("a", 50)))), Verdict::Equal);
        assert_eq!(once(entry(Some(("a", "p")), Some(("a", 150)))), Verdict::Equal);
        assert_eq!(once(entry(None, None)), Verdict::Equal);
    }

    #[test]
    fn what_differs_is_looked_at_twice() {
        for (now, kind) in [
            (entry(Some(("a", "p")), None), Kind::Missing),
            (entry(None, Some(("a", 50))), Kind::Extra),
            (entry(Some(("a", "p")), Some(("b", 100))), Kind::Different),
        ] {
            assert_eq!(once(now), Verdict::Moving);
            assert_eq!(twice(now), Verdict::Differs(kind));
        }
    }

    #[test]
    fn what_the_stream_has_changed_is_not_judged() {
        for newer in [entry(None, Some(("a", 101))), entry(Some(("a", "p")), Some(("b", 101)))] {
            assert_eq!(twice(newer), Verdict::Moving);
        }
        let missing = |place| entry(Some(("a", place)), None);
        let written_again = judge(Some(&missing("p")), &missing("q"), VERSIONS);
        assert_eq!(written_again, Verdict::Moving);
        let there_before = entry(Some(("a", "p")), Some(("a", 50)));
        assert_eq!(judge(Some(&there_before), &missing("p"), VERSIONS), Verdict::Moving);
        let (old, new) = (entry(None, Some(("a", 50))), entry(None, Some(("a", 51))));
        assert_eq!(judge(Some(&old), &new, VERSIONS), Verdict::Moving);
    }

    #[test]
    fn foreign_versions_are_named_whatever_else_is_so() {
        for version in [0, 1, 9, 201, u64::MAX] {
            let same = entry(Some(("a", "p")), Some(("a", version)));
            assert_eq!(once(same), Verdict::Differs(Kind::Foreign), "{version}");
        }
        assert_eq!(once(entry(Some(("a", "p")), Some(("a", 10)))), Verdict::Equal);
        assert_eq!(once(entry(Some(("a", "p")), Some(("a", 200)))), Verdict::Equal);
    }
}
