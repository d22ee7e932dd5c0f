//! What the commands do otherwise where changes are captured by a trigger queue.

use std::sync::Arc;
use std::time::Duration;

use outbox::Queue;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::Config;
use crate::failure::Failure;
use crate::monitor::Monitor;
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
pub(super) async fn script(config: &Config) -> Result<String, Failure> {
    let source = Source::connect(config).await?;
    let stop = CancellationToken::new();
    let monitor = Arc::new(Monitor::new(config, stop.clone()));
    let (context, source) = run::survey(config.clone(), source, stop, monitor).await?;
    let tables = run::captured(&context, &source).await?;
    Ok(Queue::new(&config.queue.schema).install(&tables))
}

/// Makes what is missing. What is there already is made once more, which changes nothing.
pub(super) async fn ensure(config: &Config, source: &Source) -> Result<(), Failure> {
    let sql = script(config).await?;
    let sql = format!("BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}';\n{sql}COMMIT");
    let schema = &config.queue.schema;
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
    info!(%schema, "made the trigger queue");
    Ok(())
}

/// Removes it, if it is there and ours.
pub(super) async fn remove(config: &Config, source: &Source) -> Result<bool, Failure> {
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
pub(super) async fn wake(config: &Config, source: &Source) -> Result<(), Failure> {
    let channel = config.queue.schema.as_str();
    source.client.execute("SELECT pg_catalog.pg_notify($1, '')", &[&channel]).await?;
    Ok(())
}

/// How much is in it; null if it is not there.
pub(super) async fn status(config: &Config, source: &Source) -> Result<Value, Failure> {
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
