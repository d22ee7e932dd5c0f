//! The comparison in passes finds what a plain one finds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use verify::{Selection, Sums, Unmatched, Versions};

type Side = BTreeMap<u16, u8>;

const VERSIONS: Versions = Versions { lowest: 1, at: 5, highest: 9 };

/// Rows and documents, most of them the same.
fn sides() -> impl Strategy<Value = (Side, Side)> {
    let side = || prop::collection::btree_map(any::<u16>(), 0_u8..3, 0..60);
    (side(), side(), side()).prop_map(|(both, mut rows, mut documents)| {
        rows.extend(&both);
        documents.extend(&both);
        (rows, documents)
    })
}

fn id(key: u16) -> Vec<u8> {
    key.to_string().into_bytes()
}

fn source(value: u8) -> Vec<u8> {
    format!("{{\"v\":{value}}}").into_bytes()
}

fn naive(rows: &Side, documents: &Side) -> BTreeSet<Vec<u8>> {
    let keys = rows.keys().chain(documents.keys());
    keys.filter(|key| rows.get(key) != documents.get(key)).map(|key| id(*key)).collect()
}

fn sums(rows: &Side, documents: &Side) -> Selection {
    let sums = Sums::new(10);
    for (key, value) in documents.iter().rev() {
        sums.document(&id(*key), &source(*value), 3, VERSIONS);
    }
    for (key, value) in rows {
        sums.row(&id(*key), &source(*value));
    }
    assert!(sums.foreign().is_empty());
    sums.differing()
}

/// By id in as many parts as it takes, keeping `most` at once.
fn by_id(rows: &Side, documents: &Side, mut left: Selection, most: usize) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    while !left.is_empty() {
        let before = left.len();
        let unmatched = Unmatched::new(left, most);
        for (key, value) in rows {
            unmatched.row(&id(*key), &source(*value), b"place");
        }
        for (key, value) in documents.iter().rev() {
            unmatched.document(&id(*key), &source(*value), 3);
        }
        let (entries, rest) = unmatched.end();
        for (id, entry) in entries {
            assert!(!entry.is_equal());
            assert!(found.insert(id.into_vec()), "found twice");
        }
        assert!(rest.len() < before, "no end");
        left = rest;
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn exactly_what_differs_is_found((rows, documents) in sides(), most in 1_usize..40) {
        let expected = naive(&rows, &documents);
        let selected = sums(&rows, &documents);
        prop_assert_eq!(selected.is_empty(), expected.is_empty());
        prop_assert!(expected.iter().all(|id| selected.contains(id)));
        prop_assert_eq!(by_id(&rows, &documents, selected, most), expected);
    }
}

#[test]
fn foreign_versions_are_kept_up_to_a_number() {
    let sums = Sums::new(2);
    for (key, version) in [(1, 0), (2, 9), (3, 10), (4, 11)] {
        sums.document(&id(key), b"{}", version, VERSIONS);
        sums.row(&id(key), b"{}");
    }
    assert_eq!(sums.foreign(), [id(1).into(), id(3).into()] as [Box<[u8]>; 2]);
    assert!(sums.differing().is_empty());
}
