//! The types of Postgres, as far as they make a difference to a document.

/// What a column holds, domains already resolved to their base type.
///
/// Types that are written the same way share a variant: what matters is the form of the text that Postgres prints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PgType {
    /// `boolean`, printed `t` or `f`.
    Bool,
    /// `smallint`.
    Int2,
    /// `integer`.
    Int4,
    /// `bigint`.
    Int8,
    /// `oid`.
    Oid,
    /// `real`.
    Float4,
    /// `double precision`.
    Float8,
    /// `numeric`, with or without a scale.
    Numeric,
    /// `text`, `varchar`, `char(n)`, `name`, `citext`: free text.
    Text,
    /// `uuid`.
    Uuid,
    /// Any enumeration.
    Enum,
    /// `date`.
    Date,
    /// `timestamp without time zone`.
    Timestamp,
    /// `timestamp with time zone`.
    TimestampTz,
    /// `bytea`, printed as `\x…`.
    Bytea,
    /// `json`: the text as it was written, duplicate keys and white space included.
    Json,
    /// `jsonb`.
    Jsonb,
    /// `tsvector`.
    TsVector,
    /// One of the built-in range types.
    Range(RangeBound),
    /// `hstore`.
    Hstore,
    /// pgvector's `vector`, with its dimension where the column has one.
    Vector(Option<u32>),
    /// An array of any number of dimensions.
    Array {
        /// What each element is.
        element: Box<PgType>,
        /// What stands between two elements: a comma, for `box` a semicolon (`pg_type.typdelim`).
        delimiter: u8,
    },
    /// Everything else, kept as the text that Postgres prints.
    Other,
}

/// What the bounds of a range are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RangeBound {
    /// `int4range`.
    Int4,
    /// `int8range`.
    Int8,
    /// `numrange`.
    Numeric,
    /// `daterange`.
    Date,
    /// `tsrange`.
    Timestamp,
    /// `tstzrange`.
    TimestampTz,
}
