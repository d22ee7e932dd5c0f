//! From the text that Postgres prints to JSON, one writer for each family of types.
//!
//! Every writer appends one complete JSON value without white space or newline to the output, or fails; what it wrote
//! before it failed is the caller's to take back. A writer reads nothing but the text, so the same text gives the same
//! bytes whether it came from the stream or from COPY. None recurses into its input: nesting that a table's rows
//! choose costs memory of [`Scratch`], not stack.

mod array;
mod bytea;
mod hstore;
pub(crate) mod json;
mod number;
mod range;
mod time;
mod vector;

use change::{PgType, RangeBound};

use crate::error::Malformed;
use crate::escape::write_text;
use crate::scratch::Scratch;

/// How the values of a column are written.
#[derive(Debug, Clone)]
pub(crate) enum Writer {
    Bool,
    Integer,
    Float,
    Text,
    Date,
    Timestamp,
    TimestampTz,
    Bytea,
    Json,
    Range(RangeBound),
    Hstore,
    Vector,
    Array { element: Box<Writer>, delimiter: u8 },
}

impl Writer {
    pub(crate) fn new(ty: &PgType) -> Self {
        match ty {
            PgType::Bool => Writer::Bool,
            PgType::Int2 | PgType::Int4 | PgType::Int8 | PgType::Oid => Writer::Integer,
            PgType::Float4 | PgType::Float8 | PgType::Numeric => Writer::Float,
            PgType::Text | PgType::Uuid | PgType::Enum | PgType::TsVector | PgType::Other => {
                Writer::Text
            }
            PgType::Date => Writer::Date,
            PgType::Timestamp => Writer::Timestamp,
            PgType::TimestampTz => Writer::TimestampTz,
            PgType::Bytea => Writer::Bytea,
            PgType::Json | PgType::Jsonb => Writer::Json,
            PgType::Range(bound) => Writer::Range(*bound),
            PgType::Hstore => Writer::Hstore,
            PgType::Vector(_) => Writer::Vector,
            PgType::Array { element, delimiter } => {
                Writer::Array { element: Box::new(Writer::new(element)), delimiter: *delimiter }
            }
        }
    }

    #[inline]
    pub(crate) fn write(
        &self,
        text: &[u8],
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Malformed> {
        match self {
            Writer::Bool => write_bool(text, out),
            Writer::Integer => number::write_integer(text, out),
            Writer::Float => number::write_float(text, out),
            Writer::Text => write_text(text, out),
            Writer::Date => time::write_date(text, out),
            Writer::Timestamp => time::write_timestamp(text, out),
            Writer::TimestampTz => time::write_timestamptz(text, out),
            Writer::Bytea => bytea::write(text, out),
            Writer::Json => json::write(text, &mut scratch.json, out),
            Writer::Range(bound) => range::write(*bound, text, out),
            Writer::Hstore => hstore::write(text, scratch, out),
            Writer::Vector => vector::write(text, out),
            Writer::Array { element, delimiter } => {
                array::write(element, *delimiter, text, scratch, out)
            }
        }
    }
}

/// [`boolean`](https://www.postgresql.org/docs/current/datatype-boolean.html): `t` or `f`.
fn write_bool(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    out.extend_from_slice(match text {
        b"t" => b"true",
        b"f" => b"false",
        _ => return Err(Malformed::new(0, "t or f")),
    });
    Ok(())
}

fn write_null(out: &mut Vec<u8>) {
    out.extend_from_slice(b"null");
}

/// Writes `text` as a value of type `ty`: what every test of a writer looks at.
#[cfg(test)]
pub(crate) fn written(ty: &PgType, text: &[u8]) -> Result<String, Malformed> {
    let mut out = Vec::new();
    Writer::new(ty).write(text, &mut Scratch::default(), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans_are_t_or_f() {
        assert_eq!(written(&PgType::Bool, b"t").unwrap(), "true");
        assert_eq!(written(&PgType::Bool, b"f").unwrap(), "false");
        for text in [&b""[..], b"true", b"T", b"1"] {
            assert_eq!(written(&PgType::Bool, text), Err(Malformed::new(0, "t or f")));
        }
    }
}
