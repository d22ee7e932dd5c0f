//! `wal2es teardown`: removes what wal2es has made.

use std::process::ExitCode;

use serde_json::json;

use super::{Installation, answer};
use crate::config::Config;
use crate::failure::Failure;

pub(super) async fn perform(
    config: &Config,
    with_indices: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let mut found = Installation::find(config).await?;
    let (slot, publication) = (&config.source.slot, &config.source.publication);
    let client = &found.source.client;
    let has_slot = match found.source.slot(slot).await? {
        Some(used) if used.active_pid.is_some() => {
            return Err(Failure::retry(
                format!(
                    "the slot {slot} is in use by process {} of Postgres",
                    used.active_pid.unwrap_or(0)
                ),
                "stop `wal2es run` first",
            ));
        }
        other => other.is_some(),
    };
    if config.by_queue() && !crate::run::is_free(config, &found.source).await? {
        return Err(Failure::retry(
            format!("the trigger queue {}.queue is being taken from", config.queue.schema),
            "stop `wal2es run` first",
        ));
    }
    let state = found.state.as_ref();
    if let Some(state) = state.filter(|_| config.by_events())
        && !crate::run::is_unread(&found.source, state).await?
    {
        return Err(Failure::retry("the events are being read", "stop `wal2es run` first"));
    }
    if crate::run::is_copying(&found.source, slot).await? {
        return Err(Failure::retry(
            format!("a copy is under way for the slot {slot}"),
            "stop `wal2es run` or `wal2es resync` first",
        ));
    }
    // One for events is somebody else's.
    let has_publication =
        !config.by_events() && snapshot::catalog::publication(client, publication).await?.is_some();
    let indexes = found.state.iter().flat_map(|state| state.indexes.iter().chain(&state.detached));
    let mut names: Vec<String> = indexes.flat_map(|index| index.all()).cloned().collect();
    names.sort();
    names.dedup();

    let mut removed = Vec::new();
    if has_slot {
        removed.push(format!("slot {slot}"));
    }
    if config.by_queue() && crate::queue::remove(config, &found.source).await? {
        removed.push(format!("trigger queue {}.queue", config.queue.schema));
    }
    if config.by_events() && crate::events::remove(config, &found.source).await? {
        removed.push(format!("schema {}", config.events.schema));
    }
    if has_publication {
        removed.push(format!("publication {publication}"));
    }
    if found.state.is_some() {
        removed.push("state document".to_owned());
    }
    if with_indices {
        removed.extend(names.iter().map(|name| format!("index {name}")));
    }
    let kept = if with_indices { Vec::new() } else { names.clone() };
    tracing::info!(
        "removing: {}",
        if removed.is_empty() { "nothing".to_owned() } else { removed.join(", ") }
    );

    if has_slot {
        client.execute("SELECT pg_catalog.pg_drop_replication_slot($1)", &[&slot.as_str()]).await?;
    }
    if has_publication {
        let sql = format!("DROP PUBLICATION {}", wal::identifier(publication));
        client.batch_execute(&sql).await?;
    }
    for name in &names {
        if with_indices {
            found.target.delete_index(name).await?;
            apply::letters::forget_index(&found.target, name).await?;
        } else {
            // Left to others, the index refreshes itself again.
            found.target.put_settings(name, &json!({"index.refresh_interval": null})).await?;
        }
    }
    crate::run::clean_up(&found.target, &found.system, &found.source, slot).await?;
    found.store.drop_suspects(found.state.as_ref()).await?;
    found.store.delete().await?;
    found.reports(config).delete().await?;
    answer(json, &json!({"removed": removed, "kept": kept}), || match kept.as_slice() {
        [] => format!("removed {}", join(&removed)),
        kept => {
            format!("removed {}; kept {} (--indices removes them)", join(&removed), kept.join(", "))
        }
    });
    Ok(ExitCode::SUCCESS)
}

fn join(removed: &[String]) -> String {
    if removed.is_empty() { "nothing".to_owned() } else { removed.join(", ") }
}
