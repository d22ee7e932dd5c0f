//! Whether an index holds exactly what its table holds, document by document.
//!
//! The expected documents are made by Postgres itself, from the text and JSON functions that it has; nothing of the
//! code under test has a part in them. Numbers are compared digit by digit.

mod actual;
mod expected;
mod json;

use std::collections::HashMap;
use std::fmt;

use postgres::Client;

use super::search::Search;
pub use actual::{Document, documents};
pub use json::Json;

/// The version of a copy, and the id of the first entry, where a trigger queue captures.
const COPIED: u64 = 1;
const FIRST_ENTRY: u64 = 1 << 20;

/// What is wrong with an index.
#[derive(Default)]
pub struct Differences {
    pub missing: Vec<String>,
    pub extra: Vec<String>,
    pub differing: Vec<String>,
    pub versions: Vec<String>,
    compared: usize,
}

/// What versions documents may have.
#[derive(Clone, Copy)]
pub enum Versions {
    /// Those of commits; if it is known what was applied, of none beyond it.
    Commits(Option<u64>),
    /// That of a copy, and those of entries of the trigger queue, of which this one was the last.
    Entries(u64),
    /// That of a copy, and those of events, of which this one has the last number.
    Events(u64),
}

/// Compares every row of `table` with every document behind `alias`.
pub fn compare(
    sql: &mut Client,
    search: &Search,
    table: &str,
    alias: &str,
    versions: Versions,
) -> Differences {
    differences(expected::documents(sql, table, "true"), documents(search, alias), versions)
}

/// The same for a part: the rows that `filter` is true for, and the documents with these ids.
pub fn compare_some(
    sql: &mut Client,
    search: &Search,
    table: &str,
    alias: &str,
    filter: &str,
    ids: &[String],
) -> Differences {
    let versions = Versions::Commits(None);
    differences(expected::documents(sql, table, filter), actual::some(search, alias, ids), versions)
}

fn differences(
    expected: HashMap<String, Json>,
    mut actual: HashMap<String, Document>,
    versions: Versions,
) -> Differences {
    let mut found = Differences { compared: expected.len(), ..Differences::default() };
    for (id, document) in &actual {
        found.versions.extend(versions.wrong(document.version).map(|why| format!("{id}: {why}")));
    }
    for (id, wanted) in expected {
        match actual.remove(&id) {
            None => found.missing.push(id),
            Some(document) => found.differing.extend(difference(&id, &wanted, &document)),
        }
    }
    found.extra = actual.into_keys().collect();
    found
}

impl Versions {
    /// What is wrong with a version.
    fn wrong(self, version: u64) -> Option<String> {
        match self {
            Versions::Commits(applied) => wrong_commit(version, applied),
            Versions::Entries(last) => {
                let right = version == COPIED || (FIRST_ENTRY..=last).contains(&version);
                (!right).then(|| format!("version {version} is of no entry up to {last}"))
            }
            Versions::Events(last) => {
                let right = (COPIED..=last + 1).contains(&version);
                (!right).then(|| format!("version {version} is of no event up to {last}"))
            }
        }
    }
}

/// `(C >> 3) << 12 | segment` is the formula of versions.
fn wrong_commit(version: u64, applied: Option<u64>) -> Option<String> {
    let commit = (version >> 12) << 3;
    if commit == 0 {
        return Some(format!("version {version} is of no commit"));
    }
    let applied = applied.filter(|applied| commit > *applied)?;
    Some(format!("version {version} is of {commit:X}, beyond what is applied, {applied:X}"))
}

fn difference(id: &str, wanted: &Json, document: &Document) -> Option<String> {
    let got = match Json::parse(&document.source) {
        Ok(got) => got,
        Err(why) => return Some(format!("{id}: {why}: {}", document.source)),
    };
    let what = got.difference(wanted)?;
    Some(format!("{id}: {what}"))
}

impl Differences {
    pub fn is_none(&self) -> bool {
        self.missing.is_empty()
            && self.extra.is_empty()
            && self.differing.is_empty()
            && self.versions.is_empty()
    }

    /// Fails with the differences, if there are any.
    pub fn expect_none(&self) {
        assert!(self.is_none(), "{self}");
    }
}

impl fmt::Display for Differences {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "index and table differ ({} rows):", self.compared)?;
        let lists = [
            ("missing", &self.missing),
            ("extra", &self.extra),
            ("differing", &self.differing),
            ("wrong versions", &self.versions),
        ];
        for (what, list) in lists {
            if !list.is_empty() {
                let first: Vec<&str> = list.iter().take(10).map(String::as_str).collect();
                writeln!(f, "{} {what}: {}", list.len(), first.join("\n  "))?;
            }
        }
        Ok(())
    }
}
