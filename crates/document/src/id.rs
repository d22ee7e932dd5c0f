//! The document's `_id`, made from the text of the key columns so that two different keys never share one.
//!
//! - One column: its text as it is.
//! - Several: a JSON array of the texts, `["a","1"]`. So also the one text that would not do or could be taken for an
//!   array: an empty one is `[""]`, and one that begins with `["` and ends with `"]` becomes an array of itself.
//! - What is longer than 512 bytes then, which search servers refuse, or begins with `sha256:`, is replaced by
//!   `sha256:` and the SHA-256 of it in 64 hexadecimal digits.
//!
//! Equality is that of bytes: numeric `1.0` and `1.00`, or two spellings of a citext, are two ids, just as Postgres
//! sends the old key when one becomes the other.

use sha2::{Digest, Sha256};

use crate::escape::write_json_string;

/// The longest `_id` that search servers take, in bytes.
pub const MAX_ID_BYTES: usize = 512;

const HASHED: &[u8] = b"sha256:";

/// Appends the id of a key of one column.
pub(crate) fn write_single(text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    let text = text.as_bytes();
    if text.is_empty() || (text.starts_with(b"[\"") && text.ends_with(b"\"]")) {
        write_element(true, text, out);
        out.push(b']');
    } else {
        out.extend_from_slice(text);
    }
    shorten(start, out);
}

/// Appends one more element of an array of texts, which the caller closes.
pub(crate) fn write_element(first: bool, text: &[u8], out: &mut Vec<u8>) {
    out.push(if first { b'[' } else { b',' });
    write_json_string(text, out);
}

/// Replaces the id that begins at `start` by its hash where it can't stay.
pub(crate) fn shorten(start: usize, out: &mut Vec<u8>) {
    let encoding = &out[start..];
    if encoding.len() <= MAX_ID_BYTES && !encoding.starts_with(HASHED) {
        return;
    }
    let digest = Sha256::digest(encoding);
    out.truncate(start);
    out.extend_from_slice(HASHED);
    for byte in digest {
        let digit = |nibble: u8| b"0123456789abcdef"[usize::from(nibble)];
        out.extend_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
}

/// The texts of the key columns, `width` of them, that make this id; None for a hash, or what is no id of ours.
pub fn key_of(id: &str, width: usize) -> Option<Vec<String>> {
    if id.as_bytes().starts_with(HASHED) {
        return None;
    }
    let is_array = id.starts_with("[\"") && id.ends_with("\"]");
    match (width, is_array) {
        (1, false) => Some(vec![id.to_owned()]),
        _ => serde_json::from_str(id).ok().filter(|texts: &Vec<String>| texts.len() == width),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_its_key_unless_it_is_a_hash() {
        for text in ["7", "", "a\"b", "[\"x\"]", "[", "ü"] {
            let mut id = Vec::new();
            write_single(text, &mut id);
            assert_eq!(key_of(std::str::from_utf8(&id).unwrap(), 1).unwrap(), [text]);
        }
        assert_eq!(key_of("[\"a\",\"\"]", 2).unwrap(), ["a", ""]);
        assert_eq!(key_of("[\"a\",\"b\"]", 1), None);
        assert_eq!(key_of("7", 2), None);
        let mut id = Vec::new();
        write_single(&"x".repeat(600), &mut id);
        assert_eq!(key_of(std::str::from_utf8(&id).unwrap(), 1), None);
    }

    fn single(text: &str) -> String {
        let mut out = b"before".to_vec();
        write_single(text, &mut out);
        String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned()
    }

    #[test]
    fn a_single_text_stays_unless_it_could_be_taken_for_another_form() {
        for (text, expected) in [
            ("42", "42"),
            ("1.00", "1.00"),
            ("a-b|c", "a-b|c"),
            (" ", " "),
            ("\n", "\n"),
            ("[1]", "[1]"),
            ("[\"a\"", "[\"a\""),
            ("", r#"[""]"#),
            (r#"["a"]"#, r#"["[\"a\"]"]"#),
            (r#"[""]"#, r#"["[\"\"]"]"#),
            ("[\"]", r#"["[\"]"]"#),
        ] {
            assert_eq!(single(text), expected);
        }
    }

    #[test]
    fn what_is_too_long_or_looks_hashed_is_hashed() {
        let long = "x".repeat(512);
        assert_eq!(single(&long), long);
        // printf 'x%.0s' $(seq 513) | sha256sum
        let hashed = single(&"x".repeat(513));
        assert_eq!(
            hashed,
            "sha256:35ade0090e64e74d6ad04204009c23a4e34b82bdf0f4f317fbcc5f26f9b10241"
        );
        let again = single(&hashed);
        assert!(again.starts_with("sha256:") && again != hashed);
    }
}
