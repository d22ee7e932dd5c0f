//! JSON whose numbers keep their digits.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value. Numbers, `true`, `false` and `null` are as they were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Plain(String),
    String(String),
    Array(Vec<Json>),
    /// By name.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Reads what must not have a key twice.
    pub fn parse(text: &str) -> Result<Self, String> {
        let raw = serde_json::from_str(text).map_err(|error| error.to_string())?;
        read(raw, &|key| Err(format!("the key {key:?} is there twice")))
    }

    /// Reads what may have a key twice: the last one counts.
    pub fn parse_last_wins(text: &str) -> Self {
        let raw = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        read(raw, &|_| Ok(())).unwrap()
    }

    /// An object with these fields.
    pub fn object(mut fields: Vec<(String, Json)>) -> Self {
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        Json::Object(fields)
    }

    /// Where it is not as `wanted`.
    pub fn difference(&self, wanted: &Json) -> Option<String> {
        let (Json::Object(got), Json::Object(want)) = (self, wanted) else {
            return (self != wanted).then(|| format!("{self:?} instead of {wanted:?}"));
        };
        let other = |list: &[(String, Json)], name: &str| {
            list.iter().find(|field| field.0 == name).map(|field| field.1.clone())
        };
        for (name, want) in want {
            let Some(got) = other(got, name) else { return Some(format!("{name} is missing")) };
            if let Some(what) = got.difference(want) {
                return Some(format!("{name}: {what}"));
            }
        }
        let added = got.iter().find(|(name, _)| other(want, name).is_none())?;
        Some(format!("{} was added", added.0))
    }
}

fn read(raw: &RawValue, twice: &dyn Fn(&str) -> Result<(), String>) -> Result<Json, String> {
    let text = raw.get();
    let failed = |error: serde_json::Error| error.to_string();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Fields(fields) = serde_json::from_str(text).map_err(failed)?;
            let mut read_fields: Vec<(String, Json)> = Vec::new();
            for (key, raw) in fields {
                let value = read(raw, twice)?;
                match read_fields.iter_mut().find(|field| field.0 == key) {
                    Some(field) => {
                        twice(&key)?;
                        field.1 = value;
                    }
                    None => read_fields.push((key, value)),
                }
            }
            Ok(Json::object(read_fields))
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(failed)?;
            items
                .into_iter()
                .map(|item| read(item, twice))
                .collect::<Result<_, _>>()
                .map(Json::Array)
        }
        Some(b'"') => serde_json::from_str(text).map(Json::String).map_err(failed),
        _ => Ok(Json::Plain(text.to_owned())),
    }
}

/// An object as it was written: a map would forget that a key was there twice.
struct Fields<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
