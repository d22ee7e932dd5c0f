//! What was built beside the stream becomes part of the connector's state.
//!
//! The build must be at least as far as the connector: from the position of the connector's state on, every change comes
//! again, and what the new indices have already is passed over ([`IndexState::since`](apply::IndexState::since)). The state
//! is changed by compare-and-set, so a connector that has moved on meanwhile is not overtaken; one that runs finds its next
//! write refused and reads the state again.

use apply::{IndexState, State, Store};

use crate::failure::Failure;

/// How often the state is changed again when the connector was faster.
const ATTEMPTS: u32 = 20;

/// What came of it.
pub(super) enum Merged {
    /// The connector's state has them now.
    Done,
    /// The connector is ahead, by so many bytes of log.
    NotYet(u64),
    /// Something has come to light since the build began: what was built may have it, too.
    Outdated(String),
}

/// Puts the indices of `built` into the state that `main` has. `all`: no other tables are followed, whatever the state has.
pub(super) async fn merge(main: &mut Store, built: &State, all: bool) -> Result<Merged, Failure> {
    let Some(state) = main.load().await? else {
        return Err(Failure::stop(
            "the state document of the connector has gone during the build",
            "was `wal2es teardown` run meanwhile? Start `wal2es run`",
        ));
    };
    if state.applied_lsn > built.applied_lsn {
        return Ok(Merged::NotYet(state.applied_lsn.since(built.applied_lsn)));
    }
    if let Some(why) = found_since(&state, built) {
        return Ok(Merged::Outdated(why.clone()));
    }
    if state.generation >= built.generation {
        return Err(Failure::retry(
            "the connector began a generation of its own during the build",
            "try again",
        ));
    }
    let merged = merged(&state, built, all);
    Ok(match main.change(&merged).await? {
        true => Merged::Done,
        false => Merged::NotYet(0),
    })
}

/// Asks the connector, whoever runs it, to wait where it is. It goes on by itself when the build has gone.
pub(super) async fn ask_to_wait(main: &mut Store) -> Result<(), Failure> {
    for _ in 0..ATTEMPTS {
        let Some(state) = main.load().await? else { return Ok(()) };
        if state.handing_over || main.change(&State { handing_over: true, ..state }).await? {
            return Ok(());
        }
    }
    Ok(())
}

/// Why a resync is needed that was not known when the build began, which keeps what was known then.
fn found_since<'s>(state: &'s State, built: &State) -> Option<&'s String> {
    state.needs_resync.as_ref().filter(|why| built.needs_resync.as_ref() != Some(*why))
}

