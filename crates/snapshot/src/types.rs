//! What a type OID stands for: domains down to their base, arrays down to their elements.

use std::collections::HashMap;

use change::{PgType, RangeBound};
use tokio_postgres::Client;

use crate::error::{Error, Result};

/// One row of [`pg_type`](https://www.postgresql.org/docs/current/catalog-pg-type.html).
struct TypeRow {
    schema: String,
    name: String,
    kind: i8,
    base: u32,
    base_modifier: i32,
    element: u32,
    is_array: bool,
    delimiter: i8,
}

/// The types of the columns of some tables, and all that they are made of.
pub(crate) struct Types {
    rows: HashMap<u32, TypeRow>,
}

const QUERY: &str = "
    WITH RECURSIVE used(oid) AS (
        SELECT unnest($1::oid[])
        UNION
        SELECT part FROM used
          JOIN pg_catalog.pg_type t ON t.oid = used.oid
         CROSS JOIN LATERAL (VALUES (t.typbasetype), (t.typelem)) AS parts(part)
         WHERE part <> 0
    )
    SELECT t.oid, n.nspname::text, t.typname::text, t.typtype, t.typbasetype, t.typtypmod, t.typelem,
           t.typcategory = 'A' AND t.typelem <> 0 AS is_array,
           COALESCE(e.typdelim, t.typdelim)
      FROM used
      JOIN pg_catalog.pg_type t ON t.oid = used.oid
      JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
      LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'";

impl Types {
    pub(crate) async fn load(client: &Client, oids: &[u32]) -> Result<Self> {
        let failed = |source| Error::Sql { doing: "reading the types of columns", source };
        let mut rows = HashMap::new();
        for row in client.query(QUERY, &[&oids]).await.map_err(failed)? {
            let oid: u32 = row.get(0);
            let found = TypeRow {
                schema: row.get(1),
                name: row.get(2),
                kind: row.get(3),
                base: row.get(4),
                base_modifier: row.get(5),
                element: row.get(6),
                is_array: row.get(7),
                delimiter: row.get(8),
            };
            rows.insert(oid, found);
        }
        Ok(Types { rows })
    }

    /// What a column of type `oid` with the modifier `modifier` (-1 for none) holds.
    pub(crate) fn resolve(&self, oid: u32, modifier: i32) -> PgType {
        let Some(row) = self.rows.get(&oid) else { return PgType::Other };
        match row.kind.to_be_bytes() {
            [b'd'] => self.resolve(row.base, row.base_modifier),
            [b'e'] => PgType::Enum,
            // These two are printed as numbers with spaces between them.
            [b'b'] if matches!(row.name.as_str(), "int2vector" | "oidvector") => PgType::Other,
            [b'b'] if row.is_array => PgType::Array {
                element: Box::new(self.resolve(row.element, modifier)),
                delimiter: u8::try_from(row.delimiter).unwrap_or(b','),
            },
            [b'b' | b'r'] => base(&row.schema, &row.name, modifier),
            _ => PgType::Other,
        }
    }
}

/// The built-in types by their names, which have not changed since they came; those of extensions in any schema, as it
/// is up to the installation.
fn base(schema: &str, name: &str, modifier: i32) -> PgType {
    match (schema == "pg_catalog", name) {
        (true, "bool") => PgType::Bool,
        (true, "int2") => PgType::Int2,
        (true, "int4") => PgType::Int4,
        (true, "int8") => PgType::Int8,
        (true, "oid") => PgType::Oid,
        (true, "float4") => PgType::Float4,
        (true, "float8") => PgType::Float8,
        (true, "numeric") => PgType::Numeric,
        (true, "text" | "varchar" | "bpchar" | "name") | (false, "citext") => PgType::Text,
        (true, "uuid") => PgType::Uuid,
        (true, "date") => PgType::Date,
        (true, "timestamp") => PgType::Timestamp,
        (true, "timestamptz") => PgType::TimestampTz,
        (true, "bytea") => PgType::Bytea,
        (true, "json") => PgType::Json,
        (true, "jsonb") => PgType::Jsonb,
        (true, "tsvector") => PgType::TsVector,
        (true, "int4range") => PgType::Range(RangeBound::Int4),
        (true, "int8range") => PgType::Range(RangeBound::Int8),
        (true, "numrange") => PgType::Range(RangeBound::Numeric),
        (true, "daterange") => PgType::Range(RangeBound::Date),
        (true, "tsrange") => PgType::Range(RangeBound::Timestamp),
        (true, "tstzrange") => PgType::Range(RangeBound::TimestampTz),
        (false, "hstore") => PgType::Hstore,
        (false, "vector") => PgType::Vector(u32::try_from(modifier).ok().filter(|dim| *dim > 0)),
        _ => PgType::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_the_same_name_elsewhere_is_another_type() {
        assert_eq!(base("pg_catalog", "int4", -1), PgType::Int4);
        assert_eq!(base("public", "int4", -1), PgType::Other);
        assert_eq!(base("extensions", "citext", -1), PgType::Text);
        assert_eq!(base("public", "vector", 384), PgType::Vector(Some(384)));
        assert_eq!(base("public", "vector", -1), PgType::Vector(None));
    }
}
