//! Geometry.

use super::Draw;

fn coordinate(d: &mut Draw) -> String {
    match d.rng.u32(..10) {
        0 => d.pick(&["-0", "1e300", "NaN", "Infinity", "0.1"]).to_owned(),
        _ => finite(d),
    }
}

fn finite(d: &mut Draw) -> String {
    format!("{}.{}", d.rng.i32(-999..999), d.digits(6))
}

pub fn point(d: &mut Draw) -> String {
    format!("({},{})", coordinate(d), coordinate(d))
}

/// So many points between the two.
pub fn points(d: &mut Draw, most: usize, open: &str, close: &str) -> String {
    // A segment has two, a polygon any number.
    let number = if most == 2 { 2 } else { d.rng.usize(1..=most) };
    let points: Vec<String> = (0..number).map(|_| point(d)).collect();
    format!("{open}{}{close}", points.join(","))
}

pub fn rectangle(d: &mut Draw) -> String {
    format!("({},{}),({},{})", finite(d), finite(d), finite(d), finite(d))
}

pub fn path(d: &mut Draw) -> String {
    let (open, close) = if d.rng.bool() { ("[", "]") } else { ("(", ")") };
    points(d, 4, open, close)
}

pub fn line(d: &mut Draw) -> String {
    format!("{{1.5,{},{}}}", finite(d), finite(d))
}

pub fn circle(d: &mut Draw) -> String {
    format!("<{},{}>", point(d), d.rng.u32(..100))
}
