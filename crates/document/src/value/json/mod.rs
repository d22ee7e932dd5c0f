//! [`json` and `jsonb`](https://www.postgresql.org/docs/current/datatype-json.html): the value itself, checked against
//! [RFC 8259](https://www.rfc-editor.org/rfc/rfc8259) and without the white space between its tokens.
//!
//! One pass copies the text in runs, from one piece of white space to the next; numbers and strings keep every byte.
//! Of the fields of an object that have the same key only the last one stays, as in `jsonb`: search servers refuse a
//! document with a key twice. Objects and arrays that are open are kept in a [`Stack`], so depth costs no recursion.

mod keys;

use crate::error::Malformed;
use crate::escape::{find_special, utf8};
use crate::value::number;
use keys::Key;

/// Objects and arrays within each other. The search servers' own parsers stop there, the document around the value
/// counted in; OpenSearch refuses arrays from 21 deep (`index.mapping.depth.limit`).
const MAX_DEPTH: usize = 1000;

/// Keys that are kept room for between rows.
const KEEP_KEYS: usize = 1 << 14;

/// What is open while a value is read. Empty between two values.
#[derive(Debug, Default)]
pub(crate) struct Stack {
    open: Vec<Open>,
    keys: Vec<Key>,
}

#[derive(Debug, Clone, Copy)]
enum Open {
    Array,
    Object {
        /// The place of its first key in [`Stack::keys`].
        first_key: usize,
        /// Every key so far came after the one before it in the order of `jsonb`, so none is there twice.
        ascending: bool,
    },
}

/// Appends the value without white space.
pub(crate) fn write(text: &[u8], stack: &mut Stack, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let text = utf8(text)?;
    out.reserve(text.len());
    stack.open.clear();
    stack.keys.clear();
    stack.keys.shrink_to(KEEP_KEYS);
    Reader { text, at: 0, kept: 0, stack, out }.read()
}

struct Reader<'a> {
    text: &'a str,
    /// What comes next.
    at: usize,
    /// Up to here the text is in `out`, or was left out; from here to `at` it is still to be copied.
    kept: usize,
    stack: &'a mut Stack,
    out: &'a mut Vec<u8>,
}

