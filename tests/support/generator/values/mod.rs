//! Random values of every type, as the text that Postgres reads.
//!
//! A value is its input text, without quotes: SQL quotes it, COPY escapes it, arrays and composites quote it their way.
//! Every value made must be accepted by the server, whatever the seed.

mod bits;
mod json;
mod nested;
mod number;
mod range;
mod shape;
pub mod text;
mod time;
mod types;

use fastrand::Rng;
pub use types::{BIG, BIG_TEXT, TEXT, TYPES, Type, XML, named};

/// Makes a value.
pub type Make = fn(&mut Draw) -> String;

/// What values are drawn from.
pub struct Draw {
    pub rng: Rng,
    /// The labels of the enum that are committed.
    pub labels: Vec<String>,
}

impl Draw {
    pub fn new(seed: u64) -> Self {
        let labels = ["fine", "so \"so\"", "", "it's", "a,b", "null"].map(str::to_owned).to_vec();
        Draw { rng: Rng::with_seed(seed), labels }
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.rng.u32(..n) == 0
    }

    /// One of them; there must be one.
    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.rng.usize(..from.len())]
    }

    /// `most` decimal digits at most, at least one.
    pub fn digits(&mut self, most: usize) -> String {
        (0..self.rng.usize(1..=most)).map(|_| self.rng.digit(10)).collect()
    }

    /// As many hexadecimal digits as said.
    pub fn hex(&mut self, digits: usize) -> String {
        (0..digits).map(|_| self.rng.digit(16)).collect()
    }
}

/// The SQL types that the types of the table are made of.
pub const PREPARE: &str = r#"
    CREATE EXTENSION hstore SCHEMA public; CREATE EXTENSION citext SCHEMA public;
    CREATE TYPE public.mood AS ENUM ('fine', 'so "so"', '', 'it''s', 'a,b', 'null');
    CREATE TYPE public.pair AS (a int, "b ]:" text);
    CREATE DOMAIN public.cents AS numeric(10, 2) CHECK (VALUE >= 0);
    CREATE DOMAIN public.dear AS public.cents CHECK (VALUE > 0);
    CREATE DOMAIN public.tags AS text[];
    CREATE DOMAIN public.few AS public.tags;
    CREATE DOMAIN public.duo AS public.pair;
    CREATE DOMAIN public.feeling AS public.mood;
    CREATE TYPE public.nest AS (p public.pair, q text[], r int4range, m public.mood, d public.cents);
    CREATE TYPE public.textrange AS RANGE (subtype = text, collation = "C");
"#;

/// The name of the enum that grows.
pub const ENUM: &str = "public.mood";

/// A literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A literal or NULL.
pub fn literal(value: Option<&str>) -> String {
    value.map_or_else(|| "NULL".to_owned(), quoted)
}

/// A field of COPY's text format: <https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS>.
pub fn copied(value: Option<&str>) -> String {
    let Some(text) = value else { return "\\N".to_owned() };
    let mut field = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' => field.push_str("\\\\"),
            '\n' => field.push_str("\\n"),
            '\r' => field.push_str("\\r"),
            '\t' => field.push_str("\\t"),
            c => field.push(c),
        }
    }
    field
}
