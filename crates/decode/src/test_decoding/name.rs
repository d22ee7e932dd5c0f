//! Names, as `quote_identifier` and `format_type` of the server write them.

use change::TableName;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::{is_not, tag, take_while, take_while_m_n};
use nom::character::complete::char;
use nom::combinator::{opt, recognize};
use nom::error::context;
use nom::multi::{many0_count, many1_count};
use nom::sequence::{delimited, separated_pair};

use super::line::{Failure, Parsed};
use crate::error::Fault;

/// `"a""b"`, quotes and all.
fn quoted(input: &[u8]) -> Parsed<'_, &[u8]> {
    let inner = many0_count(alt((is_not("\""), tag("\"\""))));
    recognize(delimited(char('"'), inner, char('"'))).parse(input)
}

/// What needs no quotes.
fn plain(input: &[u8]) -> Parsed<'_, &[u8]> {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte == b'_';
    let other = move |byte: u8| first(byte) || byte.is_ascii_digit();
    recognize((take_while_m_n(1, 1, first), take_while(other))).parse(input)
}

fn utf8<'a>(
    input: &'a [u8],
    raw: &'a [u8],
    what: &'static str,
) -> Result<&'a str, nom::Err<Failure<'a>>> {
    std::str::from_utf8(raw).map_err(|_| Failure::new(input, Fault::NotUtf8(what)))
}

fn written(input: &[u8]) -> Parsed<'_, &[u8]> {
    context("a name", alt((plain, quoted))).parse(input)
}

/// An [identifier](https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS), unquoted.
fn identifier(input: &[u8]) -> Parsed<'_, String> {
    let (rest, raw) = written(input)?;
    let name = utf8(input, raw, "a name")?;
    let inner = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    Ok((rest, inner.map_or_else(|| name.to_owned(), |inner| inner.replace("\"\"", "\""))))
}

/// `schema.name`, unquoted.
pub(super) fn table(input: &[u8]) -> Parsed<'_, TableName> {
    let (rest, (schema, name)) = qualified(identifier).parse(input)?;
    Ok((rest, TableName { schema, name }))
}

/// `schema.name` as it is written.
pub(super) fn written_table(input: &[u8]) -> Parsed<'_, &[u8]> {
    recognize(qualified(written)).parse(input)
}

fn qualified<'a, T>(
    part: impl Fn(&'a [u8]) -> Parsed<'a, T> + Copy,
) -> impl Parser<&'a [u8], Output = (T, T), Error = Failure<'a>> {
    separated_pair(part, context("a dot between schema and table", char('.')), part)
}

/// What [`format_type`](https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-CATALOG) makes of a
/// type: brackets only at the end or in quotes.
fn type_name(input: &[u8]) -> Parsed<'_, &str> {
    let words = many1_count(alt((quoted, is_not("\"[]"))));
    let (rest, raw) = context("a type", recognize((words, opt(tag("[]"))))).parse(input)?;
    Ok((rest, utf8(input, raw, "the name of a type")?))
}

/// What comes before a value: ` name[type]:`.
pub(super) fn column(input: &[u8]) -> Parsed<'_, (String, &str)> {
    let open = context("a type in brackets", char('['));
    let close = context("the end of the type", tag("]:"));
    let name = (context("a space and a column", char(' ')), identifier);
    let (rest, ((_, name), ty)) = (name, delimited(open, type_name, close)).parse(input)?;
    Ok((rest, (name, ty)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_decoding::line::{parse, parse_at};

    fn head(line: &str) -> (String, &str) {
        let ((name, ty), end) = parse_at(line.as_bytes(), 0, column).unwrap();
        assert_eq!(end, line.len());
        (name, ty)
    }

    #[test]
    fn heads_of_columns() {
        for (line, name, ty) in [
            (" id[integer]:", "id", "integer"),
            (" _1[character varying]:", "_1", "character varying"),
            (" \"Na.me\"[\"char\"]:", "Na.me", "\"char\""),
            (" \"q\"\"u\"[integer[]]:", "q\"u", "integer[]"),
            (" \"a[b]:'\"[public.\"we]ird:\"[]]:", "a[b]:'", "public.\"we]ird:\"[]"),
            (" m[\"S c\".\"a\"\"]:\"]:", "m", "\"S c\".\"a\"\"]:\""),
            (" \"ünï\"[???]:", "ünï", "???"),
            (" \"\"[timestamp with time zone]:", "", "timestamp with time zone"),
        ] {
            assert_eq!(head(line), (name.to_owned(), ty));
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (line, at, fault) in [
            ("", 0, Fault::Expected("a space and a column")),
            (" Id[text]:", 1, Fault::Expected("a name")),
            (" id:", 3, Fault::Expected("a type in brackets")),
            (" id[]:", 4, Fault::Expected("a type")),
            (" id[text]", 8, Fault::Expected("the end of the type")),
            (" id[a[][]]:", 7, Fault::Expected("the end of the type")),
            (" \"id[text]:", 11, Fault::Expected("a name")),
        ] {
            let error = parse(line.as_bytes(), column).unwrap_err();
            assert_eq!((error.position, error.fault), (at, fault), "{line}");
        }
        let error = parse(b" \"\xff\"[text]:", column).unwrap_err();
        assert_eq!((error.position, error.fault), (1, Fault::NotUtf8("a name")));
        let error = parse(b" a[t\xff]:", column).unwrap_err();
        assert_eq!((error.position, error.fault), (3, Fault::NotUtf8("the name of a type")));
    }

    #[test]
    fn tables() {
        assert_eq!(parse(b"public.t", table).unwrap(), TableName::new("public", "t"));
        let odd = parse(b"\"a.b\".\"c: INSERT\"", table).unwrap();
        assert_eq!(odd, TableName::new("a.b", "c: INSERT"));
        assert_eq!(parse(b"public", table).unwrap_err().position, 6);
    }
}
