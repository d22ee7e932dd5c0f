//! The rows of one range of a table.

use change::{Row, Table, TableName, Value};
use wal::{Connection, CopyChunk, CopyOut};

use crate::error::{Error, Result};
use crate::range::Range;
use crate::text::LineReader;

/// undefined_table, undefined_column.
const GONE: [&str; 2] = ["42P01", "42703"];

/// Rows of a table on their way.
pub struct Copy<'a> {
    table: &'a Table,
    out: CopyOut<'a>,
    /// Columns behind those of the table.
    extra: usize,
    row: u64,
    reader: LineReader,
}

/// What tells one version of a row from every other of its key: who wrote it, and where it lies.
const PLACE: &str = "pg_catalog.concat(xmin, ' ', ctid)";
/// The same of [`Table::query`].
const PLACE_IN_QUERY: &str = "wal2es_event";

/// The statement that copies the published rows and columns of `table` in `range` that fulfil `wanted`, in the order of
/// its columns, with the place of each row behind them if that is asked for.
fn statement(table: &Table, range: &Range, wanted: Option<String>, places: bool) -> String {
    let mut columns: Vec<_> = table.columns.iter().map(|c| wal::identifier(&c.name)).collect();
    if let Some(query) = &table.query {
        columns.extend(places.then(|| PLACE_IN_QUERY.to_owned()));
        let wanted = wanted.map_or_else(String::new, |wanted| format!(" WHERE {wanted}"));
        return format!(
            "COPY (SELECT {} FROM ({query}) query{wanted}) TO STDOUT",
            columns.join(", ")
        );
    }
    columns.extend(places.then(|| PLACE.to_owned()));
    let filter = table.row_filter.as_ref().map(|filter| format!("({filter})"));
    let conditions: Vec<String> =
        filter.into_iter().chain(range.condition()).chain(wanted).collect();
    let conditions = match conditions.is_empty() {
        true => String::new(),
        false => format!(" WHERE {}", conditions.join(" AND ")),
    };
    let only = if range.relation.only { "ONLY " } else { "" };
    let (columns, name) = (columns.join(", "), range.relation.name.quoted());
    format!("COPY (SELECT {columns} FROM {only}{name}{conditions}) TO STDOUT")
}

/// Whether what was copied is the range as it was at the snapshot. A query knows tables by their names; and one that was
/// truncated or rewritten since the snapshot was made shows it no rows, or none of them. `session` keeps both from
/// happening only since it began to read, so it is asked afterwards: it sees the catalog as of the snapshot, and the
/// functions of the server see it as it is now.
///
/// # Errors
/// [`Error::Changed`] if it is not; the connection fails.
pub async fn check(session: &mut Connection, range: &Range) -> Result<()> {
    let (oid, name) = (range.relation.oid, &range.relation.name);
    let failed = |source| Error::Wal { doing: format!("looking at {name}"), source };
    let sql = format!(
        "SELECT pg_catalog.to_regclass({name})::oid IS NOT DISTINCT FROM '{oid}'::oid AND (
             WITH RECURSIVE tree(oid) AS (
                 SELECT '{oid}'::oid
                 UNION
                 SELECT i.inhrelid FROM tree
                   JOIN pg_catalog.pg_class p ON p.oid = tree.oid AND p.relkind = 'p'
                   JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid)
             SELECT COALESCE(pg_catalog.bool_and(c.relkind <> 'r' OR
                      c.relfilenode IS NOT DISTINCT FROM pg_catalog.pg_relation_filenode(c.oid)), false)
               FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid)",
        name = wal::literal(&name.quoted())
    );
    let rows = session.simple_query(&sql).await.map_err(failed)?;
    match rows.first().and_then(|row| row.first()?.as_deref()) {
        Some("t") => Ok(()),
        _ => Err(Error::Changed { table: name.clone() }),
    }
}

impl<'a> Copy<'a> {
    /// Begins to copy a range of `table`. The session is free again when [`Copy::next_chunk`] has come to its end.
    ///
    /// # Errors
    /// No right to read the table, [`Error::Changed`], the connection fails.
    pub async fn start(
        session: &'a mut Connection,
        table: &'a Table,
        range: &Range,
    ) -> Result<Self> {
        Copy::of(session, table, &range.relation.name, &statement(table, range, None, false)).await
    }

    /// The same for [`Copy::read_with_place`].
    ///
    /// # Errors
    /// As [`Copy::start`].
    pub async fn start_with_places(
        session: &'a mut Connection,
        table: &'a Table,
        range: &Range,
    ) -> Result<Self> {
        let statement = statement(table, range, None, true);
        let copy = Copy::of(session, table, &range.relation.name, &statement).await?;
        Ok(Copy { extra: 1, ..copy })
    }

