//! Bytes, bits, addresses.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

use super::Draw;

pub fn bit(d: &mut Draw, lengths: RangeInclusive<usize>) -> String {
    (0..d.rng.usize(lengths)).map(|_| d.rng.digit(2)).collect()
}

pub fn bytea(d: &mut Draw) -> String {
    let bytes = d.pick(&[&0_usize, &1, &2, &3, &60, &1000]);
    format!("\\x{}", d.hex(bytes * 2))
}

/// Too large for a page.
pub fn big(d: &mut Draw) -> String {
    let bytes = d.rng.usize(9_000..12_000);
    format!("\\x{}", d.hex(bytes * 2))
}

pub fn uuid(d: &mut Draw) -> String {
    d.hex(32)
}

pub fn inet(d: &mut Draw) -> String {
    let (v4, v6) = (Ipv4Addr::from_bits(d.rng.u32(..)), Ipv6Addr::from_bits(d.rng.u128(..)));
    match d.rng.u32(..5) {
        0 => v4.to_string(),
        1 => format!("{v4}/{}", d.rng.u32(..=32)),
        2 => v6.to_string(),
        3 => format!("{v6}/{}", d.rng.u32(..=128)),
        _ => "::1".to_owned(),
    }
}

/// Nothing is set behind the mask.
pub fn cidr(d: &mut Draw) -> String {
    let length = d.rng.u32(..=32);
    let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
    format!("{}/{length}", Ipv4Addr::from_bits(d.rng.u32(..) & mask))
}
