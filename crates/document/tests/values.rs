//! Whatever comes in, what goes out is one line of JSON with the same meaning.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use change::{PgType, RangeBound};
use proptest::prelude::*;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::support::written;

fn types() -> impl Strategy<Value = PgType> {
    let bounds = prop_oneof![
        Just(RangeBound::Int4),
        Just(RangeBound::Numeric),
        Just(RangeBound::Date),
        Just(RangeBound::TimestampTz),
    ];
    let scalar = prop_oneof![
        Just(PgType::Bool),
        Just(PgType::Int8),
        Just(PgType::Float8),
        Just(PgType::Text),
        Just(PgType::Date),
        Just(PgType::Timestamp),
        Just(PgType::TimestampTz),
        Just(PgType::Bytea),
        Just(PgType::Json),
        Just(PgType::Hstore),
        Just(PgType::Vector(None)),
        bounds.prop_map(PgType::Range),
    ];
    scalar.prop_recursive(2, 4, 1, |element| element.prop_map(array))
}

fn array(element: PgType) -> PgType {
    PgType::Array { element: Box::new(element), delimiter: b',' }
}

/// Pieces that the forms of Postgres are made of, put together at random: they get deeper into the readers than
/// arbitrary bytes do.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"{",
        b"}",
        b"[",
        b"]",
        b"(",
        b")",
        b",",
        b":",
        b"=",
        b"=>",
        b"\"",
        b"\\",
        b"\\\"",
        b"\"a\"",
        b"NULL",
        b"null",
        b"true",
        b"t",
        b"1",
        b"-2.5e3",
        b"0",
        b" ",
        b"\n",
        b"\\x",
        b"ff",
        b"\\u0041",
        b"2024-02-29",
        b" 12:34:56",
        b".789",
        b"+00",
        b" BC",
        b"infinity",
        b"NaN",
        b"empty",
        "ü".as_bytes(),
        b"\xff",
        b"\0",
        b"a",
        b", ",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..12).prop_map(|pieces| pieces.concat())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![3 => pieces(), 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

/// As Postgres writes an element of an array: quoted where it must be.
fn element(text: &str) -> String {
    let plain = !text.is_empty()
        && !text.eq_ignore_ascii_case("null")
        && !text.contains(['"', '\\', '{', '}', ',', ' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    if plain { text.to_owned() } else { quoted(text) }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().len() == text.len())
}

fn parse(text: &str) -> Value {
    serde_json::from_str(text)
        .unwrap_or_else(|error| Value::String(format!("not JSON: {error}: {text}")))
}

fn json() -> impl Strategy<Value = Value> {
    let scalar = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    scalar.prop_recursive(5, 60, 12, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..12).prop_map(Value::from),
            prop::collection::btree_map(any::<String>(), inner, 0..12)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Objects whose keys collide, some of them spelled with escapes; no colon but behind a key.
fn colliding() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "a",
        "\\u0061",
        "b",
        "\\u0062",
        "\\n",
        "\\u000A",
        "ab",
        "😀",
        "\\ud83d\\uDE00",
        "",
    ]);
    let scalar =
        prop_oneof![Just("1".to_owned()), Just("\"x\"".to_owned()), Just("[ ]".to_owned())];
    scalar.prop_recursive(3, 60, 12, move |inner| {
        prop_oneof![
            3 => prop::collection::vec((key.clone(), inner.clone()), 0..12).prop_map(|fields| {
                let fields: Vec<_> = fields.iter().map(|(key, value)| format!("\"{key}\" : {value}")).collect();
                format!("{{{}}}", fields.join(" , "))
            }),
            1 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

fn keys(value: &Value) -> usize {
    match value {
        Value::Object(fields) => fields.values().map(|field| 1 + keys(field)).sum(),
        Value::Array(items) => items.iter().map(keys).sum(),
        _ => 0,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_bytes_give_one_line_of_json_or_an_error(ty in types(), text in bytes()) {
        if let Ok(json) = written(&ty, &text) {
            prop_assert!(is_json(&json), "{ty:?} {json}");
            prop_assert!(json.bytes().all(|byte| byte >= 0x20), "{ty:?} {json}");
        }
    }

    #[test]
    fn text_stays(text in any::<String>()) {
        prop_assert_eq!(written(&PgType::Text, text.as_bytes()), Ok(Value::from(text).to_string()));
    }

    #[test]
    fn numbers_keep_every_digit(text in r"-?(0|[1-9][0-9]{0,60})(\.[0-9]{1,60})?(e[+-][0-9]{1,3})?") {
        prop_assert_eq!(written(&PgType::Numeric, text.as_bytes()), Ok(text.clone()));
        prop_assert_eq!(written(&PgType::Jsonb, text.as_bytes()), Ok(text));
    }

    #[test]
    fn json_says_the_same_without_white_space(value in json()) {
        let pretty = serde_json::to_string_pretty(&value).unwrap_or_default();
        prop_assert_eq!(written(&PgType::Json, pretty.as_bytes()), Ok(value.to_string()));
    }

    #[test]
    fn of_equal_keys_the_last_stays(text in colliding()) {
        let json = written(&PgType::Json, text.as_bytes()).unwrap_or_default();
        let value = parse(&json);
        prop_assert_eq!(&value, &parse(&text));
        prop_assert_eq!(json.matches(':').count(), keys(&value));
    }

    #[test]
    fn bytes_come_back_from_base64(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let json = written(&PgType::Bytea, format!("\\x{hex}").as_bytes()).unwrap_or_default();
        let mut decoded = vec![0; bytes.len() + 3];
        let len = STANDARD.decode_slice(json.trim_matches('"'), &mut decoded);
        prop_assert_eq!(&decoded[..len.unwrap_or_default()], &bytes[..]);
    }

    #[test]
    fn elements_of_arrays_stay(texts in prop::collection::vec(prop::option::of(any::<String>()), 1..8)) {
        let elements: Vec<_> = texts.iter().map(|text| text.as_deref().map_or("NULL".to_owned(), element)).collect();
        let text = format!("{{{}}}", elements.join(","));
        prop_assert_eq!(written(&array(PgType::Text), text.as_bytes()), Ok(Value::from(texts).to_string()));
    }

    #[test]
    fn json_in_arrays_stays(values in prop::collection::vec(json(), 1..4)) {
        let elements: Vec<_> = values.iter().map(|value| element(&value.to_string())).collect();
        let text = format!("[0:{}]={{{}}}", elements.len() - 1, elements.join(","));
        // A text that is the word null is quoted, and is the JSON null then.
        prop_assert_eq!(written(&array(PgType::Json), text.as_bytes()), Ok(Value::from(values).to_string()));
    }

    #[test]
    fn pairs_of_hstore_stay(pairs in prop::collection::btree_map(any::<String>(), prop::option::of(any::<String>()), 0..6)) {
        let texts: Vec<_> = pairs.iter().map(|(key, value)| {
            format!("{}=>{}", quoted(key), value.as_deref().map_or("NULL".to_owned(), quoted))
        }).collect();
        let object: serde_json::Map<_, _> = pairs.into_iter().map(|(key, value)| (key, Value::from(value))).collect();
        prop_assert_eq!(written(&PgType::Hstore, texts.join(", ").as_bytes()), Ok(Value::from(object).to_string()));
    }
}
