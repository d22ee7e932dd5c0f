//! What is behind the name of a table, and why logical replication would not carry it.

use change::TableName;
use snapshot::catalog;

use crate::commands::parse_name;
use crate::config::Config;
use crate::failure::Failure;
use crate::planned;
use crate::source::Source;

/// Something of a name in the catalog.
struct Relation {
    oid: u32,
    /// What it is, unless it is a table that can be published.
    not_a_table: Option<&'static str>,
    /// The partitioned table that it is part of.
    root: Option<String>,
    /// Published, its rows can be updated and deleted: Postgres refuses to when it can't tell which row was meant.
    identified: bool,
    /// The name of its primary key, if that is deferrable.
    deferrable_key: Option<String>,
}

/// The tables by their true names. Each must be one that can be published without breaking its writers.
pub(crate) async fn publishable(
    source: &Source,
    tables: &[String],
) -> Result<Vec<TableName>, Failure> {
    let mut checked = Vec::new();
    for text in tables {
        let name = parse_name(text);
        let relation = find(source, &name).await?.ok_or_else(|| absent(source, &name))?;
        must_be_carried(&name, &relation)?;
        must_be_identified(&name, &relation)?;
        partitions_must_be_identified(source, &name, relation.oid).await?;
        checked.push(name);
    }
    Ok(checked)
}

/// Why a table that the configuration names is not among the published ones, where it is not for want of an `ALTER
/// PUBLICATION`.
pub(crate) async fn explain_unpublished(
    source: &Source,
    config: &Config,
    published: &[change::Table],
) -> Result<(), Failure> {
    for index in config.indexes.iter().flatten() {
        if published.iter().any(|table| planned::is_named(table, &index.table)) {
            continue;
        }
        let name = parse_name(&index.table);
        let relation = find(source, &name).await?.ok_or_else(|| absent(source, &name))?;
        must_be_carried(&name, &relation)?;
        if let Some(root) = &relation.root {
            return Err(Failure::config(
                format!(
                    "{name} is a partition of {root}, and its rows are published as that table's"
                ),
                format!("name {root}"),
            ));
        }
    }
    Ok(())
}

/// Says which tables a publication of whole schemas leaves out, because readers may look for them.
pub(crate) async fn warn_of_left_out(source: &Source, publication: &str) -> Result<(), Failure> {
    let schemas = match source.version {
        150_000.. => {
            "EXISTS (SELECT FROM pg_catalog.pg_publication_namespace s \
                      WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace)"
        }
        _ => "false",
    };
    let query = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname), c.relkind::text, c.relpersistence::text \
           FROM pg_catalog.pg_publication p \
           JOIN pg_catalog.pg_class c ON p.puballtables OR {schemas} \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
          WHERE p.pubname = $1 AND (c.relkind IN ('f', 'm') OR c.relkind = 'r' AND c.relpersistence = 'u') \
            AND n.nspname NOT IN ('pg_catalog', 'information_schema') ORDER BY 1"
    );
    for row in source.client.query(&query, &[&publication]).await? {
        let what = kind(row.get(1), row.get(2)).unwrap_or("a table");
        tracing::warn!(
            table = row.get::<_, &str>(0),
            "it is {what}, which logical replication does not carry: there is no index for it"
        );
    }
    Ok(())
}

/// What it is, unless it is a table that can be published: `pg_class.relkind` and `relpersistence`.
fn kind(kind: &str, persistence: &str) -> Option<&'static str> {
    match (kind, persistence) {
        ("r" | "p", "p") => None,
        ("r" | "p", "u") => Some("an unlogged table"),
        ("r" | "p", _) => Some("a temporary table"),
        ("v", _) => Some("a view"),
        ("m", _) => Some("a materialized view"),
        ("f", _) => Some("a foreign table"),
        _ => Some("no table"),
    }
}

async fn find(source: &Source, name: &TableName) -> Result<Option<Relation>, Failure> {
    const QUERY: &str = "
        SELECT c.oid, c.relkind::text, c.relpersistence::text,
               CASE WHEN c.relispartition THEN
                   (SELECT pg_catalog.format('%I.%I', rn.nspname, r.relname)
                      FROM pg_catalog.pg_class r JOIN pg_catalog.pg_namespace rn ON rn.oid = r.relnamespace
                     WHERE r.oid = pg_catalog.pg_partition_root(c.oid)) END,
               c.relreplident = 'f' OR EXISTS (
                   SELECT FROM pg_catalog.pg_index i
                    WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
                      AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident
                          ELSE false END),
               (SELECT k.conname::text FROM pg_catalog.pg_constraint k
                 WHERE k.conrelid = c.oid AND k.contype = 'p' AND k.condeferrable)
          FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname = $1 AND c.relname = $2";
    let row = source.client.query_opt(QUERY, &[&name.schema, &name.name]).await?;
    Ok(row.map(|row| Relation {
        oid: row.get(0),
        not_a_table: kind(row.get(1), row.get(2)),
        root: row.get(3),
        identified: row.get(4),
        deferrable_key: row.get(5),
    }))
}

fn absent(source: &Source, name: &TableName) -> Failure {
    Failure::config(
        format!("there is no table {name} in the database {}", source.info.dbname),
        "write it as schema.name, as the catalog has it",
    )
}

fn must_be_carried(name: &TableName, relation: &Relation) -> Result<(), Failure> {
    match relation.not_a_table {
        None => Ok(()),
        Some(what @ "an unlogged table") => Err(Failure::config(
            format!("{name} is {what}, which logical replication does not carry"),
            format!("ALTER TABLE {} SET LOGGED, or leave it out", name.quoted()),
        )),
        Some(what) => Err(Failure::config(
            format!("{name} is {what}, which logical replication does not carry"),
            "name ordinary or partitioned tables, for example those that it is made of",
        )),
    }
}

fn must_be_identified(name: &TableName, relation: &Relation) -> Result<(), Failure> {
    if relation.identified {
        return Ok(());
    }
    let table = name.quoted();
    let full = format!("ALTER TABLE {table} REPLICA IDENTITY FULL, with `id` in the configuration");
    Err(match &relation.deferrable_key {
        Some(key) => Failure::config(
            format!(
                "{name} has no usable key: its primary key {key} is deferrable, and published like this, Postgres would \
                 refuse updates and deletes on it"
            ),
            format!(
                "ALTER TABLE {table} DROP CONSTRAINT {}, ADD PRIMARY KEY (…); or {full}",
                wal::identifier(key)
            ),
        ),
        None => Failure::config(
            format!(
                "{name} has no usable key: published like this, Postgres would refuse updates and deletes on it"
            ),
            format!("ALTER TABLE {table} ADD PRIMARY KEY (…); or {full}"),
        ),
    })
}

/// Partitions have replica identities of their own, by which Postgres decides.
async fn partitions_must_be_identified(
    source: &Source,
    name: &TableName,
    oid: u32,
) -> Result<(), Failure> {
    let parts = catalog::partitions(&source.client, &[oid]).await?;
    let weak = parts.iter().find(|part| {
        part.identity != change::ReplicaIdentity::Full && part.identity_columns.is_empty()
    });
    match weak {
        None => Ok(()),
        Some(part) => Err(Failure::config(
            format!(
                "the partition {} of {name} has no usable key: published like this, Postgres would refuse updates and \
                 deletes on it",
                part.name
            ),
            format!(
                "ALTER TABLE {0} REPLICA IDENTITY FULL, or, if it has a primary key, ALTER TABLE {0} REPLICA IDENTITY DEFAULT",
                part.name.quoted()
            ),
        )),
    }
}
