//! Points in time, as `timestamptz_to_str` of the server writes them: `2024-02-29 12:34:56.789012+00`.

use nom::Parser;
use nom::bytes::complete::{tag, take_while_m_n};
use nom::character::complete::{char, one_of};
use nom::combinator::{opt, verify};
use nom::error::context;
use nom::sequence::preceded;

use super::line::{Failure, Parsed};
use crate::error::Fault;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;
/// The last year that ends before the last microsecond of 64 bits, which is Postgres'
/// [last one](https://www.postgresql.org/docs/current/datatype-datetime.html) as well.
const LAST_YEAR: i64 = 294_275;

/// Microseconds since 2000-01-01 UTC.
pub(super) fn timestamp(input: &[u8]) -> Parsed<'_, i64> {
    let date = (number(4, 6), preceded(char('-'), number(2, 2)), preceded(char('-'), number(2, 2)));
    let time = (preceded(char(' '), clock), opt(preceded(char('.'), fraction)));
    let (rest, ((year, month, day), (seconds, fraction), zone)) =
        context("a timestamp", (date, time, offset)).parse(input)?;
    let possible = (1..=LAST_YEAR).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of_month(year, month)).contains(&day);
    if !possible {
        return Err(Failure::new(input, Fault::Expected("a date of the calendar")));
    }
    let days = days_before(year) + (1..month).map(|month| days_of_month(year, month)).sum::<i64>()
        - days_before(2000)
        + day
        - 1;
    Ok((rest, days * DAY + (seconds - zone) * SECOND + fraction.unwrap_or(0)))
}

/// `12:34:56`, in seconds.
fn clock(input: &[u8]) -> Parsed<'_, i64> {
    let part = || preceded(char(':'), number(2, 2));
    let possible = |&(hours, minutes, seconds): &_| hours < 24 && minutes < 60 && seconds < 60;
    let parts = (number(2, 2), part(), part());
    let (rest, (hours, minutes, seconds)) = verify(parts, possible).parse(input)?;
    Ok((rest, hours * 3600 + minutes * 60 + seconds))
}

/// Up to six digits of a second, in microseconds.
fn fraction(input: &[u8]) -> Parsed<'_, i64> {
    let (rest, digits) = take_while_m_n(1, 6, |byte: u8| byte.is_ascii_digit()).parse(input)?;
    let missing = u32::try_from(6 - digits.len()).unwrap_or(0);
    Ok((rest, value(digits) * 10_i64.pow(missing)))
}

/// `+05:30`, in seconds east of UTC.
fn offset(input: &[u8]) -> Parsed<'_, i64> {
    let part = || opt(preceded(tag(":"), number(2, 2)));
    let (rest, (sign, hours, minutes, seconds)) =
        (one_of("+-"), number(2, 2), part(), part()).parse(input)?;
    let east = hours * 3600 + minutes.unwrap_or(0) * 60 + seconds.unwrap_or(0);
    Ok((rest, if sign == '-' { -east } else { east }))
}

fn number<'a>(
    least: usize,
    most: usize,
) -> impl Parser<&'a [u8], Output = i64, Error = Failure<'a>> {
    take_while_m_n(least, most, |byte: u8| byte.is_ascii_digit()).map(value)
}

fn value(digits: &[u8]) -> i64 {
    digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit & 0xF))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// Days from 0001-01-01 to the first of `year`.
fn days_before(year: i64) -> i64 {
    let years = year - 1;
    years * 365 + years / 4 - years / 100 + years / 400
}

fn days_of_month(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The inverse of [`timestamp`], for the years 1 to 294275.
pub(super) fn write(time: i64) -> String {
    let (mut days, micros) = (time.div_euclid(DAY) + days_before(2000), time.rem_euclid(DAY));
    let mut year = days / 366 + 1;
    while days_before(year + 1) <= days {
        year += 1;
    }
    days -= days_before(year);
    let mut month = 1;
    while month < 12 && days >= days_of_month(year, month) {
        days -= days_of_month(year, month);
        month += 1;
    }
    let (seconds, fraction) = (micros / SECOND, micros % SECOND);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let fraction = if fraction == 0 { String::new() } else { format!(".{fraction:06}") };
    let fraction = fraction.trim_end_matches('0');
    let day = days + 1;
    format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}{fraction}+00")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_decoding::line::parse;

    #[test]
    fn microseconds_since_2000() {
        for (text, micros) in [
            ("2000-01-01 00:00:00+00", 0),
            ("2000-01-01 00:00:00.000001+00", 1),
            ("2000-01-01 00:00:01.5+00", 1_500_000),
            ("1999-12-31 23:59:59.999999+00", -1),
            ("2000-01-01 05:30:00+05:30", 0),
            ("1999-12-31 20:00:00-04", 0),
            ("2000-03-01 00:00:00+00", 60 * DAY),
            ("2001-01-01 00:00:00+00", 366 * DAY),
            ("2100-03-01 00:00:00+00", (36_525 + 59) * DAY),
            ("2400-03-01 00:00:00+00", (146_097 + 60) * DAY),
            ("2024-02-29 12:34:56.789012+00", 762_525_296_789_012),
        ] {
            assert_eq!(parse(text.as_bytes(), timestamp), Ok(micros), "{text}");
        }
    }

    #[test]
    fn no_timestamp() {
        for (text, position) in [
            ("2024-02-30 00:00:00+00", 0),
            ("2023-02-29 00:00:00+00", 0),
            ("2024-13-01 00:00:00+00", 0),
            ("2024-00-01 00:00:00+00", 0),
            ("2024-01-00 00:00:00+00", 0),
            ("999999-01-01 00:00:00+00", 0),
            ("Thu Feb 29 12:34:56 2024 UTC", 0),
            ("2024-02-29 12:34:56", 19),
            ("2024-02-29 12:34+00", 16),
            ("2024-02-29 12:60:00+00", 11),
        ] {
            assert_eq!(parse(text.as_bytes(), timestamp).unwrap_err().position, position, "{text}");
        }
    }

    #[test]
    fn writes_what_it_reads() {
        let every_few_days = (-730_119..106_751_000_i64).step_by(7_919);
        for time in every_few_days.map(|day| day * DAY + day.rem_euclid(86_399) * 1_000_010) {
            assert_eq!(parse(write(time).as_bytes(), timestamp), Ok(time), "{}", write(time));
        }
        for year in 1896..2112 {
            for day in [0, 58, 59, 60, 364, 365] {
                let time = (days_before(year) - days_before(2000) + day) * DAY + 10;
                assert_eq!(parse(write(time).as_bytes(), timestamp), Ok(time), "{}", write(time));
            }
        }
    }
}
