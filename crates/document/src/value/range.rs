//! The built-in [range types](https://www.postgresql.org/docs/current/rangetypes.html#RANGETYPES-IO): `[1,5)` becomes
//! `{"gte":1,"lt":5}`, the form that range fields of search servers take.
//!
//! A side that is open is left out, and a bound that is infinite (`infinity`, above it `NaN`) is written as an open
//! side. What holds no finite value is `null`: `empty`, and ranges that begin at plus or end at minus infinity.

use change::RangeBound;

use super::{number, time, write_null};
use crate::error::Malformed;

pub(super) fn write(ty: RangeBound, text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    if text == b"empty" {
        write_null(out);
        return Ok(());
    }
    let range = Range::split(text)?;
    let (lower, upper) = (range.lower.side(ty), range.upper.side(ty));
    if lower == Side::Above || upper == Side::Below {
        write_null(out);
        return Ok(());
    }
    out.push(b'{');
    if lower == Side::Finite {
        out.extend_from_slice(if range.lower_inclusive { b"\"gte\":" } else { b"\"gt\":" });
        range.lower.write(ty, out)?;
    }
    if upper == Side::Finite {
        if lower == Side::Finite {
            out.push(b',');
        }
        out.extend_from_slice(if range.upper_inclusive { b"\"lte\":" } else { b"\"lt\":" });
        range.upper.write(ty, out)?;
    }
    out.push(b'}');
    Ok(())
}

struct Range<'a> {
    lower: Bound<'a>,
    upper: Bound<'a>,
    lower_inclusive: bool,
    upper_inclusive: bool,
}

impl<'a> Range<'a> {
    fn split(text: &'a [u8]) -> Result<Self, Malformed> {
        let lower_inclusive = match text.first() {
            Some(b'[') => true,
            Some(b'(') => false,
            _ => return Err(Malformed::new(0, "[, ( or empty")),
        };
        let (lower, at) = Bound::read(text, 1)?;
        if text.get(at) != Some(&b',') {
            return Err(Malformed::new(at, ","));
        }
        let (upper, at) = Bound::read(text, at + 1)?;
        let upper_inclusive = match text.get(at..) {
            Some(b"]") => true,
            Some(b")") => false,
            _ => return Err(Malformed::new(at, "the final ] or )")),
        };
        Ok(Range { lower, upper, lower_inclusive, upper_inclusive })
    }
}

/// What a bound says of its side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Open,
    Finite,
    /// Below every finite value.
    Below,
    /// Above every finite value.
    Above,
}

/// The text of a bound, empty on an open side, and where in the range it begins.
struct Bound<'a> {
    text: &'a [u8],
    start: usize,
}

impl<'a> Bound<'a> {
    /// The bound at `start`, and where it ends. Bounds with a space come in quotation marks; none of the built-in
    /// types prints anything that would have to be escaped within them.
    fn read(range: &'a [u8], start: usize) -> Result<(Self, usize), Malformed> {
        let rest = range.get(start..).unwrap_or_default();
        if let [b'"', quoted @ ..] = rest {
            let Some(len) = quoted.iter().position(|&byte| byte == b'"') else {
                return Err(Malformed::new(range.len(), "a closing quotation mark"));
            };
            if len == 0 {
                return Err(Malformed::new(start + 1, "a bound"));
            }
            return Ok((Bound { text: &quoted[..len], start: start + 1 }, start + len + 2));
        }
        let len = rest.iter().position(|byte| b",])".contains(byte)).unwrap_or(rest.len());
        Ok((Bound { text: &rest[..len], start }, start + len))
    }

    fn side(&self, ty: RangeBound) -> Side {
        match (ty, self.text) {
            (_, b"") => Side::Open,
            (RangeBound::Numeric, b"-Infinity") => Side::Below,
            (RangeBound::Numeric, b"Infinity" | b"NaN") => Side::Above,
            (RangeBound::Int4 | RangeBound::Int8 | RangeBound::Numeric, _) => Side::Finite,
            (_, b"-infinity") => Side::Below,
            (_, b"infinity") => Side::Above,
            _ => Side::Finite,
        }
    }

