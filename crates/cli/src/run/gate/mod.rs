//! Before the first write: do the source, the target and the state document still belong together?
//!
//! What must hold before anything is sent: the state was written by this connector, in terms that this version knows; the
//! slot is there and has kept all that comes after the index; the server has not gone back behind the index, nor on to
//! another history; the indices are the ones that were written, as they were made, and readers are led to them. Whatever
//! does not hold stops the connector with its cause and remedy. What concerns the source is asked again before each
//! session, because a session may begin on a server that was restored meanwhile.

mod history;
mod indices;
mod slot;

use apply::{Applier, FORMULA, IndexState, Indices, Managed, State, Step, Store};

use change::Lsn;
use feed::Plugin;

pub(super) use indices::free_generation;
pub(super) use slot::{explain, in_use, when_free};

use super::{ANEW, Context};
use crate::failure::Failure;
use crate::planned::{self, Planned};
use crate::position;
use crate::source::{Slot, Source};

/// What to begin with.
pub(super) enum Verdict {
    /// Nothing usable is there: copy. An interrupted attempt may have left its state.
    Load(Option<Box<State>>),
    /// Everything fits: go on from here.
    GoOn {
        /// As it is to be from now on.
        state: Box<State>,
        /// Those of the planned tables, in their order.
        indices: Indices,
        /// Aliases of tables whose indices have to be built first; they are not among the planned any more.
        missing: Vec<String>,
    },
}

/// Decides; a mismatch stops with its cause and remedy. `slot` is as it was before `state` was read.
pub(super) async fn check(
    context: &mut Context,
    source: &Source,
    slot: Option<Slot>,
    state: Option<State>,
) -> Result<Verdict, Failure> {
    let Some(mut state) = state else {
        before_load(context, source, slot.as_ref(), 0).await?;
        return Ok(Verdict::Load(None));
    };
    same_connector(context, &state)?;
    forget_what_is_not_planned(context, &mut state);
    if let Some(reason) = &state.needs_resync {
        return Err(Failure::stop(reason.clone(), ANEW));
    }
    if state.step == Step::Copying {
        before_load(context, source, slot.as_ref(), state.generation).await?;
        return Ok(Verdict::Load(Some(Box::new(state))));
    }
    slot::must_be_on_its_timeline(context, &mut state, slot.as_ref())?;
    let at = At { confirmed: state.applied_lsn, durable: state.applied_lsn };
    let slot = must_fit(context, source, slot, at).await?;
    history::must_be_ours(context, source, &slot, at.durable, state.last_commit).await?;
    if !context.planned.iter().any(|one| kept(&state, one).is_some()) {
        // Nothing follows the stream: everything is as at the first time, and what readers see stays until it is built.
        free_generation(context, source, state.generation).await?;
        return Ok(Verdict::Load(Some(Box::new(state))));
    }
    let missing = set_aside(context, &state);
    detach(context, &mut state);
    let indices = Indices::new(managed(context, &state)?);
    indices.check_standing(&context.target, &state).await?;
    indices.check(&context.target).await?;
    Ok(Verdict::GoOn { state: Box::new(state), indices, missing })
}

/// A new generation of everything may begin, whatever was before.
pub(super) async fn rebuild(
    context: &Context,
    source: &Source,
    slot: Option<Slot>,
    before: Option<State>,
) -> Result<Verdict, Failure> {
    let used = before.as_ref().map_or(0, |before| before.generation);
    before_load(context, source, slot.as_ref(), used).await?;
    Ok(Verdict::Load(before.map(Box::new)))
}

/// A copy may begin, after the generation `used`.
async fn before_load(
    context: &Context,
    source: &Source,
    slot: Option<&Slot>,
    used: u32,
) -> Result<(), Failure> {
    slot::must_be_readable(context, slot)?;
    free_generation(context, source, used).await.map(drop)
}

