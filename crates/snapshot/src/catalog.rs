//! The published tables, as the catalog describes them now.

use std::collections::{HashMap, HashSet};

use change::{Column, ReplicaIdentity, Table, TableName};
use tokio_postgres::{Client, Row};

use crate::error::{Error, Result};
use crate::types::Types;

/// What a publication says beside its tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// `pg_publication.oid`.
    pub oid: u32,
    /// Publishes inserts.
    pub insert: bool,
    /// Publishes updates.
    pub update: bool,
    /// Publishes deletes.
    pub delete: bool,
    /// Publishes truncations.
    pub truncate: bool,
}

impl Publication {
    /// What stands for one where none is needed.
    pub fn none() -> Self {
        Publication { oid: 0, insert: true, update: true, delete: true, truncate: true }
    }

    /// The operations that it leaves out, if any.
    pub fn leaves_out(&self) -> Option<String> {
        let all = [
            (self.insert, "insert"),
            (self.update, "update"),
            (self.delete, "delete"),
            (self.truncate, "truncate"),
        ];
        let left_out: Vec<&str> =
            all.into_iter().filter_map(|(published, what)| (!published).then_some(what)).collect();
        (!left_out.is_empty()).then(|| left_out.join(", "))
    }
}

/// The publication `name`, if there is one.
///
/// # Errors
/// The query fails.
pub async fn publication(client: &Client, name: &str) -> Result<Option<Publication>> {
    const QUERY: &str = "SELECT oid, pubinsert, pubupdate, pubdelete, pubtruncate \
                         FROM pg_catalog.pg_publication WHERE pubname = $1";
    let row = client.query_opt(QUERY, &[&name]).await;
    let row = row.map_err(|source| Error::Sql { doing: "reading the publication", source })?;
    Ok(row.map(|row| Publication {
        oid: row.get(0),
        insert: row.get(1),
        update: row.get(2),
        delete: row.get(3),
        truncate: row.get(4),
    }))
}

/// Which entries tables have in the publication `name`, by their OIDs: another one when a table was taken out and added
/// again, after which nobody knows what was written in between. Tables that come with their schema, or with all, have none.
///
/// # Errors
/// The query fails.
pub async fn entries(client: &Client, name: &str) -> Result<HashMap<u32, u32>> {
    const QUERY: &str = "SELECT r.prrelid, r.oid FROM pg_catalog.pg_publication_rel r \
                           JOIN pg_catalog.pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1";
    let failed = |source| Error::Sql { doing: "reading the entries of the publication", source };
    let rows = client.query(QUERY, &[&name]).await.map_err(failed)?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The tables of the publication `name`, with the columns and rows that it publishes, by schema and name.
///
/// `server_version` is the server's `server_version_num`: column lists and row filters came with 15.
///
/// # Errors
/// A query fails.
pub async fn published_tables(
    client: &Client,
    name: &str,
    server_version: u32,
) -> Result<Vec<Table>> {
    let lists = if server_version >= 150_000 {
        "p.attnames::text[], p.rowfilter"
    } else {
        "NULL::text[], NULL::text"
    };
    let query = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relreplident, {lists}, c.relkind = 'p' \
           FROM pg_catalog.pg_publication_tables p \
           JOIN pg_catalog.pg_namespace n ON n.nspname = p.schemaname \
           JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = p.tablename \
          WHERE p.pubname = $1 ORDER BY 2, 3"
    );
    let failed = |source| Error::Sql { doing: "reading the tables of the publication", source };
    let found = client.query(&query, &[&name]).await.map_err(failed)?;
    describe(client, &found, server_version >= 180_000).await
}

/// The table of that name with all of its columns, whatever is published, if there is one.
///
/// # Errors
/// A query fails.
pub async fn table(client: &Client, name: &TableName) -> Result<Option<Table>> {
    const QUERY: &str = "
        SELECT c.oid, n.nspname::text, c.relname::text, c.relreplident,
               ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute a
                      WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
               NULL::text, c.relkind = 'p'
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')";
    let failed = |source| Error::Sql { doing: "reading the table", source };
    let found = client.query(QUERY, &[&name.schema, &name.name]).await.map_err(failed)?;
    Ok(describe(client, &found, true).await?.pop())
}

/// Tables with what they are made of. `generated`: with generated columns that are on the list.
async fn describe(client: &Client, found: &[Row], generated: bool) -> Result<Vec<Table>> {
    let failed = |source| Error::Sql { doing: "reading the columns of tables", source };
    let mut described = Vec::new();
    let mut type_oids = HashSet::new();
    for row in found {
        let columns = client.query(COLUMNS, &[&row.get::<_, u32>(0)]).await.map_err(failed)?;
        type_oids.extend(columns.iter().map(|column| column.get::<_, u32>(1)));
        described.push((row, columns));
    }
    let type_oids: Vec<u32> = type_oids.into_iter().collect();
    let types = Types::load(client, &type_oids).await?;
    Ok(described.iter().map(|(row, columns)| of_rows(row, columns, &types, generated)).collect())
}

/// A partition, at whatever level, of the table `root`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The OID of the table that was asked for.
    pub root: u32,
    /// Its own.
    pub oid: u32,
    /// Its name.
    pub name: TableName,
    /// Its own replica identity, which is not that of its root.
    pub identity: ReplicaIdentity,
    /// The columns of that.
    pub identity_columns: Vec<String>,
}

