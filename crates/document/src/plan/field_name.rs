//! Which names of columns can be names of fields.
//!
//! To a search server a dot leads into an object: `a.b` is the field `b` of the object `a`, in the mapping and, written
//! with its dot, in the document. So a name with dots is fine as long as each part is one and no other column claims
//! the object.

use super::{Field, Problem};

/// Fields of the servers' own. Most are refused when the mapping is made; the last ones are not, and do harm: a
/// document with a value in `__soft_deletes` is gone as soon as it is written.
const RESERVED: &[&str] = &[
    "_data_stream_timestamp",
    "_doc_count",
    "_feature",
    "_field_names",
    "_id",
    "_ignored",
    "_ignored_source",
    "_index",
    "_index_mode",
    "_inference_fields",
    "_nested_path",
    "_primary_term",
    "_routing",
    "_routing_hash",
    "_seq_no",
    "_size",
    "_source",
    "_tier",
    "_ts_routing_hash",
    "_tsid",
    "_type",
    "_version",
    "__soft_deletes",
    "_recovery_source",
    "_recovery_source_size",
    "_tombstone",
];

/// Where wal2es puts what it says about a document.
const OWN: &str = "_wal2es";

/// Parts of a name, so that the objects within each other stay within `index.mapping.depth.limit`, the document being
/// the first one.
const MAX_PARTS: usize = 20;

/// Why `name` can't be a field.
pub(super) fn reason(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("its name is empty");
    }
    let first = name.split('.').next().unwrap_or(name);
    if RESERVED.contains(&first) {
        return Some("search servers keep this name for themselves");
    }
    if first == OWN {
        return Some("wal2es keeps this name for itself");
    }
    if name.split('.').any(|part| part.trim().is_empty()) {
        return Some(
            "search servers take dots as a path, and a part of it is empty or white space",
        );
    }
    (name.split('.').count() > MAX_PARTS)
        .then_some("search servers take dots as a path, at most 20 deep")
}

/// What is wrong with the names of `fields`, alone and together.
pub(super) fn check(fields: &[Field]) -> Vec<Problem> {
    let names = || fields.iter().map(|field| field.name.as_str());
    let mut problems: Vec<_> = names()
        .filter_map(|name| {
            Some(Problem::FieldName { column: name.to_owned(), reason: reason(name)? })
        })
        .collect();
    let mut sorted: Vec<_> = names().collect();
    sorted.sort_unstable();
    for pair in sorted.windows(2) {
        if pair[0] == pair[1] {
            problems.push(Problem::SameField { field: pair[0].to_owned() });
        }
    }
    for inner in names().filter(|name| name.contains('.')) {
        let outer = inner.match_indices('.').map(|(at, _)| &inner[..at]);
        problems.extend(outer.filter(|outer| sorted.binary_search(outer).is_ok()).map(|outer| {
            Problem::FieldWithin { outer: outer.to_owned(), inner: inner.to_owned() }
        }));
    }
    problems
}
