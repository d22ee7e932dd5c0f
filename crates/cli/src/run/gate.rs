//! Before the first write: do the source, the target and the state document still belong together?

use apply::{FORMULA, Indices, Managed, State, Step};

use change::Lsn;
use feed::Plugin;

use super::{ANEW, Context};
use crate::failure::Failure;
use crate::planned;
use crate::position;
use crate::source::Source;

/// What to begin with.
pub(super) enum Verdict {
    /// Nothing usable is there: copy. An interrupted attempt may have left its state.
    Load(Option<Box<State>>),
    /// Everything fits: go on from here.
    GoOn(Box<State>, Indices),
}

/// Decides; a mismatch stops with its cause and remedy.
pub(super) async fn check(
    context: &Context,
    source: &Source,
    state: Option<State>,
) -> Result<Verdict, Failure> {
    let Some(state) = state else { return Ok(Verdict::Load(None)) };
    same_connector(context, &state)?;
    if let Some(reason) = &state.needs_resync {
        return Err(Failure::stop(reason.clone(), ANEW));
    }
    if state.step == Step::Copying {
        return Ok(Verdict::Load(Some(Box::new(state))));
    }
    let flushed = position::flushed(&source.client).await?;
    must_fit(context, source, state.applied_lsn, state.applied_lsn, flushed).await?;
    let indices = Indices::new(managed(context, &state)?);
    indices.check(&context.target).await?;
    Ok(Verdict::GoOn(Box::new(state), indices))
}

/// The slot has kept everything after `confirmed`, and the server, flushed up to `flushed`, has not gone back behind
/// `durable`. Looked at before every session: a stream that starts in a gap says nothing of it.
pub(super) async fn must_fit(
    context: &Context,
    source: &Source,
    confirmed: Lsn,
    durable: Lsn,
    flushed: Lsn,
) -> Result<(), Failure> {
    let name = &context.config.source.slot;
    let slot = source.usable_slot(&context.config).await?;
    if let Some(ahead) = slot.confirmed.filter(|ahead| *ahead > confirmed) {
        return Err(Failure::stop(
            format!(
                "the slot {name} is at {ahead}, ahead of the index at {confirmed}: changes in between are lost (the \
                 slot was made anew, or advanced by somebody)"
            ),
            ANEW,
        ));
    }
    if flushed < durable {
        return Err(Failure::stop(
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
    if state.step == Step::Streaming && state.timeline != context.system.timeline {
        return Err(Failure::stop(
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
        let kept = state.indexes.iter().find(|index| index.alias == *alias);
        let kept = kept.ok_or_else(|| {
            Failure::stop(
                format!("the index {alias} of the table {} is new", one.table.name),
                format!("adding a table to a running installation is not supported yet: {ANEW}"),
            )
        })?;
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
    let dropped = state
        .indexes
        .iter()
        .find(|index| !context.planned.iter().any(|one| one.index.alias == index.alias));
    if let Some(index) = dropped {
        return Err(Failure::stop(
            format!(
                "the table {} of the index {} is not published or configured any more",
                index.table, index.alias
            ),
            format!("removing a table from a running installation is not supported yet: {ANEW}"),
        ));
    }
    Ok(managed)
}
