//! Tables as the catalog describes them.

use std::fmt;

use crate::PgType;

/// A table's schema and name, unquoted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableName {
    /// The schema.
    pub schema: String,
    /// The name within the schema.
    pub name: String,
}

impl TableName {
    /// `schema.name`, both as they are in the catalog.
    pub fn new(schema: impl Into<String>, name: impl Into<String>) -> Self {
        TableName { schema: schema.into(), name: name.into() }
    }

    /// For use in SQL: both parts quoted.
    pub fn quoted(&self) -> String {
        format!("{}.{}", quote_ident(&self.schema), quote_ident(&self.name))
    }
}

/// For people: quoted only where SQL needs it.
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |s: &str| {
            s.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
                && s.bytes().next().is_some_and(|b| !b.is_ascii_digit())
        };
        for (separator, part) in [("", &self.schema), (".", &self.name)] {
            f.write_str(separator)?;
            if plain(part) { f.write_str(part)? } else { f.write_str(&quote_ident(part))? }
        }
        Ok(())
    }
}

/// `"na""me"`: [quoted identifier](https://www.postgresql.org/docs/current/sql-syntax-lexical.html#SQL-SYNTAX-IDENTIFIERS).
fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A published table, with the columns that are published, in the order in which the stream sends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// `pg_class.oid`. Stays the same when the table is renamed, changes when it is dropped and made anew.
    pub oid: u32,
    /// Its name when the catalog was read.
    pub name: TableName,
    /// The published columns.
    pub columns: Vec<Column>,
    /// Its columns that are not published: generated ones, or left out by the publication's column list.
    pub unpublished: Vec<String>,
    /// The names of the columns of the primary key, in its order; empty without one, or when it is deferrable.
    pub primary_key: Vec<String>,
    /// What is sent of a row before an update or delete.
    pub identity: ReplicaIdentity,
    /// The row filter of the publication, as SQL.
    pub row_filter: Option<String>,
    /// The root of partitions, whose rows are theirs.
    pub partitioned: bool,
    /// Its rows are not those that lie in it but those of this query, as SQL, which has its columns; and one `wal2es_event`
    /// that tells one version of a row from every other of its key.
    pub query: Option<String>,
}

/// One column of a [`Table`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// `pg_attribute.attname`.
    pub name: String,
    /// `pg_attribute.attnum`, which no other column of the table ever has again; 0 where it does not matter.
    pub number: i16,
    /// What it holds.
    pub ty: PgType,
    /// The type as SQL writes it (`format_type`), for people.
    pub type_name: String,
    /// The same without the modifier, as test_decoding writes it.
    pub bare_type_name: String,
    /// `pg_attribute.atttypid`, as the relation message repeats it.
    pub type_oid: u32,
    /// `pg_attribute.atttypmod`, -1 for none.
    pub type_modifier: i32,
    /// Declared `NOT NULL`.
    pub not_null: bool,
    /// Part of the replica identity.
    pub in_identity: bool,
    /// May be stored out of line and then be left out of an update that does not touch it (TOAST).
    pub toastable: bool,
}

/// [`ALTER TABLE … REPLICA IDENTITY`](https://www.postgresql.org/docs/current/sql-altertable.html#SQL-ALTERTABLE-REPLICA-IDENTITY).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplicaIdentity {
    /// The primary key.
    Default,
    /// A unique index.
    Index,
    /// The whole row.
    Full,
    /// Nothing at all.
    Nothing,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_for_sql_always_and_for_people_where_needed() {
        let plain = TableName::new("public", "place");
        assert_eq!(
            (plain.to_string(), plain.quoted()),
            ("public.place".into(), r#""public"."place""#.into())
        );
        let odd = TableName::new("My.Schema", "a\"b");
        assert_eq!(odd.to_string(), r#""My.Schema"."a""b""#);
        assert_eq!(TableName::new("s", "").to_string(), r#"s."""#);
    }
}