/// Whether the stream can go on where the connector's state is; the connector may be running. A failure that a new
/// generation of everything cures means that it can't.
pub(crate) async fn fits(
    context: &Context,
    source: &Source,
    store: &mut Store,
) -> Result<(), Failure> {
    // The slot first: what is confirmed later is in the state that is read then.
    let slot = slot::found(context, source).await?;
    let Some(mut state) = store.load().await? else { return Ok(()) };
    same_formula(&state)?;
    slot::must_be_on_its_timeline(context, &mut state, slot.as_ref())?;
    let at = At { confirmed: state.applied_lsn, durable: state.applied_lsn };
    let slot = must_fit(context, source, slot, at).await?;
    if slot.active_pid.is_none() {
        history::must_be_ours(context, source, &slot, at.durable, state.last_commit).await?;
    }
    state.indexes.retain(|index| is_planned(context, &index.alias));
    Ok(apply::check(&context.target, &state.indexes).await?)
}

/// An index that nobody follows any more needs no resync: it stays as it is.
fn forget_what_is_not_planned(context: &Context, state: &mut State) {
    let of = &state.needs_resync_of;
    if !of.is_empty() && !of.iter().any(|alias| is_planned(context, alias)) {
        state.needs_resync = None;
        state.needs_resync_of.clear();
    }
}

fn is_planned(context: &Context, alias: &str) -> bool {
    context.planned.iter().any(|one| one.index.alias == alias)
}

/// Takes those tables out of the plan that have no index yet, or one that was made of another table of the same name, or
/// before the table was taken out of the publication and added again.
fn set_aside(context: &mut Context, state: &State) -> Vec<String> {
    let (there, missing): (Vec<_>, Vec<_>) =
        context.planned.drain(..).partition(|one| kept(state, one).is_some());
    context.planned = there;
    context.elsewhere = missing.iter().map(|one| one.table.oid).collect();
    missing.into_iter().map(|one| one.index.alias).collect()
}

/// The index of a planned table. (States of before did not keep the table's OID; the hash of the plan has it too.)
pub(crate) fn kept<'s>(state: &'s State, one: &Planned) -> Option<&'s IndexState> {
    let (alias, oid) = (&one.index.alias, one.table.oid);
    state
        .indexes
        .iter()
        .find(|index| index.alias == *alias && (index.table_oid == oid || index.table_oid == 0))
        .filter(|index| same_membership(index, one))
}

/// The table has been in the publication all the time. What was written while it was not is in no stream.
fn same_membership(index: &IndexState, one: &Planned) -> bool {
    index.membership.is_empty() || index.membership == one.index.membership
}

/// What is not planned any more stays as it is.
fn detach(context: &Context, state: &mut State) {
    let applied = state.applied_lsn;
    let gone: Vec<_> =
        state.indexes.extract_if(.., |index| !is_planned(context, &index.alias)).collect();
    for index in gone {
        tracing::warn!(
            table = %index.table,
            "the table is not published any more, or was added again: its index {} is not followed", index.alias
        );
        state.detached.push(index.left_behind(applied));
    }
}

/// Where the index stands.
#[derive(Clone, Copy)]
struct At {
    confirmed: Lsn,
    durable: Lsn,
}

impl At {
    fn of(applier: &Applier) -> Self {
        At { confirmed: applier.confirmed(), durable: applier.durable() }
    }
}

/// Before a session: the source is the one that the index was made from, and has kept what comes next.
pub(super) async fn before_session(
    context: &Context,
    source: &Source,
    applier: &Applier,
) -> Result<(), Failure> {
    let (slot, at) = (slot::found(context, source).await?, At::of(applier));
    let slot = must_fit(context, source, slot, at).await?;
    history::must_be_ours(context, source, &slot, at.durable, applier.last_commit()).await
}

/// The same once the slot is ours, so that nobody can have moved it since. Tells whether what is in the index is on all
/// standbys that could be promoted.
pub(super) async fn in_session(
    context: &Context,
    source: &Source,
    applier: &Applier,
) -> Result<bool, Failure> {
    let slot = slot::found(context, source).await?;
    let slot = must_fit(context, source, slot, At::of(applier)).await?;
    slot::is_on_standbys(source, &slot).await
}

