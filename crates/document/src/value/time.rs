//! [Dates and timestamps](https://www.postgresql.org/docs/current/datatype-datetime.html), as printed with
//! `DateStyle = ISO` and `TimeZone = UTC`.
//!
//! `2024-02-29 12:34:56.789012` becomes `"2024-02-29T12:34:56.789012"`, with time zone `"…T12:34:56.789012Z"`; nothing
//! else changes. That holds beyond what a search server takes for a date as well: `"12024-02-29T00:00:00Z"`,
//! `"0044-03-15 BC"`, `"0044-03-15T12:00:00Z BC"`. The infinities become `null`.

use super::write_null;
use crate::error::Malformed;

/// `date`.
#[inline]
pub(super) fn write_date(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    write(text, out, |rest, _| Ok(rest))
}

/// `timestamp without time zone`.
#[inline]
pub(super) fn write_timestamp(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    write(text, out, time)
}

/// `timestamp with time zone`. An offset other than `+00` means that the connection is not at `TimeZone = UTC`.
#[inline]
pub(super) fn write_timestamptz(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    write(text, out, |rest, out| {
        let rest = time(rest, out)?;
        let rest = rest.strip_prefix(b"+00").ok_or((rest, "+00, the offset of UTC"))?;
        out.push(b'Z');
        Ok(rest)
    })
}

/// True for `infinity` and `-infinity`.
#[inline]
pub(super) fn is_infinite(text: &[u8]) -> bool {
    matches!(text, b"infinity" | b"-infinity")
}

/// What is left to read, or what is left at the first byte that is wrong, and what should be there.
type Rest<'a> = Result<&'a [u8], (&'a [u8], &'static str)>;

#[inline]
fn write(
    text: &[u8],
    out: &mut Vec<u8>,
    after_date: impl for<'a> FnOnce(&'a [u8], &mut Vec<u8>) -> Rest<'a>,
) -> Result<(), Malformed> {
    if is_infinite(text) {
        write_null(out);
        return Ok(());
    }
    out.push(b'"');
    let end =
        date(text, out).and_then(|rest| after_date(rest, out)).and_then(|rest| era(rest, out));
    out.push(b'"');
    match end {
        Ok(_) => Ok(()),
        Err((rest, expected)) => Err(Malformed::new(text.len() - rest.len(), expected)),
    }
}

/// A year of four or more digits, month, day.
#[inline]
fn date<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Rest<'a> {
    let year = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    if !(4..=7).contains(&year) {
        return Err((text, "a date as DateStyle ISO prints it"));
    }
    let rest = shape(&text[year..], b"-00-00", "a date as DateStyle ISO prints it")?;
    out.extend_from_slice(&text[..text.len() - rest.len()]);
    Ok(rest)
}

/// Time of day, with up to six digits after the point.
#[inline]
fn time<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Rest<'a> {
    let mut rest = shape(text, b" 00:00:00", "a time of day")?;
    if let [b'.', fraction @ ..] = rest {
        let count = fraction.iter().position(|b| !b.is_ascii_digit()).unwrap_or(fraction.len());
        if !(1..=6).contains(&count) {
            return Err((fraction, "one to six digits"));
        }
        rest = &fraction[count..];
    }
    out.push(b'T');
    out.extend_from_slice(&text[1..text.len() - rest.len()]);
    Ok(rest)
}

/// Nothing more, or ` BC`.
#[inline]
fn era<'a>(text: &'a [u8], out: &mut Vec<u8>) -> Rest<'a> {
    match text {
        [] => {}
        b" BC" => out.extend_from_slice(b" BC"),
        _ => return Err((text, "the end of the value")),
    }
    Ok(&[])
}

/// What follows `text`'s beginning, which must be like `pattern`: a digit for `0`, else the same byte.
#[inline]
fn shape<'a>(text: &'a [u8], pattern: &[u8], expected: &'static str) -> Rest<'a> {
    let fits = |(byte, like): (&u8, &u8)| {
        if *like == b'0' { byte.is_ascii_digit() } else { byte == like }
    };
    match text.split_at_checked(pattern.len()) {
        Some((head, rest)) if head.iter().zip(pattern).all(fits) => Ok(rest),
        _ => Err((text, expected)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;
    use change::PgType::{Date, Timestamp, TimestampTz};

    #[test]
    fn only_the_space_and_the_offset_change() {
        for (ty, text, expected) in [
            (Date, "2024-02-29", "\"2024-02-29\""),
            (Date, "0001-01-01", "\"0001-01-01\""),
            (Date, "5874897-12-31", "\"5874897-12-31\""),
            (Date, "4714-11-24 BC", "\"4714-11-24 BC\""),
            (Date, "infinity", "null"),
            (Date, "-infinity", "null"),
            (Timestamp, "2024-02-29 12:34:56.789012", "\"2024-02-29T12:34:56.789012\""),
            (Timestamp, "2024-02-29 12:34:56", "\"2024-02-29T12:34:56\""),
            (Timestamp, "2024-02-29 12:34:56.7", "\"2024-02-29T12:34:56.7\""),
            (Timestamp, "294276-12-31 23:59:59.999999", "\"294276-12-31T23:59:59.999999\""),
            (Timestamp, "0044-03-15 12:00:00 BC", "\"0044-03-15T12:00:00 BC\""),
            (Timestamp, "infinity", "null"),
            (TimestampTz, "2024-02-29 12:34:56.789012+00", "\"2024-02-29T12:34:56.789012Z\""),
            (TimestampTz, "1883-11-18 17:00:00+00", "\"1883-11-18T17:00:00Z\""),
            (TimestampTz, "10000-01-01 00:00:00+00", "\"10000-01-01T00:00:00Z\""),
            (TimestampTz, "0044-03-15 12:00:00+00 BC", "\"0044-03-15T12:00:00Z BC\""),
            (TimestampTz, "-infinity", "null"),
        ] {
            assert_eq!(written(&ty, text.as_bytes()).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn another_style_or_time_zone_is_an_error() {
        let (day, hour) = ("a date as DateStyle ISO prints it", "a time of day");
        for (ty, text, offset, expected) in [
            (Date, "", 0, day),
            (Date, "29/02/2024", 0, day),
            (Date, "024-02-29", 0, day),
            (Date, "12345678-02-29", 0, day),
            (Date, "2024-2-29", 4, day),
            (Date, "2024-02-29 00:00:00", 10, "the end of the value"),
            (Date, "2024-02-29\"", 10, "the end of the value"),
            (Timestamp, "2024-02-29", 10, hour),
            (Timestamp, "2024-02-29T12:34:56", 10, hour),
            (Timestamp, "2024-02-29 12:34:56.", 20, "one to six digits"),
            (Timestamp, "2024-02-29 12:34:56.1234567", 20, "one to six digits"),
            (Timestamp, "2024-02-29 12:34:56+00", 19, "the end of the value"),
            (TimestampTz, "2024-02-29 12:34:56", 19, "+00, the offset of UTC"),
            (TimestampTz, "2024-02-29 12:34:56-05", 19, "+00, the offset of UTC"),
            (TimestampTz, "2024-02-29 12:34:56+00:30", 22, "the end of the value"),
            (TimestampTz, "Infinity", 0, day),
        ] {
            assert_eq!(
                written(&ty, text.as_bytes()),
                Err(Malformed::new(offset, expected)),
                "{text}"
            );
        }
    }
}
