//! What was built beside the stream becomes part of the connector's state.
//!
//! The build must be at least as far as the connector: from the position of the connector's state on, every change comes
//! again, and what the new indices have already is passed over ([`IndexState::since`](apply::IndexState::since)). The state
//! is changed by compare-and-set, so a connector that has moved on meanwhile is not overtaken; one that runs finds its next
//! write refused and reads the state again.

use apply::{IndexState, State, Store};

use super::prepare::Context;
use crate::failure::Failure;

/// What came of it.
pub(super) enum Merged {
    /// The connector's state has them now.
    Done,
    /// The connector is ahead.
    NotYet,
}

/// Puts the indices of `built` into the state that `main` has.
pub(super) async fn merge(
    context: &Context,
    main: &mut Store,
    built: &State,
) -> Result<Merged, Failure> {
    let Some(state) = main.load().await? else {
        return Err(Failure::stop(
            "the state document of the connector has gone during the build",
            "was `wal2es teardown` run meanwhile? Start `wal2es run`",
        ));
    };
    if state.applied_lsn > built.applied_lsn {
        return Ok(Merged::NotYet);
    }
    if state.generation >= built.generation {
        return Err(Failure::retry(
            "the connector began a generation of its own during the build",
            "try again",
        ));
    }
    let merged = merged(context, &state, built);
    Ok(match main.change(&merged).await? {
        true => Merged::Done,
        false => Merged::NotYet,
    })
}

fn merged(context: &Context, state: &State, built: &State) -> State {
    let mut merged = State { generation: built.generation, ..state.clone() };
    for new in &built.indexes {
        let same = |index: &mut IndexState| index.alias == new.alias;
        let before: Vec<_> = merged.detached.extract_if(.., same).collect();
        let before = merged.indexes.extract_if(.., same).chain(before).next();
        let before = before.map(|index| index.left_behind(state.applied_lsn));
        merged.indexes.push(in_place_of(before, new, built));
    }
    let replaced = |alias: &String| built.indexes.iter().any(|new| new.alias == *alias);
    let all = context.planned.len() == merged.indexes.len();
    if all || (!merged.needs_resync_of.is_empty() && merged.needs_resync_of.iter().all(replaced)) {
        merged.needs_resync = None;
        merged.needs_resync_of.clear();
    }
    merged
}

/// The new index; what readers see stays until it is shown.
fn in_place_of(before: Option<IndexState>, new: &IndexState, built: &State) -> IndexState {
    let mut index = IndexState { since: built.applied_lsn, held: false, ..new.clone() };
    if let Some(before) = before {
        index.shown = before.shown;
        index.shown_lsn = before.shown_lsn;
        index.kept = before.kept;
        index.retired.extend(before.retired);
    }
    index
}
