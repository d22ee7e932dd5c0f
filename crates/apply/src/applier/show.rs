//! Making committed states visible: refreshes, and the alias swaps that show a new or emptied index.
//!
//! A table that was truncated goes on in an empty index beside the old one, and readers are moved over at the commit
//! boundary, in place of a refresh: at once, and without a tombstone for every row. Before the swap the state document
//! is saved with the new index and with everything up to this commit applied, so that a restart in between ends the
//! swap and replays nothing into the wrong index. The old index is dropped a little later: a search that has resolved the
//! alias just before would fail otherwise.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::{Applier, keep};
use crate::Error;
use crate::backoff::persist;
use crate::indices::{self, Managed, Owner};
use crate::letters;
use crate::state::{State, unix_seconds};
use crate::suspects::Kept;
use crate::target::Target;

/// Written but not shown yet.
pub(super) fn is_pending(managed: &Managed) -> bool {
    managed.dirty || is_hidden(managed)
}

fn is_hidden(managed: &Managed) -> bool {
    managed.state.is_hidden()
}

/// How long an index is kept that readers have just been moved away from.
const DROP_AFTER: Duration = Duration::from_secs(5);
/// The longest time between two looks at what is kept of earlier generations.
const LOOK_AT_KEPT: Duration = Duration::from_secs(60);

impl Applier {
    /// Shows everything that is durable now.
    pub(super) fn start_showing(&mut self) {
        let (dirty, hidden) = self.indices.with(|list| {
            let dirty: Vec<String> = list
                .iter_mut()
                .filter(|managed| is_pending(managed))
                .map(|managed| {
                    managed.dirty = false;
                    managed.state.index.clone()
                })
                .collect();
            let hidden: Vec<Managed> = list.iter().filter(|m| is_hidden(m)).cloned().collect();
            (dirty, hidden)
        });
        let (target, store) = (self.target.clone(), self.store.clone());
        // Without a swap it is only remembered how far this shows.
        let (state, kept) = match hidden.is_empty() {
            true => (self.current_state(), Kept::default()),
            false => self.state_to_save(),
        };
        let saved = state.clone();
        let work = Box::pin(async move {
            refresh(&target, &dirty).await?;
            if !hidden.is_empty() {
                keep::save(&target, &store, &saved, &kept).await?;
                swap(&target, &hidden).await?;
            }
            Ok(())
        });
        self.showing = Some((Instant::now(), state, work));
    }

    /// The refresh has succeeded everywhere.
    pub(super) fn shown(&mut self) {
        let Some((began, state, _)) = self.showing.take() else { return };
        self.pace.shown(began, Instant::now());
        self.tombstones.cleared(began);
        self.visible = self.visible.max(state.applied_lsn);
        if self.indices.with(|list| list.iter().any(is_hidden)) {
            self.saved(&state);
        }
        self.indices.with(|list| {
            for managed in list.iter_mut().filter(|managed| is_hidden(managed)) {
                managed.state.show(self.keep);
            }
        });
        self.plan_to_drop();
        self.settle();
    }

    /// If there are retired indices, sets the time to drop them; else the time when one that is kept is due.
    pub(super) fn plan_to_drop(&mut self) {
        let (retired, due) = self.indices.with(|list| {
            let due = list.iter_mut().filter_map(|m| m.state.retire_kept()).min();
            (list.iter().any(|m| !m.state.retired.is_empty()), due)
        });
        let due = due.map(|at| Duration::from_secs(at.saturating_sub(unix_seconds()) + 1));
        self.drop_at = match retired {
            true => Some(Instant::now() + DROP_AFTER),
            // The clock of the wall may be set; look again now and then.
            false => due.map(|due| Instant::now() + due.min(LOOK_AT_KEPT)),
        };
    }

    /// Drops the indices that nobody reads any more, nor would write to after a restart.
    pub(super) fn start_dropping(&mut self) {
        let retired: Vec<(String, String)> = self.indices.with(|list| {
            let of = |m: &Managed| {
                let alias = m.state.alias.clone();
                m.state.retired.clone().into_iter().map(move |name| (alias.clone(), name))
            };
            list.iter().flat_map(of).collect()
        });
        let (named, names): (Vec<_>, Vec<_>) =
            retired.into_iter().partition(|(_, name)| self.saved_indices.contains(name));
        if names.is_empty() {
            self.plan_to_drop();
            if !named.is_empty() {
                self.start_saving();
            }
            return;
        }
        self.drop_at = None;
        let target = self.target.clone();
        self.dropping = Some(Box::pin(async move {
            let mut dropped = Vec::new();
            for (alias, name) in names {
                if persist(|| drop_unread(&target, &alias, &name)).await? {
                    dropped.push(name);
                }
            }
            Ok(dropped)
        }));
    }

