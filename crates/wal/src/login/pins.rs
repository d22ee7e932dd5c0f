//! The settings that every session has, whatever an administrator set for a role or a database, or a user in `options`.
//!
//! What a session prints must not depend on those: the same value has the same text in the first copy, in the stream and
//! in a re-read row. So they are sent as startup parameters, which win over all of those, and afterwards the server is
//! asked for each: a connection pooler may have kept them to itself, and a login trigger may have changed them.
//!
//! Not in the list, because no output of a type depends on it: `lc_numeric` and `lc_time` (only `to_char`), `xmlbinary`
//! and `xmloption` (only what makes and reads XML), `array_nulls` and `timezone_abbreviations` (only input).

use std::collections::BTreeMap;

use crate::connection::Connection;
use crate::error::{Error, Result};

/// One setting.
struct Pin {
    name: &'static str,
    /// As it is sent.
    value: &'static str,
    /// As the server prints it.
    shown: &'static str,
    /// The first version that knows it, as in `server_version_num`. Above the oldest one that we support the setting
    /// can't be a startup parameter, as the version is not known yet; it is set with the question for the others.
    since: u32,
}

const fn pin(name: &'static str, value: &'static str) -> Pin {
    Pin { name, value, shown: value, since: 0 }
}

/// The [settings](https://www.postgresql.org/docs/current/runtime-config-client.html).
const PINS: [Pin; 16] = [
    pin("client_encoding", "UTF8"),
    Pin { shown: "ISO, YMD", ..pin("DateStyle", "ISO,YMD") },
    pin("IntervalStyle", "postgres"),
    pin("TimeZone", "UTC"),
    // The shortest text that reads back as the same number; 1 to 3 are the same since Postgres 12.
    pin("extra_float_digits", "3"),
    pin("bytea_output", "hex"),
    // The text of money: its sign, its separators, and how many of its digits are a fraction.
    pin("lc_monetary", "C"),
    // Names that are printed (regclass, format_type, test_decoding) have quotation marks only where they need them.
    pin("quote_all_identifiers", "off"),
    // '…' has no escapes: what this crate quotes stays quoted.
    pin("standard_conforming_strings", "on"),
    // Names that are printed (regclass and its kin) come with their schema, names that are used need it.
    pin("search_path", ""),
    // An error where row-level security would silently leave rows out.
    pin("row_security", "off"),
    // A copy may take as long as it takes, a transaction that exported a snapshot may wait for it, and so may the session
    // that holds a temporary slot.
    pin("statement_timeout", "0"),
    pin("lock_timeout", "0"),
    pin("idle_in_transaction_session_timeout", "0"),
    pin("idle_session_timeout", "0"),
    Pin { since: 170_000, ..pin("transaction_timeout", "0") },
];

/// What goes into the startup message.
pub(super) fn startup() -> impl Iterator<Item = (&'static str, &'static str)> {
    PINS.iter().filter(|pin| pin.since == 0).map(|pin| (pin.name, pin.value))
}

/// Compares those that the server reports by itself.
pub(super) fn check_reported(parameters: &BTreeMap<String, String>) -> Result<()> {
    for pin in &PINS {
        if let Some(got) = parameters.get(pin.name) {
            pin.compare(got)?;
        }
    }
    Ok(())
}

/// Asks the server for all of them, in one round trip.
///
/// # Errors
/// [`Error::Session`] for the first one that is not as it should be; what [`Connection::simple_query`] fails with.
pub(crate) async fn check(connection: &mut Connection) -> Result<()> {
    let version = connection.server_version();
    let pins = || PINS.iter().filter(|pin| pin.since <= version);
    let expressions: Vec<String> = pins().map(Pin::question).collect();
    let rows = connection.simple_query(&format!("SELECT {}", expressions.join(", "))).await?;
    let answer = rows.first().map(Vec::as_slice).unwrap_or_default();
    if rows.len() != 1 || answer.len() != expressions.len() {
        let place = connection.wire.position();
        return Err(Error::protocol(place, "the question for the session's settings: not one row"));
    }
    pins().zip(answer).try_for_each(|(pin, got)| pin.compare(got.as_deref().unwrap_or("nothing")))
}

impl Pin {
    /// The names are spelled out: until the answer is there, nobody knows what the search path is.
    fn question(&self) -> String {
        let Pin { name, value, since, .. } = self;
        match since {
            0 => format!("pg_catalog.current_setting('{name}')"),
            _ => format!("pg_catalog.set_config('{name}', '{value}', false)"),
        }
    }

    fn compare(&self, got: &str) -> Result<()> {
        if got == self.shown {
            return Ok(());
        }
        Err(Error::Session { name: self.name, want: self.shown, got: got.to_owned() })
    }
}

/// How a good server prints the setting `name`.
#[cfg(test)]
pub(crate) fn shown(name: &str) -> &'static str {
    PINS.iter().find(|pin| pin.name == name).unwrap().shown
}
