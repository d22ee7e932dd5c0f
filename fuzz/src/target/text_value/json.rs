//! What serde_json says of a text: an opinion that shares no code with the writers.

use std::collections::HashSet;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

/// One JSON value and nothing else. Neither depth, nor the size of numbers, nor half of a surrogate pair counts against
/// it, as none does in Postgres.
pub(super) fn is_one_value(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

/// The value, if serde_json can hold it: not with more than 127 levels, a number beyond a double, or half a surrogate
/// pair. Of equal keys it holds the last.
pub(super) fn value(text: &str) -> Option<Value> {
    serde_json::from_str(text).ok()
}

/// An object in it has a key twice. What serde_json can't hold is not looked at.
pub(super) fn has_key_twice(text: &str) -> bool {
    serde_json::from_str::<Unique>(text).is_err_and(|error| error.is_data())
}

/// Any value whose objects have different keys.
struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Unique)
    }
}

impl<'de> Visitor<'de> for Unique {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Unique, A::Error> {
        while let Some(Unique) = elements.next_element()? {}
        Ok(Unique)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Unique, A::Error> {
        let mut keys = HashSet::new();
        while let Some((key, Unique)) = fields.next_entry::<String, Unique>()? {
            if !keys.insert(key) {
                return Err(de::Error::custom("a key twice"));
            }
        }
        Ok(Unique)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_counts_and_what_does_not() {
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        for text in ["1e999", r#""\ud800""#, "-0", &deep, r#"{"a":1,"a":2}"#] {
            assert!(is_one_value(text), "{text}");
        }
        for text in ["", "1 2", "01", "[1,]", "\"\n\"", "nul", "\"\\x\"", "NaN"] {
            assert!(!is_one_value(text), "{text}");
        }
        assert!(has_key_twice(r#"[{"a":{"b":1,"\u0062":2}}]"#));
        assert!(!has_key_twice(r#"[{"a":{"a":[null,1.5,-1,true,"a"]}},{"a":1}]"#));
    }
}
