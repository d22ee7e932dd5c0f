//! Identifiers that are hard to quote, to print or to tell apart.

use super::values::Draw;

const HARD: &[&str] = &[
    "plain",
    "Name",
    "name",
    "NAME",
    "select",
    "user",
    "a.b",
    "a b",
    "quo\"te",
    "\"",
    "''",
    "back\\slash",
    "\\N",
    "x]: y[integer]:1",
    "integer]:",
    "new-tuple:",
    "100%",
    "%s",
    "ünïcödé",
    "😀",
    "e\u{301}",
    "tab\there",
    "new\nline",
    "_id",
    "_source",
    "null",
    "$1",
    "a,b",
    "(b)",
    "{c}",
    "*",
    " lead",
    "trail ",
    "..",
    "@timestamp",
];

/// What a name may have in bytes: <https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS>.
const LONGEST: usize = 63;

/// A name that `taken` says is free. `number` makes it so if need be.
pub fn fresh(d: &mut Draw, number: u32, taken: impl Fn(&str) -> bool) -> String {
    let name = d.pick(HARD);
    if !taken(name) && d.rng.bool() {
        return name.to_owned();
    }
    let name = format!("{name}{number}");
    if d.one_in(5) { longest(name) } else { name }
}

/// Filled to 63 bytes, by two-byte characters.
fn longest(mut name: String) -> String {
    while name.len() + 2 <= LONGEST {
        name.push('ä');
    }
    name.extend((name.len() < LONGEST).then_some('x'));
    name
}

/// As SQL writes an identifier.
pub fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A name with its schema.
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quoted(schema), quoted(name))
}
