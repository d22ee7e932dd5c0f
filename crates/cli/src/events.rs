//! The table of events: what the catalog says of it, which rows the documents of an index are of, and what commands do
//! with it.

use change::{ReplicaIdentity, Table};
use document::Payload;
use outbox::Session;
use outbox::events::{Events, OneOf, Projection};
use serde_json::{Value, json};
use snapshot::catalog;
use tracing::info;

use crate::commands::parse_name;
use crate::config::{ByColumn, Config, Index, Texts};
use crate::failure::Failure;
use crate::queue;
use crate::source::Source;

/// The table, with all of its columns.
pub(crate) async fn table(config: &Config, source: &Source) -> Result<Table, Failure> {
    let text = config.events.table.as_deref().unwrap_or_default();
    let name = parse_name(text);
    catalog::table(&source.client, &name).await?.ok_or_else(|| {
        Failure::config(
            format!("there is no table {name} in the database {}", source.info.dbname),
            "correct events.table: schema.name",
        )
    })
}

/// How it is read.
pub(crate) fn described(config: &Config, table: &Table) -> Result<Events, Failure> {
    let id = match (&config.events.id, table.primary_key.as_slice()) {
        (Some(id), _) => id.to_string(),
        (None, [id]) => id.clone(),
        (None, key) => {
            return Err(Failure::config(
                format!("{}: its primary key has {} columns, not one", table.name, key.len()),
                "name the column that tells events apart in events.id",
            ));
        }
    };
    if let Some(column) = table.columns.iter().find(|column| column.name.starts_with("wal2es_")) {
        return Err(Failure::config(
            format!("the table {} has a column {}", table.name, column.name),
            "rename it: names that begin with wal2es_ are kept for our own",
        ));
    }
    let Some(column) = table.columns.iter().find(|column| column.name == id) else {
        return Err(Failure::config(
            format!("the table {} has no column {id}", table.name),
            "correct events.id",
        ));
    };
    Ok(Events {
        oid: table.oid,
        table: table.name.clone(),
        id_type: column.type_name.clone(),
        id,
        order: config.events.order()?,
        schema: config.events.schema.to_string(),
        owner: config.source.slot.to_string(),
    })
}

/// Which events the index is of. Columns that are not there are told of by [`folded`].
pub(crate) fn projection(index: &Index, table: &Table) -> Projection {
    let texts = |by_column: &ByColumn| {
        let one = |(column, texts): (&String, &Texts)| {
            let known = table.columns.iter().find(|known| known.name == *column)?;
            let (column, type_name) = (column.clone(), known.type_name.clone());
            Some(OneOf { column, type_name, texts: texts.to_vec() })
        };
        by_column.iter().filter_map(one).collect()
    };
    Projection {
        key: index.id.as_ref().map(|id| id.to_vec()).unwrap_or_default(),
        only: texts(&index.only),
        deletes: texts(&index.deletes),
        payload: index.payload.as_ref().map(ToString::to_string),
    }
}

/// The document that `index` says is the content of a column.
pub(crate) fn payload(index: &Index) -> Option<Payload> {
    let column = index.payload.as_ref()?.to_string();
    Some(Payload { column, properties: index.properties.clone() })
}

/// The table as the plan of `index` is made of it: its rows are the last events of keys, or all of them.
///
/// # Errors
/// A column that the index names is not there.
pub(crate) fn folded(
    mut table: Table,
    index: &Index,
    events: &Events,
    projection: &Projection,
) -> Result<Table, String> {
    for (column, option) in (index.only.keys().map(|column| (column, "only")))
        .chain(index.deletes.keys().map(|column| (column, "deletes")))
    {
        if !table.columns.iter().any(|known| known.name == *column) {
            return Err(format!(
                "table {}: there is no column {column:?}. Remedy: correct it under `{option}`",
                table.name
            ));
        }
    }
    let key = match projection.key.is_empty() {
        true => vec![events.id.clone()],
        false => projection.key.clone(),
    };
    // Events never change, and those without a key are left out.
    table.identity = ReplicaIdentity::Full;
    for column in &mut table.columns {
        column.in_identity = true;
        column.not_null |= key.contains(&column.name);
        column.toastable = false;
    }
    table.primary_key = key;
    table.query = Some(projection.folded(events));
    Ok(table)
}

/// The SQL that makes what writers need to give events places, and to notify.
pub(crate) async fn script(config: &Config) -> Result<String, Failure> {
    let source = Source::connect(config).await?;
    Ok(described(config, &table(config, &source).await?)?.install())
}

/// Makes it. False if there is nothing to be made.
pub(crate) async fn ensure(config: &Config, source: &Source) -> Result<bool, Failure> {
    let events = described(config, &table(config, source).await?)?;
    if !config.events.is_notified() && !events.is_stream() {
        return Ok(false);
    }
    queue::install(source, &events.install()).await?;
    info!(schema = events.schema, table = %events.table, "made what is needed to read events");
    Ok(true)
}

/// Removes it, if it is there and ours.
pub(crate) async fn remove(config: &Config, source: &Source) -> Result<bool, Failure> {
    const QUERY: &str = "SELECT pg_catalog.obj_description(pg_catalog.to_regclass($1), 'pg_class') LIKE 'wal2es events%'";
    let schema = wal::identifier(&config.events.schema);
    let row = source.client.query_one(QUERY, &[&format!("{schema}.reader")]).await?;
    let is_ours = row.get::<_, Option<bool>>(0) == Some(true);
    if is_ours {
        source.client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await?;
    }
    Ok(is_ours)
}

/// The highest version that a document can have by now.
pub(crate) async fn last(events: &Events, source: &Source) -> Result<u64, Failure> {
    let sql = format!("SELECT ({})::bigint", events.last_number());
    let last: Option<i64> = source.client.query_one(&sql, &[]).await?.get(0);
    Ok(last.map_or(outbox::COPIED, |last| last.unsigned_abs() + 1))
}

/// Has the reader look, and say how far it is.
pub(crate) async fn wake(config: &Config, source: &Source) -> Result<(), Failure> {
    let channel = config.events.schema.as_str();
    source.client.execute("SELECT pg_catalog.pg_notify($1, '')", &[&channel]).await?;
    Ok(())
}

/// How it is read, and who holds events back.
pub(crate) async fn status(
    config: &Config,
    source: &Source,
    taken: bool,
) -> Result<Value, Failure> {
    let Ok(table) = table(config, source).await else { return Ok(Value::Null) };
    let events = described(config, &table)?;
    let mut session = Session::connect(&source.info).await?;
    let held = events.held_by(&mut session).await?;
    Ok(json!({
        "table": table.name.to_string(), "order": config.events.order.as_str(), "taken": taken,
        "oldest_transaction": held.map(|held| json!({"who": held.who, "seconds": held.seconds})),
    }))
}
