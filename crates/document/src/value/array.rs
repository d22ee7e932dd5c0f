//! [Arrays](https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO): `{1,NULL,"a \"b\""}` becomes a JSON array
//! of elements, each written as its own type is.
//!
//! Dimensions become arrays within arrays. Lower bounds (`[0:1]={…}`) are dropped. An element is SQL NULL only when
//! `NULL` stands there without quotation marks. Postgres quotes whatever could be mistaken, so nothing is lenient here.

use super::{Writer, write_null};
use crate::error::Malformed;
use crate::scratch::Scratch;

/// Dimensions of an array at most (`MAXDIM` of Postgres).
const MAX_DIMENSIONS: usize = 6;

pub(super) fn write(
    element: &Writer,
    delimiter: u8,
    text: &[u8],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<(), Malformed> {
    let mut at = after_bounds(text)?;
    if text.get(at) != Some(&b'{') {
        return Err(Malformed::new(at, "{"));
    }
    let mut depth = 0;
    // How deep the elements lie; the same for all.
    let mut leaves = None;
    loop {
        // An element or an array begins here.
        match text.get(at) {
            Some(b'{') => {
                if depth == MAX_DIMENSIONS || leaves.is_some_and(|leaves| depth == leaves) {
                    return Err(Malformed::new(at, "an element"));
                }
                depth += 1;
                at += 1;
                out.push(b'[');
                if text.get(at) != Some(&b'}') {
                    continue;
                }
            }
            _ => {
                if *leaves.get_or_insert(depth) != depth {
                    return Err(Malformed::new(at, "{"));
                }
                at = write_element(element, delimiter, text, at, scratch, out)?;
            }
        }
        // What was written stands at the end of an element, or before a bracket.
        loop {
            match text.get(at) {
                Some(b'}') => {
                    depth -= 1;
                    at += 1;
                    out.push(b']');
                    if depth == 0 {
                        let end = at == text.len();
                        return if end {
                            Ok(())
                        } else {
                            Err(Malformed::new(at, "the end of the array"))
                        };
                    }
                }
                Some(&byte) if byte == delimiter => {
                    at += 1;
                    out.push(b',');
                    break;
                }
                _ => return Err(Malformed::new(at, "a delimiter or }")),
            }
        }
    }
}

/// Where the array itself begins, behind lower and upper bounds if they are there: `[0:1][-3:5]=`.
fn after_bounds(text: &[u8]) -> Result<usize, Malformed> {
    if text.first() != Some(&b'[') {
        return Ok(0);
    }
    let is_bound = |byte: &u8| matches!(byte, b'[' | b']' | b':' | b'-' | b'+' | b'0'..=b'9');
    let end = text.iter().position(|byte| !is_bound(byte)).unwrap_or(text.len());
    if text.get(end) == Some(&b'=') { Ok(end + 1) } else { Err(Malformed::new(end, "=")) }
}

/// Writes the element at `start` and says where it ends.
fn write_element(
    element: &Writer,
    delimiter: u8,
    text: &[u8],
    start: usize,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<usize, Malformed> {
    let rest = text.get(start..).unwrap_or_default();
    if rest.first() == Some(&b'"') {
        return write_quoted(element, text, start + 1, scratch, out);
    }
    let ends = |&byte: &u8| byte == delimiter || matches!(byte, b'{' | b'}' | b'"' | b'\\');
    let len = rest.iter().position(ends).unwrap_or(rest.len());
    match &rest[..len] {
        [] => return Err(Malformed::new(start, "an element")),
        b"NULL" => write_null(out),
        plain => element.write(plain, scratch, out).map_err(|error| error.within(start))?,
    }
    Ok(start + len)
}

/// Writes the element that begins at `start`, right behind its quotation mark.
fn write_quoted(
    element: &Writer,
    text: &[u8],
    start: usize,
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) -> Result<usize, Malformed> {
    let rest = text.get(start..).unwrap_or_default();
    let Some(len) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')) else {
        return Err(Malformed::new(text.len(), "a closing quotation mark"));
    };
    if rest[len] == b'"' {
        element.write(&rest[..len], scratch, out).map_err(|error| error.within(start))?;
        return Ok(start + len + 1);
    }
    let mut unescaped = scratch.take();
    let result = unescape(text, start, &mut unescaped).and_then(|end| {
        let written = element.write(&unescaped, scratch, out);
        written.map(|()| end).map_err(|error| Malformed::new(start, error.expected))
    });
    scratch.give(unescaped);
    result
}

/// Appends what stands from `start` to the next quotation mark without the backslashes, and says where it ends, behind
/// that mark.
pub(super) fn unescape(text: &[u8], start: usize, out: &mut Vec<u8>) -> Result<usize, Malformed> {
    let mut at = start;
    loop {
        let rest = text.get(at..).unwrap_or_default();
        let len = rest.iter().position(|byte| matches!(byte, b'"' | b'\\')).unwrap_or(rest.len());
        out.extend_from_slice(&rest[..len]);
        match &rest[len..] {
            [b'\\', byte, ..] => out.push(*byte),
            [b'"', ..] => return Ok(at + len + 1),
            _ => return Err(Malformed::new(text.len(), "a closing quotation mark")),
        }
        at += len + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;
    use change::{PgType, RangeBound};

    fn array(element: PgType) -> PgType {
        PgType::Array { element: Box::new(element), delimiter: b',' }
    }

    #[test]
    fn elements_are_written_as_their_type_is() {
        for (element, text, expected) in [
            (PgType::Int4, "{}", "[]"),
            (PgType::Int4, "{1,2,NULL}", "[1,2,null]"),
            (PgType::Int4, "{NULL}", "[null]"),
            (PgType::Int4, "{{1,2},{3,NULL}}", "[[1,2],[3,null]]"),
            (PgType::Int4, "[0:1]={1,2}", "[1,2]"),
            (PgType::Int4, "[-1:0][2:3]={{1,2},{3,4}}", "[[1,2],[3,4]]"),
            (PgType::Int4, "{{{{{{1}}}}}}", "[[[[[[1]]]]]]"),
            (PgType::Bool, "{t,f}", "[true,false]"),
            (PgType::Numeric, "{1.50,NaN}", "[1.50,null]"),
            (
                PgType::Text,
                r#"{a,"",NULL,"NULL","null","a\"b","c\\d","{}"," x","a,b",it's}"#,
                r#"["a","",null,"NULL","null","a\"b","c\\d","{}"," x","a,b","it's"]"#,
            ),
            (PgType::Text, "{\"a\nb\",ü,\"\\\\\"}", r#"["a\nb","ü","\\"]"#),
            (PgType::Bytea, r#"{"\\x6869","\\x",NULL}"#, r#"["aGk=","",null]"#),
            (
                PgType::Timestamp,
                r#"{"2024-02-29 12:34:56.7",infinity}"#,
                r#"["2024-02-29T12:34:56.7",null]"#,
            ),
            (
                PgType::Jsonb,
                r#"{"{\"a\": [1, \"x\\\"y\"]}",1,"null","[]"}"#,
                r#"[{"a":[1,"x\"y"]},1,null,[]]"#,
            ),
            (PgType::Range(RangeBound::Int4), r#"{"[1,5)",empty}"#, r#"[{"gte":1,"lt":5},null]"#),
            (
                PgType::Range(RangeBound::Timestamp),
                r#"{"[\"2024-01-01 00:00:00\",)"}"#,
                r#"[{"gte":"2024-01-01T00:00:00"}]"#,
            ),
            (PgType::Hstore, r#"{"\"a\"=>\"x\\\"y\"",""}"#, r#"[{"a":"x\"y"},{}]"#),
            (PgType::Vector(None), r#"{"[1,2]","[3,4]"}"#, "[[1,2],[3,4]]"),
            (array(PgType::Text), r#"{"{a,\"b c\"}","{}"}"#, r#"[["a","b c"],[]]"#),
        ] {
            assert_eq!(
                written(&array(element), text.as_bytes()).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn another_delimiter_leaves_commas_alone() {
        let boxes = PgType::Array { element: Box::new(PgType::Other), delimiter: b';' };
        assert_eq!(
            written(&boxes, b"{(1,1),(0,0);NULL;(2,2),(1,1)}").as_deref(),
            Ok(r#"["(1,1),(0,0)",null,"(2,2),(1,1)"]"#)
        );
    }

    #[test]
    fn what_is_no_array_is_an_error() {
        let quote = "a closing quotation mark";
        for (text, offset, expected) in [
            ("", 0, "{"),
            ("1", 0, "{"),
            ("{", 1, "an element"),
            ("{,}", 1, "an element"),
            ("{1,}", 3, "an element"),
            ("{1", 2, "a delimiter or }"),
            ("{1}}", 3, "the end of the array"),
            ("{1} ", 3, "the end of the array"),
            ("{{1},2}", 5, "{"),
            ("{1,{2}}", 3, "an element"),
            ("{{{{{{{1}}}}}}}", 6, "an element"),
            ("{\"1\"2}", 4, "a delimiter or }"),
            ("{\"1", 3, quote),
            ("{\"1\\", 4, quote),
            ("{\"1\\\"", 5, quote),
            ("[0:1]{1}", 5, "="),
            ("[0:1", 4, "="),
            ("[0:1]=", 6, "{"),
            ("{1,x}", 3, "a digit"),
            ("{1,\"\\x\"}", 4, "a digit"),
        ] {
            let result = written(&array(PgType::Int4), text.as_bytes());
            assert_eq!(result, Err(Malformed::new(offset, expected)), "{text}");
        }
    }
}
