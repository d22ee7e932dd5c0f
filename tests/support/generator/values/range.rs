//! Ranges and multiranges: <https://www.postgresql.org/docs/current/rangetypes.html#RANGETYPES-IO>.

use super::Draw;
use super::nested::escaped;

/// Writes the bound number `n`, from 0 to 9,000; a higher number is a higher bound.
type Bound = fn(u32) -> String;

/// Empty, with open sides, of one value, or usual.
pub fn range(d: &mut Draw, bound: Bound) -> String {
    let low = d.rng.u32(..4_000);
    let high = low + d.rng.u32(..4_000);
    match d.rng.u32(..10) {
        0 => "empty".to_owned(),
        1 => "(,)".to_owned(),
        2 => format!("[{},)", escaped(&bound(low))),
        3 => format!("(,{}]", escaped(&bound(low))),
        4 => format!("[{0},{0}]", escaped(&bound(low))),
        _ => between(d, &bound(low), &bound(high)),
    }
}

fn between(d: &mut Draw, low: &str, high: &str) -> String {
    let (open, close) = (d.pick(&["[", "("]), d.pick(&["]", ")"]));
    format!("{open}{},{}{close}", escaped(low), escaped(high))
}

pub fn multirange(d: &mut Draw, bound: Bound) -> String {
    let ranges: Vec<String> = (0..d.rng.usize(..4)).map(|_| range(d, bound)).collect();
    format!("{{{}}}", ranges.join(","))
}

pub fn whole(n: u32) -> String {
    (i64::from(n) - 4_000).to_string()
}

pub fn long(n: u32) -> String {
    (9_007_199_254_740_000 + i64::from(n)).to_string()
}

pub fn decimal(n: u32) -> String {
    if n > 7_500 { "Infinity".to_owned() } else { format!("{n}.50") }
}

pub fn date(n: u32) -> String {
    if n > 7_500 { "infinity".to_owned() } else { format!("{:04}-02-28", n + 1) }
}

pub fn timestamp(n: u32) -> String {
    format!("{:04}-02-28 12:34:56.789", n + 1)
}

pub fn timestamptz(n: u32) -> String {
    format!("{}+05:30", timestamp(n))
}

pub fn text(n: u32) -> String {
    format!("{n:05} \"a\" (b), \\c '")
}
