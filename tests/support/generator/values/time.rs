//! Dates and times, to the ends of what Postgres takes.

use super::Draw;

pub fn date(d: &mut Draw) -> String {
    match d.rng.u32(..10) {
        0 => d.pick(&["infinity", "-infinity"]).to_owned(),
        1 => d.pick(&["4714-11-24 BC", "5874897-12-31", "0001-01-01", "9999-12-31"]).to_owned(),
        2 => day(d, 10_000..99_999, ""),
        3 => day(d, 1..4713, " BC"),
        _ => day(d, 1..9999, ""),
    }
}

/// A day of a year of these.
fn day(d: &mut Draw, years: std::ops::Range<u32>, era: &str) -> String {
    let (year, month, day) = (d.rng.u32(years), d.rng.u32(1..=12), d.rng.u32(1..=28));
    format!("{year:04}-{month:02}-{day:02}{era}")
}

/// With 0 to 6 digits of the second's fraction.
fn clock(d: &mut Draw) -> String {
    let time = format!("{:02}:{:02}:{:02}", d.rng.u32(..24), d.rng.u32(..60), d.rng.u32(..60));
    if d.one_in(3) { time } else { format!("{time}.{}", d.digits(6)) }
}

pub fn time(d: &mut Draw) -> String {
    if d.one_in(5) {
        return d.pick(&["24:00:00", "00:00:00", "23:59:59.999999"]).to_owned();
    }
    clock(d)
}

pub fn timetz(d: &mut Draw) -> String {
    format!("{}{}", time(d), zone(d))
}

fn zone(d: &mut Draw) -> &'static str {
    d.pick(&["+00", "+05:30", "-12", "+14", "-03:30", "+00:19:32", "-15:59:59"])
}

pub fn timestamp(d: &mut Draw) -> String {
    moment(d, "")
}

pub fn timestamptz(d: &mut Draw) -> String {
    let zone = zone(d);
    moment(d, zone)
}

fn moment(d: &mut Draw, zone: &str) -> String {
    let (years, era) = match d.rng.u32(..10) {
        0 => return d.pick(&["infinity", "-infinity"]).to_owned(),
        1 => {
            return d
                .pick(&["294276-12-31 23:59:59.999", "4713-01-01 00:00:00 BC", "1582-10-10 01:00"])
                .to_owned();
        }
        2 => (10_000..99_999, ""),
        3 => (2..4713, " BC"),
        _ => (2..9998, ""),
    };
    let day = day(d, years, "");
    format!("{day} {}{zone}{era}", clock(d))
}

pub fn interval(d: &mut Draw) -> String {
    if d.one_in(4) {
        return d
            .pick(&["0", "-1 us", "178000000 years", "24:00:00", "1 day", "-1 mon +1 day"])
            .to_owned();
    }
    format!(
        "{} years {} mons {} days {}{}",
        d.rng.i32(-200..200),
        d.rng.i32(-11..12),
        d.rng.i32(-400..400),
        d.pick(&["-", ""]),
        clock(d)
    )
}
