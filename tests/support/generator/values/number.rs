//! Numbers.

use super::{Draw, Make};

pub fn int2(d: &mut Draw) -> String {
    edges(d, &["-32768", "32767", "0"], |d| d.rng.i16(..).to_string())
}

pub fn int4(d: &mut Draw) -> String {
    edges(d, &["-2147483648", "2147483647", "0"], |d| d.rng.i32(..).to_string())
}

pub fn int8(d: &mut Draw) -> String {
    let hard = ["-9223372036854775808", "9223372036854775807", "9007199254740993", "0"];
    edges(d, &hard, |d| d.rng.i64(..).to_string())
}

const NOT_FINITE: [&str; 3] = ["NaN", "Infinity", "-Infinity"];

pub fn float4(d: &mut Draw) -> String {
    let hard = ["-0", "3.4028235e38", "1e-45", "0.1", "16777217", "1e15"];
    float(d, &hard, |d| f32::from_bits(d.rng.u32(..)).to_string())
}

pub fn float8(d: &mut Draw) -> String {
    let hard = ["-0", "1.7976931348623157e308", "5e-324", "0.1", "1e20", "123456789012345680"];
    float(d, &hard, |d| f64::from_bits(d.rng.u64(..)).to_string())
}

fn float(d: &mut Draw, hard: &[&str], bits: Make) -> String {
    match d.rng.u32(..8) {
        0 => d.pick(&NOT_FINITE).to_owned(),
        1 => d.pick(hard).to_owned(),
        2 => (f64::from(d.rng.i32(-9999..9999)) / 100.0).to_string(),
        _ => bits(d),
    }
}

/// Up to 1,000 digits.
pub fn numeric(d: &mut Draw) -> String {
    match d.rng.u32(..10) {
        0 => d.pick(&NOT_FINITE).to_owned(),
        1 => d.pick(&["1.50", "0.000", "-0.0", "1e100", "1e-100", "0"]).to_owned(),
        2 => format!("{}.{}", d.digits(700), d.digits(300)),
        3 => d.digits(1000),
        _ => format!("{}{}.{}", d.pick(&["-", ""]), d.digits(25), d.digits(15)),
    }
}

/// For `numeric(10,3)`.
pub fn scaled(d: &mut Draw) -> String {
    edges(d, &["NaN", "-9999999.999", "0"], |d| format!("-{}.{}", d.digits(6), d.digits(5)))
}

/// For `numeric(10,2)` above zero.
pub fn cents(d: &mut Draw) -> String {
    format!("{}.{:02}", d.rng.u32(..10_000_000), d.rng.u32(1..100))
}

pub fn money(d: &mut Draw) -> String {
    let hard = ["-92233720368547758.08", "92233720368547758.07", "0"];
    edges(d, &hard, |d| format!("-{}.{}", d.digits(12), d.digits(2)))
}

fn edges(d: &mut Draw, hard: &[&str], other: Make) -> String {
    if d.one_in(4) { d.pick(hard).to_owned() } else { other(d) }
}
