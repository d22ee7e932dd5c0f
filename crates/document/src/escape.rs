//! Strings of JSON: [RFC 8259, section 7](https://www.rfc-editor.org/rfc/rfc8259#section-7).
//!
//! Only what must be escaped is: the quotation mark, the reverse solidus, and the control characters up to U+001F, with
//! the short forms where there are any. Text that needs nothing, which is nearly all text, is found eight bytes at a
//! time and copied in one go.

use crate::error::Malformed;

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The high bit of each byte of `word` that a JSON string can't hold as it is. Bits above the lowest one set may be
/// wrong: a subtraction borrows from the next byte.
#[inline]
fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20);
    let quote = (word ^ (ONES * b'"' as u64)).wrapping_sub(ONES);
    let backslash = (word ^ (ONES * b'\\' as u64)).wrapping_sub(ONES);
    // Of a byte without high bit, exactly those three differences have it when they went below zero.
    (control | quote | backslash) & !word & HIGH
}

#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// The first position at or after `from` of a byte that a JSON string can't hold as it is; the length if there is none.
#[inline]
pub(crate) fn find_special(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    while let Some(chunk) = bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
        let hit = special(u64::from_le_bytes(*chunk));
        if hit != 0 {
            return at + (hit.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| is_special(byte)).unwrap_or(rest.len())
}

/// True when `bytes` are ASCII without anything to escape.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let plain = |chunk: &[u8; 8]| {
        let word = u64::from_le_bytes(*chunk);
        (special(word) | word & HIGH) == 0
    };
    match bytes.last_chunk::<8>() {
        // The last chunk may overlap the one before it: cheaper than looking at single bytes.
        Some(last) => bytes.as_chunks::<8>().0.iter().all(plain) && plain(last),
        None => bytes.iter().all(|&byte| byte.is_ascii() && !is_special(byte)),
    }
}

/// What follows the backslash for each control character; `u` means four hexadecimal digits.
const CONTROL: &[u8; 32] = b"uuuuuuuubtnufruuuuuuuuuuuuuuuuuu";

fn write_escaped(text: &[u8], out: &mut Vec<u8>) {
    let mut done = 0;
    loop {
        let at = find_special(text, done);
        out.extend_from_slice(&text[done..at]);
        let Some(&byte) = text.get(at) else { return };
        match CONTROL.get(usize::from(byte)) {
            None => out.extend_from_slice(&[b'\\', byte]),
            Some(b'u') => {
                let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            }
            Some(&letter) => out.extend_from_slice(&[b'\\', letter]),
        }
        done = at + 1;
    }
}

/// Appends `text` as a JSON string, quotation marks included. It must be UTF-8, as an id written by
/// [`Plan::write_id`](crate::Plan::write_id) is; bytes above 0x7F are copied as they are.
#[inline]
pub fn write_json_string(text: &[u8], out: &mut Vec<u8>) {
    out.reserve(text.len() + 2);
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
}

/// Appends the text of a value as a JSON string.
#[inline]
pub(crate) fn write_text(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.reserve(text.len() + 2);
    out.push(b'"');
    if is_plain(text) {
        out.extend_from_slice(text);
    } else {
        write_escaped(utf8(text)?.as_bytes(), out);
    }
    out.push(b'"');
    Ok(())
}

/// The text as UTF-8, which the connection's `client_encoding` promises, except for databases in SQL_ASCII.
#[inline]
pub(crate) fn utf8(text: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(text).map_err(|error| Malformed::new(error.valid_up_to(), "valid UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(text: &[u8]) -> String {
        let mut out = Vec::new();
        write_json_string(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn escapes_what_must_be_and_nothing_else() {
        for byte in 0..=127u8 {
            for place in 0..=17 {
                let mut text = vec![b'x'; 18];
                text[place] = byte;
                let expected = serde_json::to_string(std::str::from_utf8(&text).unwrap()).unwrap();
                assert_eq!(json(&text), expected);
                let mut out = Vec::new();
                write_text(&text, &mut out).unwrap();
                assert_eq!(out, expected.as_bytes());
            }
        }
        assert_eq!(json("ü\u{2028}😀".as_bytes()), "\"ü\u{2028}😀\"");
        assert_eq!(json(b""), "\"\"");
    }

    #[test]
    fn a_run_of_specials_is_found_one_by_one() {
        assert_eq!(
            json(b"\"\"\\\x00\x1f\n\x7f\r\t\x08\x0c"),
            "\"\\\"\\\"\\\\\\u0000\\u001f\\n\x7f\\r\\t\\b\\f\""
        );
    }

    #[test]
    fn refuses_what_is_not_utf8_and_says_where() {
        let mut out = Vec::new();
        assert_eq!(write_text(b"abcdefgh\xff", &mut out), Err(Malformed::new(8, "valid UTF-8")));
        assert_eq!(write_text(b"a\xc3", &mut out), Err(Malformed::new(1, "valid UTF-8")));
        assert_eq!(write_text(b"\xed\xa0\x80", &mut out), Err(Malformed::new(0, "valid UTF-8")));
    }
}