    fn write(&self, ty: RangeBound, out: &mut Vec<u8>) -> Result<(), Malformed> {
        match ty {
            RangeBound::Int4 | RangeBound::Int8 => number::write_integer(self.text, out),
            RangeBound::Numeric => number::write_float(self.text, out),
            RangeBound::Date => time::write_date(self.text, out),
            RangeBound::Timestamp => time::write_timestamp(self.text, out),
            RangeBound::TimestampTz => time::write_timestamptz(self.text, out),
        }
        .map_err(|error| error.within(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;
    use RangeBound::{Date, Int4, Int8, Numeric, Timestamp, TimestampTz};
    use change::PgType;

    #[test]
    fn brackets_become_names_and_open_sides_are_left_out() {
        for (ty, text, expected) in [
            (Int4, "[1,5)", r#"{"gte":1,"lt":5}"#),
            (Int4, "[-5,)", r#"{"gte":-5}"#),
            (Int4, "(,5)", r#"{"lt":5}"#),
            (Int4, "(,)", "{}"),
            (Int4, "empty", "null"),
            (
                Int8,
                "[9223372036854775806,9223372036854775807)",
                r#"{"gte":9223372036854775806,"lt":9223372036854775807}"#,
            ),
            (Numeric, "(1.50,2.00]", r#"{"gt":1.50,"lte":2.00}"#),
            (Numeric, "[-Infinity,Infinity]", "{}"),
            (Numeric, "[1,NaN]", r#"{"gte":1}"#),
            (Numeric, "[NaN,NaN]", "null"),
            (Date, "[2024-02-29,2024-03-01)", r#"{"gte":"2024-02-29","lt":"2024-03-01"}"#),
            (Date, "[-infinity,2024-03-01)", r#"{"lt":"2024-03-01"}"#),
            (Date, "[2024-03-01,infinity]", r#"{"gte":"2024-03-01"}"#),
            (Date, "[infinity,infinity]", "null"),
            (Date, "(,-infinity]", "null"),
            (Date, "[\"0044-03-15 BC\",)", r#"{"gte":"0044-03-15 BC"}"#),
            (
                Timestamp,
                r#"["2024-01-01 00:00:00","2024-01-02 12:00:00.5"]"#,
                r#"{"gte":"2024-01-01T00:00:00","lte":"2024-01-02T12:00:00.5"}"#,
            ),
            (
                TimestampTz,
                r#"("2024-01-01 00:00:00+00",infinity)"#,
                r#"{"gt":"2024-01-01T00:00:00Z"}"#,
            ),
        ] {
            assert_eq!(
                written(&PgType::Range(ty), text.as_bytes()).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_range_is_an_error() {
        for (ty, text, offset, expected) in [
            (Int4, "", 0, "[, ( or empty"),
            (Int4, "1,5", 0, "[, ( or empty"),
            (Int4, "[1", 2, ","),
            (Int4, "[1)", 2, ","),
            (Int4, "[1,5", 4, "the final ] or )"),
            (Int4, "[1,5))", 4, "the final ] or )"),
            (Int4, "[1,2,3)", 4, "the final ] or )"),
            (Int4, "[1,x)", 3, "a digit"),
            (Int4, "[NaN,)", 1, "a digit"),
            (Timestamp, "[\"2024-01-01 00:00:00,)", 23, "a closing quotation mark"),
            (Timestamp, "[\"\",)", 2, "a bound"),
            (Timestamp, "[\"2024-01-01\",)", 12, "a time of day"),
            (TimestampTz, "[\"2024-01-01 00:00:00-05\",)", 21, "+00, the offset of UTC"),
        ] {
            let result = written(&PgType::Range(ty), text.as_bytes());
            assert_eq!(result, Err(Malformed::new(offset, expected)), "{text}");
        }
    }
}
