//! [Numbers](https://www.postgresql.org/docs/current/datatype-numeric.html): copied digit by digit, never computed with.
//!
//! What Postgres prints is a JSON number already ([RFC 8259, section 6](https://www.rfc-editor.org/rfc/rfc8259#section-6)),
//! with `extra_float_digits` at 1 or more the shortest one that reads back to the same float. It is checked all the
//! same, because a value that is not a number would break the document around it.

use super::write_null;
use crate::error::Malformed;

/// Where the JSON number that begins at `from` ends. Fails with the position of the first byte that can't be there.
pub(super) fn scan(text: &[u8], from: usize) -> Result<usize, Malformed> {
    let mut at = from;
    if text.get(at) == Some(&b'-') {
        at += 1;
    }
    at = match text.get(at) {
        Some(b'0') => at + 1,
        _ => digits(text, at)?,
    };
    if text.get(at) == Some(&b'.') {
        at = digits(text, at + 1)?;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1;
        if let Some(b'+' | b'-') = text.get(at) {
            at += 1;
        }
        at = digits(text, at)?;
    }
    Ok(at)
}

/// The end of the one or more digits at `from`.
fn digits(text: &[u8], from: usize) -> Result<usize, Malformed> {
    let rest = text.get(from..).unwrap_or_default();
    match rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len()) {
        0 => Err(Malformed::new(from, "a digit")),
        count => Ok(from + count),
    }
}

/// `smallint`, `integer`, `bigint`, `oid`.
#[inline]
pub(super) fn write_integer(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let (sign, number) = match text {
        [b'-', number @ ..] => (1, number),
        number => (0, number),
    };
    match number.iter().position(|byte| !byte.is_ascii_digit()) {
        None if !matches!(number, [] | [b'0', _, ..]) => {}
        None => return Err(Malformed::new(sign, "an integer")),
        Some(at) => return Err(Malformed::new(sign + at, "a digit")),
    }
    out.extend_from_slice(text);
    Ok(())
}

/// `real`, `double precision`, `numeric`; what JSON has no number for becomes `null`.
#[inline]
pub(super) fn write_float(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    if is_not_finite(text) {
        write_null(out);
        return Ok(());
    }
    let end = scan(text, 0)?;
    if end != text.len() {
        return Err(Malformed::new(end, "the end of the number"));
    }
    out.extend_from_slice(text);
    Ok(())
}

fn is_not_finite(text: &[u8]) -> bool {
    matches!(text, b"NaN" | b"Infinity" | b"-Infinity")
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;
    use change::PgType::{Float4, Float8, Int2, Int4, Int8, Numeric, Oid};

    #[test]
    fn every_digit_stays() {
        for (ty, text) in [
            (Int2, "-32768"),
            (Int4, "0"),
            (Int8, "-9223372036854775808"),
            (Int8, "9223372036854775807"),
            (Oid, "4294967295"),
            (Float4, "1e-45"),
            (Float4, "16777216"),
            (Float8, "-0"),
            (Float8, "0.1"),
            (Float8, "1.7976931348623157e+308"),
            (Numeric, "1.50"),
            (Numeric, "0.00"),
            (Numeric, "-0.1000000000000000055511151231257827021181583404541015625"),
            (Numeric, "123456789012345678901234567890123456789012345678901234567890"),
        ] {
            assert_eq!(written(&ty, text.as_bytes()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn what_json_has_no_number_for_is_null() {
        for ty in [Float4, Float8, Numeric] {
            for text in [&b"NaN"[..], b"Infinity", b"-Infinity"] {
                assert_eq!(written(&ty, text).as_deref(), Ok("null"));
            }
        }
    }

    #[test]
    fn says_where_a_number_ends_to_be_one() {
        for (ty, text, offset, expected) in [
            (Int4, "", 0, "an integer"),
            (Int4, "-", 1, "an integer"),
            (Int4, "007", 0, "an integer"),
            (Int4, "-01", 1, "an integer"),
            (Int4, "12,\"x\":1", 2, "a digit"),
            (Int4, "1.0", 1, "a digit"),
            (Int4, "NaN", 0, "a digit"),
            (Int4, "+1", 0, "a digit"),
            (Numeric, "", 0, "a digit"),
            (Numeric, ".5", 0, "a digit"),
            (Numeric, "1.", 2, "a digit"),
            (Numeric, "00", 1, "the end of the number"),
            (Numeric, "1e", 2, "a digit"),
            (Numeric, "1e+", 3, "a digit"),
            (Numeric, "1.5 ", 3, "the end of the number"),
            (Numeric, "1\n", 1, "the end of the number"),
            (Numeric, "nan", 0, "a digit"),
            (Float8, "inf", 0, "a digit"),
            (Float8, "1\0", 1, "the end of the number"),
        ] {
            assert_eq!(
                written(&ty, text.as_bytes()),
                Err(Malformed::new(offset, expected)),
                "{text:?}"
            );
        }
    }
}