/// The partitions of `roots` that hold rows. Asks the tables of the catalog only, so it waits for no lock.
///
/// # Errors
/// The query fails.
pub async fn partitions(client: &Client, roots: &[u32]) -> Result<Vec<Part>> {
    const QUERY: &str = "
        WITH RECURSIVE tree(root, oid) AS (
            SELECT oid, oid FROM unnest($1::oid[]) AS roots(oid)
            UNION
            SELECT tree.root, i.inhrelid FROM tree
              JOIN pg_catalog.pg_class p ON p.oid = tree.oid AND p.relkind = 'p'
              JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid)
        SELECT tree.root, c.oid, n.nspname::text, c.relname::text, c.relreplident,
               ARRAY(SELECT a.attname::text FROM pg_catalog.pg_index i
                       JOIN pg_catalog.pg_attribute a
                         ON a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])
                      WHERE i.indrelid = c.oid AND i.indimmediate
                        AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                            ELSE false END)
          FROM tree
          JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind = 'r' AND tree.oid <> tree.root
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
    let failed = |source| Error::Sql { doing: "reading the partitions", source };
    let rows = client.query(QUERY, &[&roots]).await.map_err(failed)?;
    let part = |row: &Row| Part {
        root: row.get(0),
        oid: row.get(1),
        name: TableName::new(row.get::<_, String>(2), row.get::<_, String>(3)),
        identity: identity(row.get(4)),
        identity_columns: row.get(5),
    };
    Ok(rows.iter().map(part).collect())
}

/// The partitions of `root` at all levels, those that are partitioned themselves among them; not foreign tables.
///
/// # Errors
/// The query fails.
pub async fn descendants(client: &Client, root: u32) -> Result<Vec<TableName>> {
    const QUERY: &str = "
        WITH RECURSIVE tree(oid) AS (
            SELECT $1::oid
            UNION
            SELECT i.inhrelid FROM tree
              JOIN pg_catalog.pg_class p ON p.oid = tree.oid AND p.relkind = 'p'
              JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid)
        SELECT n.nspname::text, c.relname::text FROM tree
          JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind <> 'f' AND c.oid <> $1
          JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace";
    let failed = |source| Error::Sql { doing: "reading the partitions", source };
    let rows = client.query(QUERY, &[&root]).await.map_err(failed)?;
    let name = |row: &Row| TableName::new(row.get::<_, String>(0), row.get::<_, String>(1));
    Ok(rows.iter().map(name).collect())
}

/// `pg_class.relreplident`.
pub fn identity(letter: i8) -> ReplicaIdentity {
    match letter.to_be_bytes() {
        [b'f'] => ReplicaIdentity::Full,
        [b'i'] => ReplicaIdentity::Index,
        [b'n'] => ReplicaIdentity::Nothing,
        _ => ReplicaIdentity::Default,
    }
}

/// The columns of a table that can be published, with their places in the primary key and the replica identity. A
/// deferrable primary key is none: the server does not use it to identify rows either.
const COLUMNS: &str = "
    SELECT a.attname::text, a.atttypid, a.atttypmod,
           pg_catalog.format_type(a.atttypid, a.atttypmod),
           a.attnotnull,
           a.attgenerated <> '' AS generated,
           a.attlen = -1 AND a.attstorage <> 'p' AS toastable,
           (SELECT array_position((i.indkey::int2[])[0:i.indnkeyatts - 1], a.attnum) FROM pg_catalog.pg_index i
             WHERE i.indrelid = a.attrelid AND i.indisprimary AND i.indimmediate AND i.indisvalid) AS key_place,
           EXISTS (SELECT FROM pg_catalog.pg_class c WHERE c.oid = a.attrelid AND c.relreplident = 'f') OR
           EXISTS (SELECT FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
             WHERE i.indrelid = a.attrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]) AND i.indimmediate
               AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                   ELSE false END) AS in_identity,
           pg_catalog.format_type(a.atttypid, NULL),
           a.attnum
      FROM pg_catalog.pg_attribute a
     WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
     ORDER BY a.attnum";

/// `generated`: the server can publish generated columns. Before 18 it can't, whatever its view says.
fn of_rows(row: &Row, columns: &[Row], types: &Types, generated: bool) -> Table {
    let identity = identity(row.get(3));
    let list: Option<Vec<String>> = row.get(4);
    let published = |column: &&Row| match &list {
        Some(list) => list.contains(&column.get(0)) && (generated || !column.get::<_, bool>(5)),
        None => !column.get::<_, bool>(5),
    };
    let mut key: Vec<(i32, String)> = columns
        .iter()
        .filter_map(|column| Some((column.get::<_, Option<i32>>(7)?, column.get(0))))
        .collect();
    key.sort();
    Table {
        oid: row.get(0),
        name: TableName::new(row.get::<_, String>(1), row.get::<_, String>(2)),
        columns: columns
            .iter()
            .filter(published)
            .map(|column| Column {
                name: column.get(0),
                ty: types.resolve(column.get(1), column.get(2)),
                type_name: column.get(3),
                type_oid: column.get(1),
                type_modifier: column.get(2),
                not_null: column.get(4),
                in_identity: identity == ReplicaIdentity::Full || column.get(8),
                bare_type_name: column.get(9),
                number: column.get(10),
                toastable: column.get(6),
            })
            .collect(),
        unpublished: columns
            .iter()
            .filter(|column| !published(column))
            .map(|column| column.get(0))
            .collect(),
        primary_key: key.into_iter().map(|(_, name)| name).collect(),
        identity,
        row_filter: row.get(5),
        partitioned: row.get(6),
        query: None,
    }
}
