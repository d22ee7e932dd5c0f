//! Before the first write: do the source, the target and the state document still belong together?

use apply::{FORMULA, IndexState, Indices, Managed, State, Step, Store};

use change::Lsn;
use feed::Plugin;

use super::{ANEW, Context};
use crate::failure::Failure;
use crate::planned::{self, Planned};
use crate::position;
use crate::source::Source;

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

/// Decides; a mismatch stops with its cause and remedy.
pub(super) async fn check(
    context: &mut Context,
    source: &Source,
    state: Option<State>,
) -> Result<Verdict, Failure> {
    let Some(mut state) = state else { return Ok(Verdict::Load(None)) };
    same_connector(context, &state)?;
    if let Some(reason) = &state.needs_resync {
        return Err(Failure::stop(reason.clone(), ANEW));
    }
    if state.step == Step::Copying {
        return Ok(Verdict::Load(Some(Box::new(state))));
    }
    let flushed = position::flushed(&source.client).await?;
    same_timeline(context, &state)?;
    let confirmed = source.usable_slot(&context.config).await?.confirmed;
    must_fit(context, confirmed, state.applied_lsn, state.applied_lsn, flushed)?;
    let missing = set_aside(context, &state);
    detach(context, &mut state);
    let indices = Indices::new(managed(context, &state)?);
    indices.check(&context.target).await?;
    Ok(Verdict::GoOn { state: Box::new(state), indices, missing })
}

/// Whether the stream can go on where the connector's state is; the connector may be running. A failure that a new
/// generation of everything cures means that it can't.
pub(crate) async fn fits(
    context: &Context,
    source: &Source,
    store: &mut Store,
) -> Result<(), Failure> {
    // The slot first: what is confirmed later is in the state that is read then.
    let confirmed = source.usable_slot(&context.config).await?.confirmed;
    let flushed = position::flushed(&source.client).await?;
    let Some(state) = store.load().await? else { return Ok(()) };
    same_timeline(context, &state)?;
    let at = state.applied_lsn;
    must_fit(context, confirmed, at, at, flushed)?;
    Ok(apply::check(&context.target, &state.indexes).await?)
}

/// Takes those tables out of the plan that have no index yet, or one that was made of another table of the same name.
fn set_aside(context: &mut Context, state: &State) -> Vec<String> {
    let (there, missing): (Vec<_>, Vec<_>) =
        context.planned.drain(..).partition(|one| kept(state, one).is_some());
    context.planned = there;
    context.elsewhere = missing.iter().map(|one| one.table.oid).collect();
    missing.into_iter().map(|one| one.index.alias).collect()
}

/// The index of a planned table. (States of before did not keep the table's OID; the hash of the plan has it too.)
fn kept<'s>(state: &'s State, one: &Planned) -> Option<&'s IndexState> {
    let (alias, oid) = (&one.index.alias, one.table.oid);
    state
        .indexes
        .iter()
        .find(|index| index.alias == *alias && (index.table_oid == oid || index.table_oid == 0))
}

/// What is not planned any more stays as it is.
fn detach(context: &Context, state: &mut State) {
    let applied = state.applied_lsn;
    let planned =
        |index: &mut IndexState| context.planned.iter().any(|one| one.index.alias == index.alias);
    let gone: Vec<_> = state.indexes.extract_if(.., |index| !planned(index)).collect();
    for index in gone {
        tracing::warn!(
            table = %index.table,
            "the table is not published any more: its index {} stays as it is and is not followed", index.alias
        );
        state.detached.push(index.left_behind(applied));
    }
}

/// The slot has kept everything after `confirmed`, and the server, flushed up to `flushed`, has not gone back behind
/// `durable`. Looked at before every session: a stream that starts in a gap says nothing of it.
pub(super) fn must_fit(
    context: &Context,
    slot: Option<Lsn>,
    confirmed: Lsn,
    durable: Lsn,
    flushed: Lsn,
) -> Result<(), Failure> {
    let name = &context.config.source.slot;
    if let Some(ahead) = slot.filter(|ahead| *ahead > confirmed) {
        return Err(Failure::rebuild(
            format!(
                "the slot {name} is at {ahead}, ahead of the index at {confirmed}: changes in between are lost (the \
                 slot was made anew, or advanced by somebody)"
            ),
            ANEW,
        ));
    }
    if flushed < durable {
        return Err(Failure::rebuild(
            format!(
                "the index is at {durable}, ahead of the server at {flushed}: Postgres has gone back in time (restored, \
                 or a standby was promoted that lagged behind)"
            ),
            ANEW,
        ));
    }
    Ok(())
}

/// The state was written by this configuration's connector, and in terms that this version understands.
fn same_connector(context: &Context, state: &State) -> Result<(), Failure> {
    if state.formula != FORMULA {
        return Err(Failure::stop(
            format!(
                "the index was written by another version of wal2es (formula {})",
                state.formula
            ),
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

fn same_timeline(context: &Context, state: &State) -> Result<(), Failure> {
    if state.timeline != context.system.timeline {
        return Err(Failure::rebuild(
            format!(
                "Postgres is on timeline {}, the index on {}: a standby was promoted or a backup restored",
                context.system.timeline, state.timeline
            ),
            ANEW,
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
                ANEW,
            ));
        }
        let now = planned::shape_of(&one.index.columns);
        if let Some(broken) = planned::shape_of(&kept.columns).broken_by(&now) {
            return Err(Failure::stop(
                format!("{} needs resync: {broken} since {alias} was made", one.table.name),
                ANEW,
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
                ANEW,
            ));
        }
        let mut kept = kept.clone();
        // The columns of a state that does not have them yet are those of the plan, whose hash is the same.
        if kept.columns.iter().any(|column| column.number == 0) || kept.columns.is_empty() {
            kept.columns = one.index.columns.clone();
        }
        managed.push(Managed::new(one.index.clone(), kept, number));
    }
    Ok(managed)
}
