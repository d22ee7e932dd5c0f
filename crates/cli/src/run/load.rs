//! A generation built in the connector's own stream: fresh indices, the rows at a consistent point, then the stream from
//! there. So the first one begins, and one after a gap in the stream; readers see what they saw until it is shown.

use apply::{FORMULA, IndexState, Indices, Managed, Replicas, State, Step, Store};
use change::Lsn;
use snapshot::{Keeper, catalog};
use tracing::{info, warn};

use super::{Context, copy, gate, limits, point, watch};
use crate::failure::Failure;
use crate::planned::{self, Planned};
use crate::source::Source;

/// How often a copy is begun anew because a table was rewritten under it.
const ATTEMPTS: u32 = 3;

/// Copies everything and gives the state to stream from. An earlier attempt that was interrupted is begun anew, in indices
/// of a new generation: two snapshots are never mixed, not even by a process that is still writing.
pub(super) async fn load(
    context: &Context,
    source: &Source,
    store: &mut Store,
    before: Option<State>,
) -> Result<(State, Indices), Failure> {
    // The lock before anything else: what an interrupted copy seems to have left may be the work of one that is under way.
    let mut keeper = Some(point::lock(context, source).await?);
    must_be_as_read(store, before.as_ref()).await?;
    let mut state = first_state(context, source);
    let (used, previous) = match before {
        Some(before) => {
            state.revision = before.revision;
            (before.generation, leave_behind(context, before).await?)
        }
        None => (0, Vec::new()),
    };
    state.generation = gate::free_generation(context, source, used).await?;
    for _ in 0..ATTEMPTS {
        let keeper = match keeper.take() {
            Some(keeper) => keeper,
            None => point::lock(context, source).await?,
        };
        plan_entries(context, &mut state, &previous);
        if let Some(indices) = attempt(context, source, store, &mut state, keeper).await? {
            return Ok((state, indices));
        }
        warn!(
            "a table was truncated or rewritten during the copy, or a partition went: beginning anew"
        );
        drop_indices(context, &state).await?;
        state.generation += 1;
    }
    Err(Failure::retry(
        "tables were truncated or rewritten during each attempt to copy them",
        "start again when no ALTER TABLE, TRUNCATE, CLUSTER or VACUUM FULL runs on them",
    ))
}

/// The state of a connector of which nothing is known.
pub(super) fn first_state(context: &Context, source: &Source) -> State {
    State {
        formula: FORMULA,
        system_id: context.system.system_id.clone(),
        timeline: context.system.timeline,
        database: source.info.dbname.clone(),
        slot: context.owner.clone(),
        publication: context.config.source.publication.to_string(),
        capture: context.capture.clone(),
        read_to: context.read_to.clone(),
        generation: 0,
        step: Step::Copying,
        applied_lsn: Lsn::ZERO,
        visible_lsn: Lsn::ZERO,
        indexes: Vec::new(),
        needs_resync: None,
        needs_resync_of: Vec::new(),
        detached: Vec::new(),
        revision: 0,
        handing_over: false,
        failover: false,
        last_commit: None,
        sent_below: Lsn::ZERO,
        suspects: Vec::new(),
        writer: String::new(),
        sequence: 0,
    }
}

/// What remains of a generation that is not followed any more: what its readers see. The indices of a copy that was
/// interrupted are dropped.
async fn leave_behind(context: &Context, before: State) -> Result<Vec<IndexState>, Failure> {
    let mut previous = before.detached.clone();
    if before.step == Step::Copying {
        drop_indices(context, &before).await?;
        previous.extend(before.indexes);
        return Ok(previous);
    }
    let applied = before.applied_lsn;
    previous.extend(before.indexes.into_iter().map(|index| index.left_behind(applied)));
    Ok(previous)
}

/// What the state says before the indices are made. Those that are not planned any more stay as they are.
fn plan_entries(context: &Context, state: &mut State, previous: &[IndexState]) {
    let generation = state.generation;
    let of = |alias: &str| previous.iter().rfind(|index| index.alias == alias);
    state.indexes = context
        .planned
        .iter()
        .map(|one| one.index.entry(generation, of(&one.index.alias)))
        .collect();
    let planned =
        |index: &&IndexState| context.planned.iter().any(|one| one.index.alias == index.alias);
    state.detached = previous
        .iter()
        .filter(|index| !planned(index) && index.shown.is_some())
        .map(|index| IndexState { index: index.shown.clone().unwrap_or_default(), ..index.clone() })
        .collect();
}

