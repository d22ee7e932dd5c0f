//! Environment variables that override the file: `WAL2ES_` and the path of the key, in capitals.

use super::interpolate::{Text, Texts};
use super::{Config, Events, SecretText, units};
use crate::failure::Failure;

pub(super) fn overlay(
    config: &mut Config,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(), Failure> {
    let text = |name: &str| env(name).map(|value| Text::from(value.as_str()));
    let bad = |name: &str, why: String| Failure::config(format!("{name}: {why}"), "correct it");
    let (source, target) = (&mut config.source, &mut config.target);
    if let Some(url) = text("WAL2ES_SOURCE_URL") {
        source.url = Some(url);
    }
    for (name, field) in [
        ("WAL2ES_SOURCE_SLOT", &mut source.slot),
        ("WAL2ES_SOURCE_PUBLICATION", &mut source.publication),
        ("WAL2ES_SOURCE_PLUGIN", &mut source.plugin),
        ("WAL2ES_SOURCE_CAPTURE", &mut source.capture),
    ] {
        if let Some(value) = text(name) {
            *field = value;
        }
    }
    if let Some(value) = text("WAL2ES_SOURCE_SPILL_DIR") {
        source.spill_dir = Some(value);
    }
    if let Some(value) = env("WAL2ES_SOURCE_SPILL_MEMORY") {
        source.spill_memory =
            units::parse_size(&value).map_err(|why| bad("WAL2ES_SOURCE_SPILL_MEMORY", why))?;
    }
    if let Some(value) = env("WAL2ES_SOURCE_CATALOG_INTERVAL") {
        source.catalog_interval = units::parse_duration(&value)
            .map_err(|why| bad("WAL2ES_SOURCE_CATALOG_INTERVAL", why))?;
    }
    if let Some(value) = env("WAL2ES_SOURCE_MAX_WAL_HELD") {
        source.max_wal_held =
            units::parse_size(&value).map_err(|why| bad("WAL2ES_SOURCE_MAX_WAL_HELD", why))?;
    }
    if let Some(value) = env("WAL2ES_SOURCE_WATCH_INTERVAL") {
        source.watch_interval = units::parse_duration(&value)
            .map_err(|why| bad("WAL2ES_SOURCE_WATCH_INTERVAL", why))?;
    }
    if let Some(value) = env("WAL2ES_SOURCE_STREAMING") {
        source.streaming =
            units::parse_switch(&value).map_err(|why| bad("WAL2ES_SOURCE_STREAMING", why))?;
    }
    if let Some(urls) = env("WAL2ES_TARGET_URL") {
        target.url = Texts::from(urls.split(',').map(str::to_owned).collect::<Vec<_>>());
    }
    if let Some(schema) = text("WAL2ES_QUEUE_SCHEMA") {
        config.queue.schema = schema;
    }
    if let Some(value) = env("WAL2ES_QUEUE_SWEEP") {
        config.queue.sweep =
            units::parse_duration(&value).map_err(|why| bad("WAL2ES_QUEUE_SWEEP", why))?;
    }
    for (name, field) in [
        ("WAL2ES_TARGET_USERNAME", &mut target.username),
        ("WAL2ES_TARGET_CA_FILE", &mut target.ca_file),
    ] {
        if let Some(value) = text(name) {
            *field = Some(value);
        }
    }
    for (name, field) in [
        ("WAL2ES_TARGET_PASSWORD", &mut target.password),
        ("WAL2ES_TARGET_API_KEY", &mut target.api_key),
    ] {
        if let Some(value) = text(name) {
            *field = Some(SecretText(value));
        }
    }
    if let Some(value) = env("WAL2ES_TARGET_CHECK_INTERVAL") {
        target.check_interval = units::parse_duration(&value)
            .map_err(|why| bad("WAL2ES_TARGET_CHECK_INTERVAL", why))?;
    }
    let http = &mut config.http;
    for (name, field) in
        [("WAL2ES_HTTP_LISTEN", &mut http.listen), ("WAL2ES_HTTP_TOKEN_FILE", &mut http.token_file)]
    {
        if let Some(value) = text(name) {
            *field = Some(value);
        }
    }
    if let Some(value) = env("WAL2ES_HTTP_READY_LAG") {
        http.ready_lag =
            units::parse_duration(&value).map_err(|why| bad("WAL2ES_HTTP_READY_LAG", why))?;
    }
    let pipeline = &mut config.pipeline;
    if let Some(value) = env("WAL2ES_PIPELINE_BATCH_BYTES") {
        pipeline.batch_bytes =
            units::parse_size(&value).map_err(|why| bad("WAL2ES_PIPELINE_BATCH_BYTES", why))?;
    }
    for (name, field) in [
        ("WAL2ES_PIPELINE_BATCH_ROWS", &mut pipeline.batch_rows),
        ("WAL2ES_PIPELINE_LANES", &mut pipeline.lanes),
        ("WAL2ES_PIPELINE_DEAD_LETTERS_CAP", &mut pipeline.dead_letters.cap),
        ("WAL2ES_PIPELINE_COPY_WORKERS", &mut pipeline.copy_workers),
    ] {
        if let Some(value) = env(name) {
            *field = value.parse().map_err(|_| bad(name, format!("{value:?} is no number")))?;
        }
    }
    if let Some(value) = env("WAL2ES_PIPELINE_VERIFY_COPIES") {
        pipeline.verify_copies = value
            .parse()
            .map_err(|_| bad("WAL2ES_PIPELINE_VERIFY_COPIES", "true or false".to_owned()))?;
    }
    for (name, field) in [
        ("WAL2ES_PIPELINE_REFRESH", &mut pipeline.refresh),
        ("WAL2ES_PIPELINE_KEEP_GENERATION", &mut pipeline.keep_generation),
        ("WAL2ES_PIPELINE_ZOMBIE_LIMIT", &mut pipeline.zombie_limit),
    ] {
        if let Some(value) = env(name) {
            *field = units::parse_duration(&value).map_err(|why| bad(name, why))?;
        }
    }
    overlay_events(&mut config.events, env)
}

fn overlay_events(
    events: &mut Events,
    env: impl Fn(&str) -> Option<String>,
) -> Result<(), Failure> {
    for (name, field) in
        [("WAL2ES_EVENTS_TABLE", &mut events.table), ("WAL2ES_EVENTS_ID", &mut events.id)]
    {
        if let Some(value) = env(name) {
            *field = Some(Text::from(value.as_str()));
        }
    }
    for (name, field) in [
        ("WAL2ES_EVENTS_ORDER", &mut events.order),
        ("WAL2ES_EVENTS_TRANSACTION_ID", &mut events.transaction_id),
        ("WAL2ES_EVENTS_FILL", &mut events.fill),
        ("WAL2ES_EVENTS_SCHEMA", &mut events.schema),
        ("WAL2ES_EVENTS_RETENTION", &mut events.retention),
    ] {
        if let Some(value) = env(name) {
            *field = Text::from(value.as_str());
        }
    }
    for (name, field) in [
        ("WAL2ES_EVENTS_LOCK_TIMEOUT", &mut events.lock_timeout),
        ("WAL2ES_EVENTS_POLL", &mut events.poll),
        ("WAL2ES_EVENTS_SWEEP", &mut events.sweep),
    ] {
        if let Some(value) = env(name) {
            *field = units::parse_duration(&value)
                .map_err(|why| Failure::config(format!("{name}: {why}"), "correct it"))?;
        }
    }
    Ok(())
}
