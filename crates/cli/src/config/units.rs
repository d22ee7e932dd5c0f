//! `5MiB` and `1s`.

use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Deserialize, Deserializer, Error};

/// A number of bytes, with or without a unit.
pub(super) fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_size(&text).map_err(D::Error::custom)
}

/// A duration with its unit.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(D::Error::custom)
}

/// `on` or `off`.
pub(super) fn on_or_off<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_switch(&text).map_err(D::Error::custom)
}

pub(super) fn parse_switch(text: &str) -> Result<bool, String> {
    match text {
        "on" | "true" => Ok(true),
        "off" | "false" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

pub(super) fn parse_size(text: &str) -> Result<usize, String> {
    let size: ByteSize = text.parse().map_err(|_| format!("{text:?} is no size such as 5MiB"))?;
    usize::try_from(size.as_u64()).map_err(|_| format!("{text:?} is too large"))
}

pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    if text == "index" {
        return Err("refresh: index is not supported yet: use a duration such as 1s".to_owned());
    }
    humantime::parse_duration(text)
        .map_err(|_| format!("{text:?} is no duration such as 1s or 500ms"))
}