fn merged(state: &State, built: &State, all: bool) -> State {
    let mut merged = State { generation: built.generation, handing_over: false, ..state.clone() };
    for new in &built.indexes {
        let same = |index: &mut IndexState| index.alias == new.alias;
        let before: Vec<_> = merged.detached.extract_if(.., same).collect();
        let before = merged.indexes.extract_if(.., same).chain(before).next();
        let before = before.map(|index| index.left_behind(state.applied_lsn));
        merged.indexes.push(in_place_of(before, new, built));
    }
    merged.suspects.extend(built.suspects.iter().cloned());
    let replaced = |alias: &String| built.indexes.iter().any(|new| new.alias == *alias);
    if all {
        let left = merged.indexes.extract_if(.., |index| !replaced(&index.alias));
        merged.detached.extend(left.map(|index| index.left_behind(state.applied_lsn)));
        // Nobody needs the log before, which may not be readable: not across the birth of a publication.
        merged.applied_lsn = built.applied_lsn;
        merged.last_commit = built.last_commit;
        merged.publication.clone_from(&built.publication);
    }
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

#[cfg(test)]
mod tests {
    use change::Lsn;
    use serde_json::{Value, json};

    use super::*;

    fn index(alias: &str, generation: u32) -> Value {
        let name = format!("{alias}-g{generation}");
        json!({"alias": alias, "table": alias, "index": name, "uuid": name, "histories": [], "shown": name,
               "retired": [], "truncations": 0, "plan_hash": ""})
    }

    fn state(generation: u32, at: &str, indexes: &[Value]) -> State {
        serde_json::from_value(json!({
            "formula": 1, "system_id": "1", "timeline": 1, "database": "d", "slot": "s", "publication": "p",
            "generation": generation, "step": "streaming", "applied_lsn": at, "visible_lsn": at, "indexes": indexes,
        }))
        .unwrap()
    }

    fn built(alias: &str) -> State {
        let mut built = state(2, "0/30", &[index(alias, 2)]);
        built.indexes[0].shown = None;
        built.indexes[0].held = true;
        built
    }

    #[test]
    fn a_new_index_waits_behind_the_one_that_readers_see() {
        let before = state(1, "0/20", &[index("a", 1), index("b", 1)]);
        let merged = merged(&before, &built("b"), false);
        assert_eq!((merged.generation, merged.applied_lsn), (2, Lsn::new(0x20)));
        let b = merged.indexes.iter().find(|index| index.alias == "b").unwrap();
        assert_eq!((b.index.as_str(), b.shown.as_deref()), ("b-g2", Some("b-g1")));
        assert_eq!((b.since, b.shown_lsn), (Lsn::new(0x30), Lsn::new(0x20)));
        assert!(b.is_hidden());
        assert!(merged.indexes.contains(&before.indexes[0]), "the other one is as it was");
    }

    #[test]
    fn one_that_was_rolled_back_or_truncated_leaves_nothing_behind() {
        let mut before = state(1, "0/20", &[index("b", 1)]);
        before.indexes[0].index = "b-g1.t1".into();
        let merged = merged(&before, &built("b"), false);
        assert_eq!(merged.indexes[0].shown.as_deref(), Some("b-g1"));
        assert_eq!(merged.indexes[0].retired, ["b-g1.t1"]);
    }

    #[test]
    fn a_table_that_was_left_takes_its_alias_up_again() {
        let mut before = state(1, "0/20", &[index("a", 1), index("b", 1)]);
        before.detached = before.indexes.split_off(1);
        let merged = merged(&before, &built("b"), false);
        assert_eq!(merged.detached, []);
        assert_eq!(merged.indexes[1].shown.as_deref(), Some("b-g1"));
    }

    #[test]
    fn what_came_to_light_during_the_build_is_not_cured_by_it() {
        let (mut before, mut built) = (state(1, "0/20", &[index("b", 1)]), built("b"));
        assert_eq!(found_since(&before, &built), None);
        before.needs_resync = Some("why".into());
        assert_eq!(found_since(&before, &built), Some(&"why".to_owned()));
        built.needs_resync = Some("why".into());
        assert_eq!(found_since(&before, &built), None);
    }

    #[test]
    fn what_needed_a_resync_is_cured_when_all_of_it_is_built() {
        let mut before = state(1, "0/20", &[index("a", 1), index("b", 1)]);
        before.needs_resync = Some("why".into());
        before.needs_resync_of = vec!["b".into()];
        assert_eq!(merged(&before, &built("b"), false).needs_resync, None);
        assert!(merged(&before, &built("a"), false).needs_resync.is_some());
        before.needs_resync_of.clear();
        assert!(
            merged(&before, &built("b"), false).needs_resync.is_some(),
            "it may be about the other one"
        );
        // The other one is not followed any more, whatever was wrong with it.
        let mut built = built("b");
        built.publication = "q".into();
        let merged = merged(&before, &built, true);
        assert_eq!((merged.needs_resync, merged.publication.as_str()), (None, "q"));
        assert_eq!((merged.indexes.len(), merged.detached.len()), (1, 1));
        assert_eq!(
            (&*merged.detached[0].alias, merged.detached[0].shown_lsn),
            ("a", Lsn::new(0x20))
        );
    }
}