/// The state is still the one that the copy was decided on: another copy may have had the lock in between.
async fn must_be_as_read(store: &mut Store, before: Option<&State>) -> Result<(), Failure> {
    let now = store.load().await?.map(|now| State { handing_over: false, ..now });
    match now.as_ref() == before {
        true => Ok(()),
        false => Err(Failure::reload("the state was changed by another copy")),
    }
}

/// One copy. None when what it has read may not be the tables at its consistent point.
async fn attempt(
    context: &Context,
    source: &Source,
    store: &mut Store,
    state: &mut State,
    keeper: Keeper,
) -> Result<Option<Indices>, Failure> {
    let (indices, replicas) = make_indices(context, store, state).await?;
    let parts = parts(context, source).await?;
    let snapshot = point::make(context, source, keeper).await?;
    let at = snapshot.at;
    info!(%at, generation = state.generation, tables = context.planned.len(), "copying the tables");
    let loading = context.monitor.loading();
    let copied = tokio::select! {
        copied = copy::all(context, source, snapshot, &indices, replicas) => copied,
        held = limits::exceeded(context) => {
            return Err(limits::let_go(context, source, held).await);
        }
    };
    drop(loading);
    let (copied, snapshot) = match copied {
        Err(failure) if failure.is_cured_by_copying_again() => return Ok(None),
        // What was copied before a table was altered is stale.
        _ if !are_as_planned(context, source).await? => {
            return Err(Failure::reload("a table was dropped or altered during the copy"));
        }
        copied => copied?,
    };
    snapshot.end().await;
    if !has_parts(context, source, &parts).await? {
        return Ok(None);
    }
    info!(rows = copied.rows.iter().sum::<u64>(), "copied all tables");
    state.step = Step::Streaming;
    state.applied_lsn = at;
    store.keep_suspects(&indices, state).await?;
    store.save(state).await?;
    Ok(Some(indices))
}

/// Makes the indices that `state` names, without replicas for now. They are in the state document before they are in the
/// target, so that whoever comes after an interruption finds them.
pub(super) async fn make_indices(
    context: &Context,
    store: &mut Store,
    state: &mut State,
) -> Result<(Indices, Replicas), Failure> {
    state.step = Step::Copying;
    store.save(state).await?;
    let mut managed = Vec::new();
    for ((number, one), entry) in (0..).zip(&context.planned).zip(&state.indexes) {
        let (plan, entry) = (one.index.clone(), entry.clone());
        managed.push(Managed::create(&context.target, state, plan, entry, number).await?);
    }
    let indices = Indices::new(managed);
    state.indexes = indices.states();
    store.save(state).await?;
    let replicas = Replicas::take_away(&context.target, &indices).await?;
    Ok((indices, replicas))
}

/// Drops the indices of a copy that will not be completed.
pub(super) async fn drop_indices(context: &Context, state: &State) -> Result<(), Failure> {
    for index in &state.indexes {
        context.target.delete_index(&index.index).await?;
    }
    Ok(())
}

/// The catalog still describes the tables as the plan was made of them, as far as documents show it.
pub(super) async fn are_as_planned(context: &Context, source: &Source) -> Result<bool, Failure> {
    if let Some(events) = &context.events {
        let now = source.tables(&context.config).await?;
        let now = planned::plan(&context.config, now, context.target.info(), Some(events));
        return Ok(now.is_ok_and(|now| {
            let hashes = |planned: &[Planned]| -> Vec<String> {
                planned.iter().map(|one| one.index.hash.clone()).collect()
            };
            hashes(&now) == hashes(&context.planned)
        }));
    }
    let publication = &context.config.source.publication;
    let plugin = context.config.plugin()?;
    let now = catalog::published_tables(&source.client, publication, source.version).await?;
    Ok(context.planned.iter().all(|one| {
        let now = now.iter().find(|now| now.oid == one.table.oid);
        now.is_some_and(|now| watch::difference(one, now, plugin).is_none())
    }))
}

/// The partitions of the planned tables.
pub(super) async fn parts(context: &Context, source: &Source) -> Result<Vec<u32>, Failure> {
    let oids: Vec<u32> = context.planned.iter().map(|one| one.table.oid).collect();
    let parts = catalog::partitions(&source.client, &oids).await?;
    Ok(parts.into_iter().map(|part| part.oid).collect())
}

/// All of `before` are partitions still: the stream does not tell of one that goes with its rows.
pub(super) async fn has_parts(
    context: &Context,
    source: &Source,
    before: &[u32],
) -> Result<bool, Failure> {
    let now = parts(context, source).await?;
    Ok(before.iter().all(|part| now.contains(part)))
}