    /// The rows of `table` with this key, a text as Postgres prints it for each column: one or none.
    ///
    /// # Errors
    /// As [`Copy::start`].
    pub async fn of_key<'k>(
        session: &'a mut Connection,
        table: &'a Table,
        key: impl Iterator<Item = (&'k str, &'k str)>,
    ) -> Result<Self> {
        let equal =
            |(column, text)| format!("{} = {}", wal::identifier(column), wal::literal(text));
        let wanted = key.map(equal).collect::<Vec<_>>().join(" AND ");
        let statement = statement(table, &Range::whole(table), Some(wanted), false);
        Copy::of(session, table, &table.name, &statement).await
    }

    /// The rows of `table` whose `columns` have one of these texts, in no order. Keys that no row has are left out.
    ///
    /// # Errors
    /// As [`Copy::start`].
    pub async fn of_keys(
        session: &'a mut Connection,
        table: &'a Table,
        columns: &[&str],
        keys: &[&[String]],
    ) -> Result<Self> {
        let row = |texts: &mut dyn Iterator<Item = String>| {
            format!("({})", texts.collect::<Vec<_>>().join(", "))
        };
        let names = row(&mut columns.iter().map(|name| wal::identifier(name)));
        let keys: Vec<String> =
            keys.iter().map(|key| row(&mut key.iter().map(|text| wal::literal(text)))).collect();
        let wanted = format!("{names} IN ({})", keys.join(", "));
        let statement = statement(table, &Range::whole(table), Some(wanted), false);
        Copy::of(session, table, &table.name, &statement).await
    }

    /// The rows of `relation`, which stands behind FROM: the columns of `table`, and behind them those that are named `extra`.
    ///
    /// # Errors
    /// As [`Copy::start`].
    pub async fn of_query(
        session: &'a mut Connection,
        table: &'a Table,
        relation: &str,
        extra: &[&str],
    ) -> Result<Self> {
        let columns = table.columns.iter().map(|column| wal::identifier(&column.name));
        let columns: Vec<_> =
            columns.chain(extra.iter().map(|name| wal::identifier(name))).collect();
        let statement = format!("COPY (SELECT {} FROM {relation}) TO STDOUT", columns.join(", "));
        let copy = Copy::of(session, table, &table.name, &statement).await?;
        Ok(Copy { extra: extra.len(), ..copy })
    }

    async fn of(
        session: &'a mut Connection,
        table: &'a Table,
        name: &TableName,
        statement: &str,
    ) -> Result<Self> {
        let out = session.copy_out(statement).await.map_err(|source| match source.db_error() {
            Some(db) if GONE.contains(&db.code.as_str()) => Error::Changed { table: name.clone() },
            _ => Error::Wal { doing: format!("copying {}", table.name), source },
        })?;
        Ok(Copy { table, out, extra: 0, row: 0, reader: LineReader::default() })
    }

    /// Some rows that have arrived; none at the end.
    ///
    /// # Errors
    /// The server stops the copy, the connection fails.
    pub async fn next_chunk(&mut self) -> Result<Option<CopyChunk>> {
        self.out
            .next_chunk()
            .await
            .map_err(|source| Error::Wal { doing: format!("copying {}", self.table.name), source })
    }

    /// Reads one message of a chunk: one row.
    ///
    /// # Errors
    /// It is not a line of COPY's text format.
    pub fn read<'s>(&'s mut self, message: &'s [u8]) -> Result<Row<'s>> {
        self.row += 1;
        let (table, row) = (self.table, self.row);
        let width = table.columns.len() + self.extra;
        self.reader.read(message, width).map_err(|what| Error::Line {
            table: table.name.clone(),
            row,
            what,
        })
    }

    /// Reads one message of a copy that was started with places: a row, and a text that no other version of a row with the
    /// same key has.
    ///
    /// # Errors
    /// As [`Copy::read`].
    pub fn read_with_place<'s>(&'s mut self, message: &'s [u8]) -> Result<(Row<'s>, &'s [u8])> {
        let row = self.read(message)?;
        match row.split_last() {
            Some((row, Value::Text(place))) => Ok((row, place)),
            _ => Ok((row, b"")),
        }
    }
}

#[cfg(test)]
mod tests {
    use change::{Column, PgType, ReplicaIdentity};

    use super::*;

    #[test]
    fn names_are_quoted_and_the_filter_of_the_publication_kept() {
        let column = |name: &str| Column {
            name: name.into(),
            ty: PgType::Int4,
            type_name: "integer".into(),
            bare_type_name: "integer".into(),
            number: 0,
            type_oid: 23,
            type_modifier: -1,
            not_null: true,
            in_identity: true,
            toastable: false,
        };
        let mut table = Table {
            oid: 1,
            name: TableName::new("S", "a\"b"),
            columns: vec![column("id"), column("Id")],
            primary_key: vec!["id".into()],
            identity: ReplicaIdentity::Default,
            unpublished: Vec::new(),
            row_filter: Some("(id > 1)".into()),
            partitioned: false,
            query: None,
        };
        let whole = Range::whole(&table);
        assert_eq!(
            statement(&table, &whole, None, false),
            r#"COPY (SELECT "id", "Id" FROM ONLY "S"."a""b" WHERE ((id > 1))) TO STDOUT"#
        );
        let part = Range { from: 3, to: Some(5), ..whole };
        assert_eq!(
            statement(&table, &part, None, false),
            r#"COPY (SELECT "id", "Id" FROM ONLY "S"."a""b" WHERE ((id > 1)) AND ctid >= '(3,0)' AND ctid < '(5,0)') TO STDOUT"#
        );
        table = Table { partitioned: true, row_filter: None, columns: vec![], ..table };
        let whole = Range::whole(&table);
        assert_eq!(
            statement(&table, &whole, None, false),
            r#"COPY (SELECT  FROM "S"."a""b") TO STDOUT"#
        );
    }
}
