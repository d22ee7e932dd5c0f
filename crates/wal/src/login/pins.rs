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
    /// The first version that knows it, as in `server_version_num`.
    since: u32,
    /// Not a startup parameter, as it depends on what the server tells at login; set with the question for the others.
    set_later: bool,
}

const fn pin(name: &'static str, value: &'static str) -> Pin {
    Pin { name, value, shown: value, since: 0, set_later: false }
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
    Pin { since: 170_000, set_later: true, ..pin("transaction_timeout", "0") },
];

/// Takes the place of the other `client_encoding`: for [`Reader::Bytes`].
const RAW: Pin = Pin { set_later: true, ..pin("client_encoding", "SQL_ASCII") };

/// What goes into the startup message.
pub(super) fn startup() -> impl Iterator<Item = (&'static str, &'static str)> {
    PINS.iter().filter(|pin| !pin.set_later).map(|pin| (pin.name, pin.value))
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

/// Who will read the values of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reader {
    /// This crate, which hands on bytes. A database in
    /// [`SQL_ASCII`](https://www.postgresql.org/docs/current/multibyte.html) may hold any, and the server ends a query
    /// or the stream at the first value that is not UTF-8, with an error that names neither table nor column. So here
    /// it is asked for the bytes as they are: whoever reads the row knows better what to say.
    Bytes,
    /// `tokio-postgres`, which must have UTF-8.
    Utf8,
}

/// Asks the server for all of them, in one round trip.
///
/// # Errors
/// [`Error::Session`] for the first one that is not as it should be; what [`Connection::simple_query`] fails with.
pub(crate) async fn check(connection: &mut Connection, reader: Reader) -> Result<()> {
    let raw = reader == Reader::Bytes && connection.parameter("server_encoding") == Some(RAW.value);
    let version = connection.server_version();
    let pins = || {
        let known = PINS.iter().filter(|pin| pin.since <= version);
        known.map(|pin| if raw && pin.name == RAW.name { &RAW } else { pin })
    };
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
        let Pin { name, value, set_later, .. } = self;
        match set_later {
            false => format!("pg_catalog.current_setting('{name}')"),
            true => format!("pg_catalog.set_config('{name}', '{value}', false)"),
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