impl Reader<'_> {
    fn read(&mut self) -> Result<(), Malformed> {
        self.skip_space();
        loop {
            self.value()?;
            loop {
                self.skip_space();
                let Some(&open) = self.stack.open.last() else {
                    self.copy();
                    return match self.peek() {
                        None => Ok(()),
                        Some(_) => self.fail("the end of the JSON value"),
                    };
                };
                match (open, self.peek()) {
                    (_, Some(b',')) => {
                        self.step();
                        if let Open::Object { .. } = open {
                            self.key()?;
                        }
                        break;
                    }
                    (Open::Array, Some(b']')) | (Open::Object { .. }, Some(b'}')) => self.close(),
                    (Open::Array, _) => return self.fail(", or ]"),
                    (Open::Object { .. }, _) => return self.fail(", or }"),
                }
            }
        }
    }

    /// Up to the end of a scalar or of an empty array or object, on the way opening the others.
    fn value(&mut self) -> Result<(), Malformed> {
        loop {
            match self.peek() {
                Some(b'"') => return self.string(),
                Some(b'-' | b'0'..=b'9') => {
                    self.at = number::scan(self.text.as_bytes(), self.at)?;
                    return Ok(());
                }
                Some(b't') => return self.word("true"),
                Some(b'f') => return self.word("false"),
                Some(b'n') => return self.word("null"),
                Some(b'[') => {
                    self.open(Open::Array)?;
                    if self.peek() == Some(b']') {
                        self.close();
                        return Ok(());
                    }
                }
                Some(b'{') => {
                    self.open(Open::Object { first_key: self.stack.keys.len(), ascending: true })?;
                    if self.peek() == Some(b'}') {
                        self.close();
                        return Ok(());
                    }
                    self.key()?;
                }
                _ => return self.fail("a JSON value"),
            }
        }
    }

    fn open(&mut self, open: Open) -> Result<(), Malformed> {
        if self.stack.open.len() == MAX_DEPTH {
            return self.fail("at most 1000 JSON arrays and objects within each other");
        }
        self.stack.open.push(open);
        self.step();
        Ok(())
    }

    fn close(&mut self) {
        if let Some(Open::Object { first_key, ascending }) = self.stack.open.pop() {
            if !ascending && keys::mark_superseded(self.text, &mut self.stack.keys[first_key..]) {
                self.copy();
                keys::remove_superseded(&self.stack.keys[first_key..], self.out);
            }
            self.stack.keys.truncate(first_key);
        }
        self.at += 1;
    }

    /// A key and the colon behind it.
    fn key(&mut self) -> Result<(), Malformed> {
        if self.peek() != Some(b'"') {
            return self.fail("a key in quotation marks");
        }
        let (field, start) = (self.out.len() + self.at - self.kept, self.at + 1);
        self.string()?;
        let key = Key::new(self.text, field, start..self.at - 1);
        if let Some(Open::Object { first_key, ascending }) = self.stack.open.last_mut() {
            let last = self.stack.keys.get(*first_key..).and_then(<[Key]>::last);
            *ascending = *ascending && last.is_none_or(|last| last.comes_before(&key, self.text));
        }
        self.stack.keys.push(key);
        self.skip_space();
        if self.peek() != Some(b':') {
            return self.fail(":");
        }
        self.step();
        Ok(())
    }

    fn string(&mut self) -> Result<(), Malformed> {
        let text = self.text.as_bytes();
        self.at += 1;
        loop {
            self.at = find_special(text, self.at);
            match text.get(self.at..).unwrap_or_default() {
                [b'"', ..] => {
                    self.at += 1;
                    return Ok(());
                }
                [b'\\', b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => self.at += 2,
                [b'\\', b'u', a, b, c, d, ..]
                    if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
                {
                    self.at += 6;
                }
                [b'\\', ..] => return self.fail("an escape sequence of JSON"),
                [] => return self.fail("the end of the string"),
                [_, ..] => return self.fail("no control character in a string"),
            }
        }
    }

    fn word(&mut self, word: &'static str) -> Result<(), Malformed> {
        if !self.text[self.at..].starts_with(word) {
            return self.fail(word);
        }
        self.at += word.len();
        Ok(())
    }

    /// Over one byte and the white space behind it.
    fn step(&mut self) {
        self.at += 1;
        self.skip_space();
    }

    #[inline]
    fn skip_space(&mut self) {
        if self.is_at_space() {
            self.copy();
            while self.is_at_space() {
                self.at += 1;
            }
            self.kept = self.at;
        }
    }

    #[inline]
    fn is_at_space(&self) -> bool {
        matches!(self.peek(), Some(b' ' | b'\n' | b'\t' | b'\r'))
    }

    fn copy(&mut self) {
        self.out.extend_from_slice(&self.text.as_bytes()[self.kept..self.at]);
        self.kept = self.at;
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[cold]
    fn fail(&self, expected: &'static str) -> Result<(), Malformed> {
        Err(Malformed::new(self.at, expected))
    }
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;
    use change::PgType::{Json, Jsonb};

    #[test]
    fn only_white_space_between_tokens_goes() {
        for (text, expected) in [
            ("1.50", "1.50"),
            ("null", "null"),
            (" \n true\t\r\n", "true"),
            (r#"" a\n b ""#, r#"" a\n b ""#),
            ("[ ]", "[]"),
            ("{ }", "{}"),
            (r#"{"a": 1, "b": [1, 2, {"c": null}]}"#, r#"{"a":1,"b":[1,2,{"c":null}]}"#),
            ("{\n  \"a\" :\n\t[ 1e400 , -0 ]\n}", r#"{"a":[1e400,-0]}"#),
            ("123456789012345678901234567890.10", "123456789012345678901234567890.10"),
            (r#"["\u0000\ud800", "ü😀"]"#, r#"["\u0000\ud800","ü😀"]"#),
            (r#"[[], {}, [[{}]]]"#, r#"[[],{},[[{}]]]"#),
            ("[\"\u{2028}\"]", "[\"\u{2028}\"]"),
        ] {
            for ty in [Json, Jsonb] {
                assert_eq!(written(&ty, text.as_bytes()).as_deref(), Ok(expected));
            }
        }
    }

    #[test]
    fn of_equal_keys_the_last_stays() {
        for (text, expected) in [
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#"{"a": 1, "b": 2, "a": 3}"#, r#"{"b":2,"a":3}"#),
            (r#"{"a":1,"\u0061":2,"b":3}"#, r#"{"\u0061":2,"b":3}"#),
            (r#"{"\ud83d\ude00":1,"😀":2}"#, r#"{"😀":2}"#),
            (r#"{"\ud800":1,"\uD800":2,"\ud801":3}"#, r#"{"\uD800":2,"\ud801":3}"#),
            (r#"{"\/":1,"/":2,"\n":3,"\u000A":4}"#, r#"{"/":2,"\u000A":4}"#),
            (r#"{"":1,"":2}"#, r#"{"":2}"#),
            (r#"{"a":{"x":1,"x":2},"a":{"y":[{"z":1,"z":2}],"y":3}}"#, r#"{"a":{"y":3}}"#),
            (r#"[{"b":1, "a":{"b":1}, "b":2}, {"b":3}]"#, r#"[{"a":{"b":1},"b":2},{"b":3}]"#),
            (r#"{"a":1,"A":2}"#, r#"{"a":1,"A":2}"#),
            (r#"{ "a":1 , "a" : 2 , "a" : { } }"#, r#"{"a":{}}"#),
        ] {
            assert_eq!(written(&Json, text.as_bytes()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn every_escape_is_the_character_it_stands_for() {
        for (short, long) in [
            ("\\b", "\\u0008"),
            ("\\t", "\\u0009"),
            ("\\n", "\\u000a"),
            ("\\f", "\\u000c"),
            ("\\r", "\\u000d"),
            ("\\\"", "\\u0022"),
            ("\\/", "\\u002F"),
            ("\\\\", "\\u005c"),
            ("\\ud83d\\u00e9", "\\uD83Dé"),
        ] {
            let text = format!(r#"{{"{short}":1,"{long}":2}}"#);
            assert_eq!(written(&Json, text.as_bytes()), Ok(format!(r#"{{"{long}":2}}"#)));
        }
    }

    #[test]
    fn many_keys_are_told_apart_as_few_are() {
        let field = |key: usize, value: usize| format!("\"{}\":{value}", key * 7919 % 1000);
        let twice: Vec<String> =
            (0..1000).map(|n| field(n, n)).chain((0..500).map(|n| field(n, 1000 + n))).collect();
        let once: Vec<String> =
            (500..1000).map(|n| field(n, n)).chain((0..500).map(|n| field(n, 1000 + n))).collect();
        let text = format!("{{{}}}", twice.join(", "));
        assert_eq!(written(&Json, text.as_bytes()), Ok(format!("{{{}}}", once.join(","))));
    }

    #[test]
    fn depth_ends_at_a_thousand() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(written(&Json, nested(1000).as_bytes()), Ok(nested(1000)));
        let error = written(&Json, nested(1001).as_bytes()).unwrap_err();
        assert_eq!(
            error,
            Malformed::new(1000, "at most 1000 JSON arrays and objects within each other")
        );
        let objects = "{\"a\":".repeat(100_000);
        assert_eq!(written(&Json, objects.as_bytes()).unwrap_err().offset, 5000);
    }

    #[test]
    fn what_is_no_json_is_an_error() {
        for (text, offset, expected) in [
            ("", 0, "a JSON value"),
            (" ", 1, "a JSON value"),
            ("nul", 0, "null"),
            ("True", 0, "a JSON value"),
            ("1 2", 2, "the end of the JSON value"),
            ("[1 2]", 3, ", or ]"),
            ("[1,]", 3, "a JSON value"),
            ("[1}", 2, ", or ]"),
            ("[", 1, "a JSON value"),
            ("{\"a\":1]", 6, ", or }"),
            ("{\"a\":1,}", 7, "a key in quotation marks"),
            ("{a:1}", 1, "a key in quotation marks"),
            ("{\"a\" 1}", 5, ":"),
            ("{\"a\":}", 5, "a JSON value"),
            ("{\"a\":1", 6, ", or }"),
            ("\"abc", 4, "the end of the string"),
            ("\"a\nb\"", 2, "no control character in a string"),
            ("\"\\x\"", 1, "an escape sequence of JSON"),
            ("\"\\u12g4\"", 1, "an escape sequence of JSON"),
            ("01", 1, "the end of the JSON value"),
            ("1.e5", 2, "a digit"),
            ("+1", 0, "a JSON value"),
            ("1\u{a0}", 1, "the end of the JSON value"),
            ("}", 0, "a JSON value"),
        ] {
            assert_eq!(
                written(&Json, text.as_bytes()),
                Err(Malformed::new(offset, expected)),
                "{text:?}"
            );
        }
        assert_eq!(written(&Json, b"\"\xff\""), Err(Malformed::new(1, "valid UTF-8")));
    }
}