    /// Those are gone.
    pub(super) fn dropped(&mut self, names: &[String]) {
        self.dropping = None;
        self.indices.with(|list| {
            for managed in list.iter_mut() {
                managed.state.retired.retain(|retired| !names.contains(retired));
            }
        });
        self.plan_to_drop();
    }

    /// The table of the managed index `at` was emptied: what follows goes into a fresh index. False when `stop` came
    /// first.
    ///
    /// # Errors
    /// What stops the connector.
    pub async fn truncate(&mut self, at: usize, stop: &CancellationToken) -> Result<bool, Error> {
        // Everything before it has landed, so no request to the old index can be in flight when it is dropped.
        while !self.batch.is_empty() || self.flight.is_some() || self.showing.is_some() {
            if self.flight.is_none() && self.showing.is_none() {
                self.send(true);
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(false),
                stepped = self.step() => stepped?,
            }
        }
        self.at_commit = false;
        let Some(managed) = self.indices.with(|list| list.get(at).cloned()) else {
            return Ok(true);
        };
        let truncations = managed.state.truncations + 1;
        let generation = managed.state.generation_of(&managed.state.index);
        let generation = generation.unwrap_or(self.state.generation);
        let name = format!("{}-g{generation}.t{truncations}", managed.state.alias);
        let owner = Owner { generation, ..Owner::of(&self.state) };
        if !self.announce(at, &name, stop).await? {
            return Ok(false);
        }
        let facts = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(false),
            made = persist(|| indices::create(&self.target, &name, &managed.plan, &owner)) => made?,
        };
        self.indices.suspects(|suspects| suspects.forget(&managed.state.index));
        self.indices.with(|list| {
            let number = list.iter().map(|managed| managed.number).max().unwrap_or(0) + 1;
            let Some(managed) = list.get_mut(at) else { return };
            let state = &mut managed.state;
            if state.shown.as_ref() != Some(&state.index) {
                state.retired.push(state.index.clone());
            }
            state.index = name;
            state.making = None;
            state.uuid = facts.uuid;
            state.histories = facts.histories;
            state.truncations = truncations;
            managed.number = number;
        });
        self.guard.letters.forget(managed.number);
        self.plan_to_drop();
        Ok(true)
    }
}

/// Drops what nobody needs any more of the tables that are not followed any more.
///
/// # Errors
/// The target does not answer.
pub async fn drop_unneeded_of_detached(target: &Target, state: &mut State) -> Result<(), Error> {
    let used: Vec<String> =
        state.indexes.iter().flat_map(crate::IndexState::all).cloned().collect();
    for index in &mut state.detached {
        index.retire_kept();
        let mut left = Vec::new();
        for name in std::mem::take(&mut index.retired) {
            if used.contains(&name) || !drop_unread(target, &index.alias, &name).await? {
                left.push(name);
            }
        }
        index.retired = left;
    }
    Ok(())
}

/// Drops an index, unless readers of the alias are led to it still: they have to be moved first.
async fn drop_unread(target: &Target, alias: &str, name: &String) -> Result<bool, Error> {
    if target.alias(alias).await?.contains(name) {
        return Ok(false);
    }
    target.delete_index(name).await?;
    letters::forget_index(target, name).await?;
    Ok(true)
}

async fn refresh(target: &Arc<Target>, names: &[String]) -> Result<(), Error> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    persist(|| async {
        match target.refresh(&names).await? {
            true => Ok(()),
            false => Err(Error::transient(
                format!("a shard of {} was not refreshed", names.join(", ")),
                "look into the search server's log",
            )),
        }
    })
    .await
}

/// Turns the aliases to the indices that are written, all at once.
async fn swap(target: &Arc<Target>, hidden: &[Managed]) -> Result<(), Error> {
    persist(|| async {
        let mut actions: Vec<Value> = Vec::new();
        for managed in hidden {
            let (alias, index) = (&managed.state.alias, &managed.state.index);
            actions.push(json!({"add": {"index": index, "alias": alias}}));
            let behind = target.alias(alias).await?;
            actions.extend(
                behind
                    .iter()
                    .filter(|old| *old != index)
                    .map(|old| json!({"remove": {"index": old, "alias": alias}})),
            );
        }
        Ok(target.update_aliases(actions).await?)
    })
    .await
}
