//! What must hold of a value by its type.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use change::PgType;
use document::DocumentError;
use serde_json::Value;

use super::json;

/// Objects and arrays within each other, at most; see the writer of JSON.
const MAX_DEPTH: usize = 1000;

/// Checks what became of `text`: `None` if it was refused.
pub(super) fn check(ty: &PgType, text: &[u8], value: Option<&str>) {
    let utf8 = std::str::from_utf8(text).ok();
    match ty {
        PgType::Bool => assert_eq!(value, bool(text)),
        PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid => {
            let digits = |text: &&str| text.parse::<i128>().is_ok_and(|it| it.to_string() == *text);
            let long = utf8.is_some_and(|text| text.len() > 38 || text == "-0");
            assert!(value.is_none() || value == utf8);
            assert!(long || value.is_some() == utf8.as_ref().is_some_and(digits), "{utf8:?}");
        }
        PgType::Float4 | PgType::Float8 | PgType::Numeric => {
            let finite = !matches!(text, b"NaN" | b"Infinity" | b"-Infinity");
            let number = |text: &&str| {
                json::is_one_value(text)
                    && text.ends_with(|last: char| last.is_ascii_digit())
                    && text.starts_with(|first: char| first == '-' || first.is_ascii_digit())
            };
            assert_eq!(value, if finite { utf8.filter(number) } else { Some("null") });
        }
        PgType::Text | PgType::Uuid | PgType::Enum | PgType::TsVector | PgType::Other => {
            let said = value.and_then(|value| serde_json::from_str::<String>(value).ok());
            assert_eq!(said.as_deref(), utf8);
        }
        PgType::Bytea => {
            if let Some(value) = value {
                let bytes = STANDARD.decode(value.trim_matches('"')).unwrap_or_default();
                let hex =
                    bytes.iter().fold("\\x".to_owned(), |hex, byte| hex + &format!("{byte:02x}"));
                assert_eq!(hex.as_bytes(), text.to_ascii_lowercase());
            }
        }
        PgType::Json | PgType::Jsonb => json_value(utf8, value),
        PgType::Date | PgType::Timestamp | PgType::TimestampTz => {
            let form =
                |value: &str| matches!(json::value(value), Some(Value::Null | Value::String(_)));
            assert!(value.is_none_or(form), "{value:?}");
        }
        PgType::Range(_) => {
            assert!(value.and_then(json::value).is_none_or(|value| is_range(&value)));
        }
        PgType::Hstore => assert!(value.and_then(json::value).is_none_or(|value| is_flat(&value))),
        PgType::Vector(_) | PgType::Array { .. } => {
            assert!(value.is_none_or(|value| value.starts_with('[')), "{value:?}");
        }
    }
}

/// Checks what must hold of `value` when it is taken for a text itself.
pub(super) fn again(
    ty: &PgType,
    value: &str,
    written: impl Fn(&[u8]) -> Result<String, DocumentError>,
) {
    let same = match ty {
        PgType::Json | PgType::Jsonb => true,
        PgType::Float4 | PgType::Float8 | PgType::Numeric => value != "null",
        _ => false,
    };
    if same {
        assert_eq!(
            written(value.as_bytes()).as_deref(),
            Ok(value),
            "a second time is not as the first"
        );
    }
}

fn bool(text: &[u8]) -> Option<&'static str> {
    match text {
        b"t" => Some("true"),
        b"f" => Some("false"),
        _ => None,
    }
}

/// The writer takes what serde_json takes, and means the same.
fn json_value(text: Option<&str>, value: Option<&str>) {
    let Some(value) = value else {
        let Some(text) = text.filter(|text| json::is_one_value(text)) else { return };
        assert!(depth(text) > MAX_DEPTH, "JSON that is refused: {text}");
        return;
    };
    assert!(text.is_some_and(json::is_one_value), "{text:?}");
    assert!(!json::has_key_twice(value), "a key twice: {value}");
    if let Some(meant) = text.and_then(json::value) {
        assert_eq!(json::value(value), Some(meant));
    }
}

/// At most so many objects and arrays are within each other; brackets in strings count too.
fn depth(text: &str) -> usize {
    text.bytes().filter(|byte| matches!(byte, b'[' | b'{')).count()
}

fn is_range(value: &Value) -> bool {
    let Value::Object(bounds) = value else { return *value == Value::Null };
    let known = bounds.keys().all(|key| matches!(key.as_str(), "gt" | "gte" | "lt" | "lte"));
    known
        && bounds.values().all(|bound| bound.is_string() || bound.is_number())
        && bounds.len() <= 2
}

fn is_flat(value: &Value) -> bool {
    let flat = |value: &Value| value.is_string() || value.is_null();
    value.as_object().is_some_and(|pairs| pairs.values().all(flat))
}
