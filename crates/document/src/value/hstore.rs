//! [`hstore`](https://www.postgresql.org/docs/current/hstore.html#HSTORE-EXTERNAL-REP): `"a"=>"1", "b"=>NULL` becomes an
//! object of strings and nulls.
//!
//! On output every key and value is quoted, NULL is not, and only `"` and `\` have a backslash before them.

use super::{array, write_null};
use crate::error::Malformed;
use crate::escape::write_text;
use crate::scratch::Scratch;

pub(super) fn write(
    text: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    out.push(b'{');
    let mut at = 0;
    while at < text.len() {
        if at > 0 {
            at = skip(text, at, b", ", "a comma and a space")?;
            out.push(b',');
        }
        at = write_quoted(text, at, scratch, out)?;
        at = skip(text, at, b"=>", "=>")?;
        out.push(b':');
        at = if text.get(at..).is_some_and(|rest| rest.starts_with(b"NULL")) {
            write_null(out);
            at + 4
        } else {
            write_quoted(text, at, scratch, out)?
        };
    }
    out.push(b'}');
    Ok(())
}

fn skip(text: &[u8], at: usize, mark: &[u8], expected: &'static str) -> Result<usize, Malformed> {
    let found = text.get(at..).is_some_and(|rest| rest.starts_with(mark));
    if found { Ok(at + mark.len()) } else { Err(Malformed::new(at, expected)) }
}

/// Writes the quoted text at `at` as a string and says where it ends.
fn write_quoted(
    text: &[u8],
    at: usize,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<usize, Malformed> {
    let start = skip(text, at, b"\"", "a quotation mark")?;
    let mut unescaped = scratch.take();
    let result = array::unescape(text, start, &mut unescaped).and_then(|end| {
        write_text(&unescaped, out).map(|()| end).map_err(|error| error.within(start))
    });
    scratch.give(unescaped);
    result
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;
    use change::PgType::Hstore;

    #[test]
    fn pairs_become_fields() {
        for (text, expected) in [
            ("", "{}"),
            (r#""a"=>"1""#, r#"{"a":"1"}"#),
            (r#""a"=>NULL, "b"=>"NULL", ""=>"""#, r#"{"a":null,"b":"NULL","":""}"#),
            (r#""a\"b"=>"c\\d", "=>"=>", ""#, r#"{"a\"b":"c\\d","=>":", "}"#),
            ("\"ü\"=>\"a\nb\"", r#"{"ü":"a\nb"}"#),
        ] {
            assert_eq!(written(&Hstore, text.as_bytes()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_hstore_is_an_error() {
        for (text, offset, expected) in [
            ("a=>1", 0, "a quotation mark"),
            ("\"a\"", 3, "=>"),
            ("\"a\"=>", 5, "a quotation mark"),
            ("\"a\"=>null", 5, "a quotation mark"),
            ("\"a\"=>\"1\",\"b\"=>\"2\"", 8, "a comma and a space"),
            ("\"a\"=>\"1\", ", 10, "a quotation mark"),
            ("\"a", 2, "a closing quotation mark"),
            ("\"a\"=>\"\\", 7, "a closing quotation mark"),
        ] {
            assert_eq!(written(&Hstore, text.as_bytes()), Err(Malformed::new(offset, expected)));
        }
        assert_eq!(written(&Hstore, b"\"a\"=>\"x\xff\""), Err(Malformed::new(7, "valid UTF-8")));
    }
}