/// The slot is whole and not ahead, and the server has not gone back behind the index.
async fn must_fit(
    context: &Context,
    source: &Source,
    slot: Option<Slot>,
    at: At,
) -> Result<Slot, Failure> {
    let slot = slot::must_be_whole(context, slot, at.durable)?;
    slot::must_not_be_ahead(context, &slot, at.confirmed)?;
    let flushed = position::flushed(&source.client).await?;
    if flushed < at.durable {
        return Err(Failure::rebuild(
            format!(
                "the index is at {}, ahead of the server at {flushed}: Postgres has gone back in time (restored, or a \
                 standby was promoted that lagged behind)",
                at.durable
            ),
            ANEW,
        ));
    }
    Ok(slot)
}

/// The way out of what concerns only one index.
fn anew(alias: &str) -> String {
    format!("build the index anew: `wal2es resync {alias}`")
}

/// The state was written by this configuration's connector, and in terms that this version understands.
pub(super) fn same_connector(context: &Context, state: &State) -> Result<(), Failure> {
    same_formula(state)?;
    if state.capture != context.capture {
        return Err(Failure::rebuild(
            "the indices were filled in another way (source.capture, events.order, another trigger queue or table): the versions of their \
             documents are not comparable",
            ANEW,
        ));
    }
    if state.publication != context.config.source.publication.as_str() {
        return Err(Failure::stop(
            format!(
                "the index was made from the publication {}, the configuration says {}",
                state.publication, context.config.source.publication
            ),
            format!("correct source.publication, or {ANEW}"),
        ));
    }
    Ok(())
}

fn same_formula(state: &State) -> Result<(), Failure> {
    if state.formula != FORMULA {
        let what = match state.step {
            Step::Copying => "there is a half-finished generation",
            Step::Streaming => "the indices are",
        };
        return Err(Failure::rebuild(
            format!(
                "{what} of another version of wal2es (formula {}, this one has {FORMULA})",
                state.formula
            ),
            format!("go on with that version, or {ANEW}"),
        ));
    }
    Ok(())
}

/// The indices of the state, in the order of the plan, which must ask for the same.
fn managed(context: &Context, state: &State) -> Result<Vec<Managed>, Failure> {
    let mut managed = Vec::new();
    for (number, one) in (0..).zip(&context.planned) {
        let alias = &one.index.alias;
        let Some(kept) = kept(state, one) else { continue };
        if kept.plan_hash != one.index.hash {
            return Err(Failure::stop(
                format!(
                    "columns, id or types of {} have changed since {alias} was made",
                    one.table.name
                ),
                anew(alias),
            ));
        }
        let now = planned::shape_of(&one.index.columns);
        if let Some(broken) = planned::shape_of(&kept.columns).broken_by(&now) {
            return Err(Failure::stop(
                format!("{} needs resync: {broken} since {alias} was made", one.table.name),
                anew(alias),
            ));
        }
        // Rows that still come under the old name would be taken for another table's.
        let renamed = kept.table != one.table.name.to_string();
        if renamed && context.config.plugin()? == Plugin::TestDecoding {
            return Err(Failure::stop(
                format!(
                    "{} needs resync: it was {} when {alias} was made, and test_decoding tells no more than names",
                    one.table.name, kept.table
                ),
                anew(alias),
            ));
        }
        if let Some(gone) = kept.parts.iter().find(|part| !one.index.parts.contains(part)) {
            return Err(Failure::stop(
                format!(
                    "{} needs resync: a partition of it (OID {gone}) was detached or dropped since {alias} was last written",
                    one.table.name
                ),
                anew(alias),
            ));
        }
        let mut kept = kept.clone();
        kept.parts.clone_from(&one.index.parts);
        kept.membership.clone_from(&one.index.membership);
        // The columns of a state that does not have them yet are those of the plan, whose hash is the same.
        if kept.columns.iter().any(|column| column.number == 0) || kept.columns.is_empty() {
            kept.columns = one.index.columns.clone();
        }
        managed.push(Managed::new(one.index.clone(), kept, number));
    }
    Ok(managed)
}
