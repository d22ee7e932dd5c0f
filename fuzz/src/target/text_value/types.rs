//! Which type a byte stands for.

use change::{PgType, RangeBound};

/// The types that are not arrays, by the lower six bits of the first byte. Seeds rely on the order: new ones go to the
/// end.
pub const TYPES: [PgType; 28] = [
    PgType::Bool,
    PgType::Int2,
    PgType::Int4,
    PgType::Int8,
    PgType::Oid,
    PgType::Float4,
    PgType::Float8,
    PgType::Numeric,
    PgType::Text,
    PgType::Uuid,
    PgType::Enum,
    PgType::Date,
    PgType::Timestamp,
    PgType::TimestampTz,
    PgType::Bytea,
    PgType::Json,
    PgType::Jsonb,
    PgType::TsVector,
    PgType::Range(RangeBound::Int4),
    PgType::Range(RangeBound::Int8),
    PgType::Range(RangeBound::Numeric),
    PgType::Range(RangeBound::Date),
    PgType::Range(RangeBound::Timestamp),
    PgType::Range(RangeBound::TimestampTz),
    PgType::Hstore,
    PgType::Vector(None),
    PgType::Vector(Some(3)),
    PgType::Other,
];

/// The type for a first byte: an array if the highest bit is set, with a semicolon between the elements if the next one
/// is.
pub fn of(byte: u8) -> PgType {
    let element = TYPES.get(usize::from(byte & 0x3f) % TYPES.len()).cloned();
    let element = element.unwrap_or(PgType::Other);
    match byte & 0xc0 {
        0x80 => PgType::Array { element: Box::new(element), delimiter: b',' },
        0xc0 => PgType::Array { element: Box::new(element), delimiter: b';' },
        _ => element,
    }
}
