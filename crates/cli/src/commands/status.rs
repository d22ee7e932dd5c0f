//! `wal2es status`: one screen.

use std::process::ExitCode;

use apply::{State, Step};
use change::Lsn;
use serde_json::{Value, json};

use super::{Installation, answer};
use crate::config::Config;
use crate::failure::Failure;
use crate::position;
use crate::source::Slot;

pub(super) async fn perform(config: &Config, json: bool) -> Result<ExitCode, Failure> {
    let found = Installation::find(config).await?;
    let current = position::current(&found.source.client).await?;
    let slot = found.source.slot(&config.source.slot).await?;
    let state = describe(&found, slot.as_ref());
    let lag = found.state.as_ref().map(|state| current.since(state.applied_lsn));
    let value = json!({
        "state": state,
        "source": {
            "system_id": found.system.system_id,
            "timeline": found.system.timeline,
            "database": found.source.info.dbname,
            "server_version": found.source.version,
            "lsn": current.to_string(),
        },
        "target": found.target.info().to_string(),
        "slot": slot.as_ref().map(|slot| slot_json(&config.source.slot, slot)),
        "generation": found.state.as_ref().map(|state| state.generation),
        "applied_lsn": found.state.as_ref().map(|state| state.applied_lsn.to_string()),
        "visible_lsn": found.state.as_ref().map(|state| state.visible_lsn.to_string()),
        "lag_bytes": lag,
        "needs_resync": found.state.as_ref().and_then(|state| state.needs_resync.as_deref()),
        "indexes": found.state.iter().flat_map(|state| &state.indexes).map(|index| json!({
            "name": index.alias, "table": index.table, "index": index.index,
        })).collect::<Vec<Value>>(),
    });
    answer(json, &value, || screen(config, &found, slot.as_ref(), state, current));
    Ok(ExitCode::SUCCESS)
}

fn describe(found: &Installation, slot: Option<&Slot>) -> &'static str {
    match (&found.state, slot) {
        (_, None) => "no slot",
        (_, Some(slot)) if slot.wal_status.as_deref() == Some("lost") => "slot lost",
        (None, _) => "never run",
        (Some(State { needs_resync: Some(_), .. }), _) => "needs resync",
        (Some(State { step: Step::Copying, .. }), _) => "copying",
        (Some(_), Some(slot)) if slot.active_pid.is_some() => "streaming",
        (Some(_), _) => "stopped",
    }
}

fn slot_json(name: &str, slot: &Slot) -> Value {
    json!({
        "name": name,
        "active_pid": slot.active_pid,
        "confirmed_flush_lsn": slot.confirmed.map(|lsn| lsn.to_string()),
        "wal_status": slot.wal_status,
        "wal_held_bytes": slot.held,
    })
}

fn screen(
    config: &Config,
    found: &Installation,
    slot: Option<&Slot>,
    state: &str,
    current: Lsn,
) -> String {
    let mut lines = vec![
        format!("state      {state}"),
        format!(
            "source     {} on Postgres {}, at {current}",
            found.source.info.dbname,
            found.source.version / 10_000
        ),
        format!("target     {}", found.target.info()),
    ];
    match slot {
        Some(slot) => lines.push(format!(
            "slot       {} ({}), confirmed {}, holds {} of WAL",
            config.source.slot,
            slot.active_pid.map_or("nobody reads it".to_owned(), |pid| format!("read by {pid}")),
            slot.confirmed.unwrap_or(Lsn::ZERO),
            bytes(slot.held.unwrap_or(0).unsigned_abs()),
        )),
        None => lines
            .push(format!("slot       {} is not there: run `wal2es setup`", config.source.slot)),
    }
    if let Some(kept) = &found.state {
        lines.push(format!(
            "applied    {}, searchable {}, lag {}",
            kept.applied_lsn,
            kept.visible_lsn,
            bytes(current.since(kept.applied_lsn))
        ));
        if let Some(reason) = &kept.needs_resync {
            lines.push(format!("stopped    {reason}"));
        }
        for index in &kept.indexes {
            lines.push(format!("index      {} ({}) of {}", index.alias, index.index, index.table));
        }
    }
    lines.join("\n")
}

fn bytes(count: u64) -> String {
    bytesize::ByteSize(count).to_string()
}
