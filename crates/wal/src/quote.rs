//! Text that goes into commands. Replication commands take no parameters, so it has to be quoted.

use crate::error::{Error, Result};

/// The names in the form that pgoutput's `publication_names` takes: `"a","b""c"`.
///
/// It still has to be quoted as a value, which [`start_replication`](crate::Connection::start_replication) does.
pub fn publication_names(names: &[&str]) -> String {
    names.iter().map(|name| identifier(name)).collect::<Vec<_>>().join(",")
}

/// `"name"`, with the quotes in it doubled.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `'text'`, with the quotes in it doubled. Sessions of this crate have `standard_conforming_strings = on`, and in
/// replication commands a backslash is never special.
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Checks what Postgres demands of [slot names](https://www.postgresql.org/docs/current/warm-standby.html).
///
/// # Errors
/// [`Error::Name`].
pub fn slot_name(name: &str) -> Result<&str> {
    let fits = (1..=63).contains(&name.len());
    if fits && name.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')) {
        return Ok(name);
    }
    Err(Error::Name {
        what: "replication slot",
        name: name.to_owned(),
        why: "must have 1 to 63 characters out of a-z, 0-9 and _",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(publication_names(&["a", "B c", "d\"e", "f'g"]), r#""a","B c","d""e","f'g""#);
        assert_eq!(literal(r"it's \ one"), r"'it''s \ one'");
        assert_eq!(literal(&publication_names(&["f'g"])), r#"'"f''g"'"#);
    }

    #[test]
    fn slot_names() {
        for good in ["a", "wal2es", "0_9", &"x".repeat(63)] {
            assert!(slot_name(good).is_ok(), "{good}");
        }
        for bad in ["", "A", "a-b", "a b", "ä", "a\"b", "a\0", &"x".repeat(64)] {
            assert!(slot_name(bad).is_err(), "{bad}");
        }
    }
}
