//! Two texts of one JSON value as one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize as _;
use serde_json::value::RawValue;

/// Deeper than this a value stays as it is.
const DEEPEST: usize = 200;

/// The same value in one form, whoever wrote it: without spaces, keys in order, characters as themselves. Numbers keep
/// their digits: 1.50 is not 1.5. What is no JSON stays as it is.
pub(crate) fn canonical(source: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::with_capacity(source.len());
    match serde_json::from_slice::<&RawValue>(source) {
        Ok(value) if write(value.get(), 0, &mut out).is_ok() => Cow::Owned(out),
        _ => Cow::Borrowed(source),
    }
}

/// A string, with what is escaped in it or not.
#[derive(serde::Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn write(text: &str, depth: usize, out: &mut Vec<u8>) -> serde_json::Result<()> {
    match text.as_bytes().first() {
        Some(b'{') if depth < DEEPEST => {
            let fields: BTreeMap<Text<'_>, &RawValue> = serde_json::from_str(text)?;
            for (place, (name, value)) in fields.iter().enumerate() {
                out.push(if place == 0 { b'{' } else { b',' });
                serde_json::to_writer(&mut *out, &name.0)?;
                out.push(b':');
                write(value.get(), depth + 1, out)?;
            }
            out.extend_from_slice(if fields.is_empty() { b"{}" } else { b"}" });
        }
        Some(b'[') if depth < DEEPEST => {
            let elements: Vec<&RawValue> = serde_json::from_str(text)?;
            for (place, value) in elements.iter().enumerate() {
                out.push(if place == 0 { b'[' } else { b',' });
                write(value.get(), depth + 1, out)?;
            }
            out.extend_from_slice(if elements.is_empty() { b"[]" } else { b"]" });
        }
        Some(b'"') => {
            let text = Text::deserialize(&mut serde_json::Deserializer::from_str(text))?;
            serde_json::to_writer(out, &text.0)?;
        }
        _ => out.extend_from_slice(text.as_bytes()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(source: &str) -> String {
        String::from_utf8(canonical(source.as_bytes()).into_owned()).unwrap()
    }

    #[test]
    fn the_same_value_has_one_text() {
        let expected = r#"{"a":[1.50,null,{"x":"ä\"\n"},[],{}],"b":true}"#;
        assert_eq!(text(expected), expected);
        let other =
            " { \"b\" : true,\n\"\\u0061\":[ 1.50, null, {\"x\":\"\\u00e4\\\"\\n\"}, [ ], { } ] } ";
        assert_eq!(text(other), expected);
    }

    #[test]
    fn other_values_have_other_texts() {
        for (one, other) in
            [("1.50", "1.5"), ("1", "1.0"), ("\"1\"", "1"), ("[1,2]", "[2,1]"), ("{}", "[]")]
        {
            assert_ne!(text(one), text(other));
        }
    }

    #[test]
    fn what_can_not_be_read_stays() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for odd in ["", "{", "{\"a\"}", "x", deep.as_str()] {
            assert_eq!(text(odd), odd);
        }
    }
}
