//! The first load: fresh indices, the rows at a consistent point, then the stream from there.

use apply::{FORMULA, Indices, Managed, State, Step, Store};
use change::Lsn;
use snapshot::Snapshot;
use tracing::{info, warn};

use super::{Context, copy, limits};
use crate::failure::Failure;
use crate::source::Source;

/// How often a copy is begun anew because a table was rewritten under it.
const ATTEMPTS: u32 = 3;

/// Copies everything and gives the state to stream from. An earlier attempt that was interrupted is begun anew, in indices
/// of a new generation: two snapshots are never mixed, not even by a process that is still writing.
pub(super) async fn first_load(
    context: &Context,
    source: &Source,
    store: &mut Store,
    interrupted: Option<State>,
) -> Result<(State, Indices), Failure> {
    let mut state = State {
        formula: FORMULA,
        system_id: context.system.system_id.clone(),
        timeline: context.system.timeline,
        database: source.info.dbname.clone(),
        slot: context.config.source.slot.to_string(),
        publication: context.config.source.publication.to_string(),
        generation: 0,
        step: Step::Copying,
        applied_lsn: Lsn::ZERO,
        visible_lsn: Lsn::ZERO,
        indexes: Vec::new(),
        writer: String::new(),
        sequence: 0,
        needs_resync: None,
        detached: Vec::new(),
        revision: 0,
        failover: false,
    };
    state.generation = next_generation(context, &state, interrupted.as_ref()).await?;
    for _ in 0..ATTEMPTS {
        if let Some(indices) = attempt(context, source, store, &mut state).await? {
            return Ok((state, indices));
        }
        warn!("a table was truncated or rewritten during the copy: beginning anew");
        drop_indices(context, &state).await?;
        state.generation += 1;
    }
    Err(Failure::retry(
        "tables were truncated or rewritten during each attempt to copy them",
        "start again when no ALTER TABLE, TRUNCATE, CLUSTER or VACUUM FULL runs on them",
    ))
}

/// One copy. None when what it has read may not be the tables at its consistent point.
async fn attempt(
    context: &Context,
    source: &Source,
    store: &mut Store,
    state: &mut State,
) -> Result<Option<Indices>, Failure> {
    state.step = Step::Copying;
    state.indexes.clear();
    store.save(state).await?;
    let mut managed = Vec::new();
    for (number, one) in (0..).zip(&context.planned) {
        managed.push(Managed::create(&context.target, state, one.index.clone(), number).await?);
    }
    let indices = Indices::new(managed);
    state.indexes = indices.states();
    store.save(state).await?;

    // A table that is truncated or rewritten after the snapshot was made is empty for it.
    let before = files(context, source).await?;
    let snapshot = Snapshot::create(&source.info, &context.config.source.plugin).await?;
    info!(at = %snapshot.at, tables = context.planned.len(), "copying the tables");
    let loading = context.monitor.loading();
    tokio::select! {
        copied = copy::all(context, source, &snapshot, &indices) => copied?,
        held = limits::exceeded(context) => {
            snapshot.end().await;
            return Err(limits::let_go(context, source, held).await);
        }
    }
    drop(loading);
    if files(context, source).await? != before {
        return Ok(None);
    }
    state.step = Step::Streaming;
    state.applied_lsn = snapshot.at;
    snapshot.end().await;
    store.save(state).await?;
    Ok(Some(indices))
}

/// The number of the first generation whose names nobody has used: what an interrupted copy has left is dropped, what
/// `teardown` has kept is not touched.
async fn next_generation(
    context: &Context,
    state: &State,
    interrupted: Option<&State>,
) -> Result<u32, Failure> {
    if let Some(interrupted) = interrupted {
        drop_indices(context, interrupted).await?;
    }
    let mut next = interrupted.map_or(1, |state| state.generation + 1);
    for one in &context.planned {
        let alias = &one.index.alias;
        for (index, is_ours) in apply::found_under(&context.target, alias, state).await? {
            match index.strip_prefix(&format!("{alias}-g")) {
                Some(rest) if is_ours => {
                    let number = rest.split('.').next().and_then(|number| number.parse().ok());
                    next = next.max(number.unwrap_or(0) + 1);
                }
                _ => {
                    return Err(Failure::config(
                        format!(
                            "{alias} is taken: the index {index} of that name or alias is not ours"
                        ),
                        format!(
                            "choose another `name` for {} under `indexes`, or remove it",
                            one.table.name
                        ),
                    ));
                }
            }
        }
    }
    Ok(next)
}

/// Drops the indices of a copy that will not be completed.
async fn drop_indices(context: &Context, state: &State) -> Result<(), Failure> {
    for index in &state.indexes {
        context.target.delete_index(&index.index).await?;
    }
    Ok(())
}

/// The files that hold the tables and their partitions: another one after a rewrite or TRUNCATE.
async fn files(context: &Context, source: &Source) -> Result<Vec<(u32, Option<u32>)>, Failure> {
    const QUERY: &str = "SELECT DISTINCT c.oid, pg_catalog.pg_relation_filenode(c.oid) \
           FROM unnest($1::oid[]) AS t(oid) \
          CROSS JOIN LATERAL (SELECT t.oid UNION SELECT relid FROM pg_catalog.pg_partition_tree(t.oid::regclass)) \
                AS c(oid) \
          ORDER BY 1";
    let oids: Vec<u32> = context.planned.iter().map(|one| one.table.oid).collect();
    let rows = source.client.query(QUERY, &[&oids]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}
