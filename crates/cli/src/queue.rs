//! What commands ask of the trigger queue, or do to it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use outbox::Queue;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::failure::Failure;
use crate::monitor::Monitor;
use crate::planned::Planned;
use crate::run;
use crate::source::Source;

/// How often triggers are tried to be made while somebody else writes for long, and for how long each time: whoever comes
/// to write meanwhile waits behind it.
const ATTEMPTS: u32 = 5;
const LOCK_TIMEOUT: &str = "3s";
const PAUSE: Duration = Duration::from_secs(2);
/// More entries are not counted.
const COUNTED: i64 = 100_000;

/// The SQL that makes it, by what the catalog says of the published tables.
pub(crate) async fn script(config: &Config) -> Result<String, Failure> {
    let source = Source::connect(config).await?;
    let stop = CancellationToken::new();
    let monitor = Arc::new(Monitor::new(config, stop.clone()));
    let (context, source) = run::survey(config.clone(), source, stop, monitor).await?;
    let tables = run::captured(&context, &source).await?;
    Ok(Queue::new(&config.queue.schema).install(&tables))
}

/// Makes what is missing. What is there already is made once more, which changes nothing.
pub(crate) async fn ensure(config: &Config, source: &Source) -> Result<(), Failure> {
    install(source, &script(config).await?).await?;
    info!(schema = %config.queue.schema, "made the trigger queue");
    Ok(())
}

/// Does that in a transaction of its own, which does not wait long for writers each time: they wait behind it.
pub(crate) async fn install(source: &Source, sql: &str) -> Result<(), Failure> {
    let sql = format!("BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n{sql}COMMIT");
    for attempt in 1.. {
        let Err(error) = source.client.batch_execute(&sql).await else { break };
        source.client.batch_execute("ROLLBACK").await?;
        let code = error.as_db_error().map(|db| db.code().code().to_owned());
        match code.as_deref() {
            // lock_not_available
            Some("55P03") if attempt < ATTEMPTS => {
                warn!(
                    "the tables are being written to by transactions that take long; trying again"
                );
                tokio::time::sleep(PAUSE).await;
            }
            Some("55P03") => {
                return Err(Failure::retry(
                    "the triggers could not be made: transactions that take long are writing to the tables",
                    "try again when they have ended (pg_stat_activity)",
                ));
            }
            Some("42501") => {
                return Err(Failure::config(
                    format!("the triggers could not be made: {error}"),
                    "have the SQL run by the owner of the tables: `wal2es setup --print`",
                ));
            }
            _ => return Err(error.into()),
        }
    }
    Ok(())
}

/// Removes it, if it is there and ours.
pub(crate) async fn remove(config: &Config, source: &Source) -> Result<bool, Failure> {
    const QUERY: &str = "SELECT pg_catalog.obj_description(pg_catalog.to_regclass($1), 'pg_class') LIKE 'wal2es queue%'";
    let name = format!("{}.queue", wal::identifier(&config.queue.schema));
    let row = source.client.query_one(QUERY, &[&name]).await?;
    let is_ours = row.get::<_, Option<bool>>(0) == Some(true);
    if is_ours {
        source.client.batch_execute(&Queue::new(&config.queue.schema).remove()).await?;
    }
    Ok(is_ours)
}

/// Wakes the consumer, so that it says how far it is.
pub(crate) async fn wake(config: &Config, source: &Source) -> Result<(), Failure> {
    let channel = config.queue.schema.as_str();
    source.client.execute("SELECT pg_catalog.pg_notify($1, '')", &[&channel]).await?;
    Ok(())
}

/// The last id that an entry has been given, as far as the role may know.
pub(crate) async fn last(config: &Config, source: &Source) -> Result<u64, Failure> {
    let name = format!("{}.queue", wal::identifier(&config.queue.schema));
    const QUERY: &str = "SELECT pg_catalog.pg_sequence_last_value(seq) \
           FROM (SELECT pg_catalog.pg_get_serial_sequence($1, 'id')::regclass) s(seq) \
          WHERE pg_catalog.has_sequence_privilege(seq, 'SELECT')";
    let row = source.client.query_opt(QUERY, &[&name]).await?;
    let unknown = u64::try_from(i64::MAX).unwrap_or_default();
    Ok(row.map_or(unknown, |row| {
        row.get::<_, Option<i64>>(0).map_or(outbox::COPIED, i64::unsigned_abs)
    }))
}

/// Adds an entry for each of these documents, so that they are written anew.
pub(crate) async fn enqueue(
    config: &Config,
    source: &Source,
    one: &Planned,
    ids: &HashSet<Box<[u8]>>,
) -> Result<(), Failure> {
    let width = one.plan.key_columns().count();
    let mut keys = Vec::new();
    for id in ids {
        let id = String::from_utf8_lossy(id);
        keys.push(document::key_of(&id, width).ok_or_else(|| {
            Failure::stop(
                format!("{}: the id {id} does not tell the row's key", one.table.name),
                "build the indices anew: `wal2es resync`",
            )
        })?);
    }
    let name = format!("{}.queue", wal::identifier(&config.queue.schema));
    let sql = format!("INSERT INTO {name} (tbl, key) VALUES ($1, $2)");
    for key in keys {
        source.client.execute(&sql, &[&one.table.oid, &key]).await?;
    }
    wake(config, source).await
}

/// How much is in it; null if it is not there.
pub(crate) async fn status(config: &Config, source: &Source) -> Result<Value, Failure> {
    let name = format!("{}.queue", wal::identifier(&config.queue.schema));
    const QUERY: &str = "SELECT pg_catalog.to_regclass($1) IS NOT NULL";
    if !source.client.query_one(QUERY, &[&name]).await?.get::<_, bool>(0) {
        return Ok(Value::Null);
    }
    let sql = format!("SELECT count(*) FROM (SELECT FROM {name} LIMIT {COUNTED}) counted");
    let entries: i64 = source.client.query_one(&sql, &[]).await?.get(0);
    let taken = !run::is_free(config, source).await?;
    Ok(json!({"schema": config.queue.schema.to_string(), "entries": entries, "taken": taken}))
}
