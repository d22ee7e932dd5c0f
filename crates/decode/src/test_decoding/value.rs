//! One value of a row.

use memchr::memchr;

use super::line::error_at;
use crate::error::{DecodeError, Fault};

/// How the values of a type are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Numbers: as they are, up to the next space.
    Bare,
    /// `B'101'`.
    Bits,
    /// `true` and `false`, where Postgres' text is `t` and `f`.
    Boolean,
    /// All others: in single quotes, those within doubled and nothing else changed.
    Quoted,
}

impl Form {
    /// By the name that `format_type` has for it; a user's type of such a name would be quoted or qualified.
    pub(super) fn of(type_name: &str) -> Form {
        match type_name {
            "smallint" | "integer" | "bigint" | "oid" | "real" | "double precision" | "numeric" => {
                Form::Bare
            }
            "bit" | "bit varying" => Form::Bits,
            "boolean" => Form::Boolean,
            _ => Form::Quoted,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Form::Bare => "a number",
            Form::Bits => "bits, B'…'",
            Form::Boolean => "true or false",
            Form::Quoted => "a value in quotes",
        }
    }
}

/// Where a value is in its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Null,
    Unchanged,
    /// Just these bytes.
    Plain {
        start: usize,
        end: usize,
    },
    /// These bytes, in which each quote stands twice.
    Doubled {
        start: usize,
        end: usize,
    },
}

/// The value that begins at `at`, and where it ends.
#[inline]
pub(super) fn read(line: &[u8], at: usize, form: Form) -> Result<(Found, usize), DecodeError> {
    match (form, line.get(at..).unwrap_or_default()) {
        (Form::Quoted, [b'\'', ..]) => quoted(line, at + 1),
        (Form::Bits, [b'B', b'\'', ..]) => quoted(line, at + 2),
        (_, rest) => bare(line, at, rest, form),
    }
}

/// `start` is behind the opening quote.
#[inline]
fn quoted(line: &[u8], start: usize) -> Result<(Found, usize), DecodeError> {
    let (mut at, mut doubled) = (start, false);
    while let Some(end) = memchr(b'\'', line.get(at..).unwrap_or_default()).map(|len| at + len) {
        if line.get(end + 1) != Some(&b'\'') {
            let found =
                if doubled { Found::Doubled { start, end } } else { Found::Plain { start, end } };
            return Ok((found, end + 1));
        }
        doubled = true;
        at = end + 2;
    }
    Err(error_at(line, start, Fault::Truncated("a value in quotes")))
}

#[inline]
fn bare(line: &[u8], at: usize, rest: &[u8], form: Form) -> Result<(Found, usize), DecodeError> {
    let len = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
    let text = rest.get(..len).unwrap_or_default();
    let digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'+' | b'-');
    let found = match (form, text) {
        (_, b"null") => Found::Null,
        (_, b"unchanged-toast-datum") => Found::Unchanged,
        (Form::Boolean, b"true" | b"false") => Found::Plain { start: at, end: at + 1 },
        (Form::Bare, [_, ..]) if text.iter().all(digit) => {
            Found::Plain { start: at, end: at + len }
        }
        _ => return Err(error_at(line, at, Fault::Expected(form.expected()))),
    };
    Ok((found, at + len))
}

/// Appends `text` with each doubled quote as one.
pub(super) fn undouble(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(quote) = memchr(b'\'', rest) {
        out.extend_from_slice(rest.get(..=quote).unwrap_or_default());
        rest = rest.get(quote + 2..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(start: usize, end: usize) -> Found {
        Found::Plain { start, end }
    }

    #[test]
    fn values_of_every_form() {
        for (line, ty, found, end) in [
            ("12 b[text]:", "integer", plain(0, 2), 2),
            ("-3", "smallint", plain(0, 2), 2),
            ("1e+300 ", "double precision", plain(0, 6), 6),
            ("-Infinity ", "real", plain(0, 9), 9),
            ("NaN", "numeric", plain(0, 3), 3),
            ("null ", "integer", Found::Null, 4),
            ("null", "text", Found::Null, 4),
            ("'null'", "text", plain(1, 5), 6),
            ("unchanged-toast-datum x", "text", Found::Unchanged, 21),
            ("true", "boolean", plain(0, 1), 4),
            ("false ", "boolean", plain(0, 1), 5),
            ("'t'", "public.yes", plain(1, 2), 3),
            ("'{t,f}'", "boolean[]", plain(1, 6), 7),
            ("B'101' ", "bit", plain(2, 5), 6),
            ("B''", "bit varying", plain(2, 2), 3),
            ("'' ", "text", plain(1, 1), 2),
            ("'a b[integer]:1\n' c", "text", plain(1, 16), 17),
            ("'it''s'", "text", Found::Doubled { start: 1, end: 6 }, 7),
            ("''''", "text", Found::Doubled { start: 1, end: 3 }, 4),
        ] {
            assert_eq!(read(line.as_bytes(), 0, Form::of(ty)), Ok((found, end)), "{line}");
        }
    }

    #[test]
    fn no_value() {
        for (line, ty, position, fault) in [
            ("", "integer", 0, Fault::Expected("a number")),
            ("1'2", "integer", 0, Fault::Expected("a number")),
            ("'t'", "boolean", 0, Fault::Expected("true or false")),
            ("'101'", "bit", 0, Fault::Expected("bits, B'…'")),
            ("1", "text", 0, Fault::Expected("a value in quotes")),
            ("'it''s", "text", 1, Fault::Truncated("a value in quotes")),
        ] {
            let error = read(line.as_bytes(), 0, Form::of(ty)).unwrap_err();
            assert_eq!((error.position, error.fault), (position, fault), "{line}");
        }
    }

    #[test]
    fn quotes_are_halved_and_backslashes_left() {
        for (text, value) in [("it''s", "it's"), ("''''", "''"), ("''a\\''", "'a\\'"), ("a", "a")] {
            let mut out = Vec::new();
            undouble(text.as_bytes(), &mut out);
            assert_eq!(out, value.as_bytes());
        }
    }
}
