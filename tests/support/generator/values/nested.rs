//! Values made of values: <https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO> and
//! <https://www.postgresql.org/docs/current/rowtypes.html#ROWTYPES-IO-SYNTAX>.

use super::range::{range, whole};
use super::{Draw, Make, number, shape, text};

/// Of none to three dimensions, at times with lower bounds, NULLs in it.
pub fn array(d: &mut Draw, element: Make) -> String {
    delimited(d, element, ",")
}

/// The one type whose elements are parted by semicolons.
pub fn boxes(d: &mut Draw) -> String {
    delimited(d, shape::rectangle, ";")
}

fn delimited(d: &mut Draw, element: Make, delimiter: &str) -> String {
    let dimensions: Vec<usize> = match d.rng.u32(..8) {
        0 => return "{}".to_owned(),
        1 => vec![d.rng.usize(1..3), d.rng.usize(1..3)],
        2 => vec![d.rng.usize(1..3), 1, d.rng.usize(1..3)],
        _ => vec![d.rng.usize(1..5)],
    };
    let body = level(d, &dimensions, element, delimiter);
    if !d.one_in(4) {
        return body;
    }
    let bounds = dimensions.iter().map(|size| {
        let low = d.rng.i64(-3..4);
        format!("[{low}:{}]", low + i64::try_from(*size).unwrap() - 1)
    });
    format!("{}={body}", bounds.collect::<String>())
}

fn level(d: &mut Draw, dimensions: &[usize], element: Make, delimiter: &str) -> String {
    let Some((size, inner)) = dimensions.split_first() else {
        return if d.one_in(6) { "NULL".to_owned() } else { escaped(&element(d)) };
    };
    let members: Vec<String> = (0..*size).map(|_| level(d, inner, element, delimiter)).collect();
    format!("{{{}}}", members.join(delimiter))
}

/// In double quotes, backslashes before what they would end.
pub fn escaped(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// None is NULL.
pub fn composite(fields: &[Option<String>]) -> String {
    let fields = fields.iter().map(|field| field.as_deref().map(escaped).unwrap_or_default());
    format!("({})", fields.collect::<Vec<_>>().join(","))
}

fn maybe(d: &mut Draw, make: impl FnOnce(&mut Draw) -> String) -> Option<String> {
    (!d.one_in(4)).then(|| make(d))
}

pub fn pair(d: &mut Draw) -> String {
    let fields = [maybe(d, number::int4), maybe(d, text::text)];
    composite(&fields)
}

pub fn nest(d: &mut Draw) -> String {
    let fields = [
        maybe(d, pair),
        maybe(d, |d| array(d, text::text)),
        maybe(d, |d| range(d, whole)),
        maybe(d, text::label),
        maybe(d, number::cents),
    ];
    composite(&fields)
}

pub fn hstore(d: &mut Draw) -> String {
    let pairs = (0..d.rng.usize(..4)).map(|_| {
        let key = escaped(&text::short(d, 10));
        let value = maybe(d, text::text).map_or("NULL".to_owned(), |value| escaped(&value));
        format!("{key}=>{value}")
    });
    pairs.collect::<Vec<_>>().join(", ")
}

const LEXEMES: [&str; 6] =
    ["fat", "it''s", "back\\\\slash", "new\nline", " x[integer]:1 ", "ünï😀"];

pub fn tsvector(d: &mut Draw) -> String {
    let lexemes = (0..d.rng.usize(..5)).map(|_| {
        let places = d.pick(&["", ":1", ":2A,3B", ":16383C"]);
        format!("'{}'{places}", d.pick(&LEXEMES))
    });
    lexemes.collect::<Vec<_>>().join(" ")
}

pub fn tsquery(d: &mut Draw) -> String {
    format!("'{}' & !'{}' <-> 'c':*A", d.pick(&LEXEMES), d.pick(&LEXEMES))
}
