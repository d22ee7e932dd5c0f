//! Keys: a number that the generator knows a row by, written in some type.

use super::values::Draw;

/// How the number of a row is written into the key column that tells rows apart.
///
/// Two numbers never give equal keys. One number may give several texts that are equal in SQL and differ in their bytes:
/// <https://www.postgresql.org/docs/current/citext.html> and numerics with zeros behind the point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Locator {
    Int,
    Bigint,
    Text,
    Uuid,
    Numeric,
    Citext,
    Timestamptz,
    Bytea,
    Padded,
}

impl Locator {
    pub const ALL: [&Locator; 9] = [
        &Locator::Int,
        &Locator::Bigint,
        &Locator::Text,
        &Locator::Uuid,
        &Locator::Numeric,
        &Locator::Citext,
        &Locator::Timestamptz,
        &Locator::Bytea,
        &Locator::Padded,
    ];

    pub fn sql(self) -> &'static str {
        match self {
            Locator::Int => "integer",
            Locator::Bigint => "bigint",
            Locator::Text => "text",
            Locator::Uuid => "uuid",
            Locator::Numeric => "numeric",
            Locator::Citext => "public.citext",
            Locator::Timestamptz => "timestamptz",
            Locator::Bytea => "bytea",
            Locator::Padded => "char(12)",
        }
    }

    /// The key's text. `n` is below 2^31.
    pub fn text(self, d: &mut Draw, n: u64) -> String {
        match self {
            Locator::Int => n.to_string(),
            Locator::Bigint => (n + (1 << 53)).to_string(),
            Locator::Text => format!("' k[integer]:{n} \\ \"ü\""),
            Locator::Uuid => format!("a0eebc99-9c0b-4ef8-bb6d-{n:012x}"),
            Locator::Numeric => {
                let zeros = d.rng.usize(..3);
                format!("{n}.5{}", "0".repeat(zeros))
            }
            Locator::Citext => format!("{}{n}", d.pick(&["key ", "KEY ", "Key "])),
            Locator::Timestamptz => {
                let (days, seconds) = (n / 86_400, n % 86_400);
                let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
                format!("{:04}-01-01 {hour:02}:{minute:02}:{second:02}+00", 1990 + days)
            }
            Locator::Bytea => format!("\\x{n:08x}"),
            Locator::Padded => format!("k {n}"),
        }
    }
}
