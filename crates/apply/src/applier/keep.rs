//! What the applier keeps in the state document: how far it is, once a second while something changes, and at once whatever
//! has to be there before the next step.

use std::time::{Duration, Instant};

use change::Lsn;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::Applier;
use crate::backoff::persist;
use crate::indices::{self, Indices};
use crate::state::{IndexState, State, Store};
use crate::suspects::Kept;
use crate::target::Target;
use crate::{Error, Kind};

/// So much of the log further than what has been received may be sent before another state says more, in bytes.
const LEASE: u64 = 64 << 20;

/// Before something is written the indices are looked at, if that was longer ago. Each saving of the state looks too.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Applier {
    /// Keeps with the state whether the standbys that could be promoted have what is in the index. Saved before anything
    /// else is sent: a state that says so wrongly would go on with a standby that lacks some of it.
    ///
    /// # Errors
    /// What stops the connector.
    pub async fn note_failover(&mut self, failover: bool) -> Result<(), Error> {
        if self.state.failover == failover {
            return Ok(());
        }
        self.state.failover = failover;
        self.save_now().await
    }

    /// Finishes what is complete, as [`Applier::drain`], and keeps with the state why the stream alone can't make the
    /// managed index `at` right any more, or all of them.
    ///
    /// # Errors
    /// What stops the connector.
    pub async fn give_up(&mut self, reason: &str, at: Option<usize>) -> Result<(), Error> {
        self.drain().await?;
        self.state.needs_resync = Some(reason.to_owned());
        let of =
            at.and_then(|at| self.indices.with(|list| Some(list.get(at)?.state.alias.clone())));
        self.state.needs_resync_of = of.into_iter().collect();
        self.save_now().await
    }

    /// The partitions of the table of the managed index `at` are these now, by their OIDs.
    pub fn parts(&mut self, at: usize, parts: Vec<u32>) {
        self.indices.with(|list| {
            if let Some(managed) = list.get_mut(at) {
                managed.state.parts = parts;
            }
        });
    }

    /// Makes those columns part of the state that are of durable transactions by now.
    pub(super) fn adopt_columns(&mut self) {
        let durable = self.durable;
        let adopted = self
            .changed_columns
            .extract_if(.., |changed| changed.end.is_some_and(|end| end <= durable));
        for changed in adopted {
            self.indices.with(|list| {
                if let Some(managed) = list.get_mut(changed.at) {
                    managed.state.columns = changed.columns;
                }
            });
        }
    }

    /// Keeps with the state that an index of this name is about to be made. False when `stop` came first.
    pub(super) async fn announce(
        &mut self,
        at: usize,
        name: &str,
        stop: &CancellationToken,
    ) -> Result<bool, Error> {
        let said = self.indices.with(|list| {
            let state = list.get_mut(at).map(|managed| &mut managed.state);
            state.and_then(|state| state.making.replace(name.to_owned()))
        });
        if said.as_deref() == Some(name) {
            return Ok(true);
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => Ok(false),
            saved = self.save_now() => saved.map(|()| true),
        }
    }

    /// Comes back when the state document holds what is true now; what is being saved may be of before.
    pub(super) async fn save_now(&mut self) -> Result<(), Error> {
        while self.saving.is_some() {
            self.step().await?;
        }
        self.start_saving();
        while self.saving.is_some() {
            self.step().await?;
        }
        Ok(())
    }

    pub(super) fn start_saving(&mut self) {
        if self.saving.is_some() {
            return;
        }
        self.saved_at = Some(Instant::now());
        let (state, kept) = self.state_to_save();
        let (target, store, saved) = (self.target.clone(), self.store.clone(), state.clone());
        let work = Box::pin(async move { save(&target, &store, &saved, &kept).await });
        self.saving = Some((state, work));
    }

    /// The state document holds `state` now.
    pub(super) fn saved(&mut self, state: &State) {
        self.confirmed = self.confirmed.max(state.applied_lsn);
        self.looked_at = self.saved_at;
        self.saved_visible = state.visible_lsn;
        self.saved_read_to.clone_from(&state.read_to);
        self.state.sent_below = self.state.sent_below.max(state.sent_below);
        self.state.suspects.clone_from(&state.suspects);
        self.saved_indices = state.indexes.iter().map(|index| index.index.clone()).collect();
    }

    /// The indices of those numbers, when they have not been looked at for a while: a write to one that has gone would
    /// make it anew.
    pub(super) fn unlooked(&mut self, numbers: &[u32]) -> Vec<IndexState> {
        let now = Instant::now();
        if self.looked_at.is_some_and(|at| now < at + LOOK_AGAIN) {
            return Vec::new();
        }
        self.looked_at = Some(now);
        self.indices.with(|list| {
            let touched = list.iter().filter(|managed| numbers.contains(&managed.number));
            touched.map(|managed| managed.state.clone()).collect()
        })
    }

    /// The state as it is now, with what has to be written before it.
    pub(super) fn state_to_save(&mut self) -> (State, Kept) {
        let now = Instant::now();
        let owner = &self.owner;
        let mut kept = self.indices.suspects(|suspects| suspects.keep(owner, self.durable, now));
        kept.flush = std::mem::take(&mut self.unsynced);
        let sent_below = self.begun.max(self.durable).get().saturating_add(LEASE);
        let state = State {
            suspects: kept.refs.clone(),
            sent_below: self.state.sent_below.max(Lsn::new(sent_below)),
            ..self.current_state()
        };
        (state, kept)
    }

    /// Nothing of the open batch may be sent yet: the saved state does not say so.
    pub(super) fn is_beyond_lease(&self) -> bool {
        self.begun >= self.state.sent_below
    }

    /// The state as it is now.
    pub fn current_state(&self) -> State {
        State {
            applied_lsn: self.durable,
            visible_lsn: self.visible,
            indexes: self.indices.states(),
            last_commit: self.last_commit,
            ..self.state.clone()
        }
    }
}

/// The look of each minute at the indices: they are the same ones, as they were made, and readers are led to them.
pub(super) async fn look(
    target: &Target,
    store: &Mutex<Store>,
    indices: &Indices,
    state: &State,
) -> Result<(), Error> {
    indices.check(target).await?;
    match indices.check_still_standing(target, state).await {
        // It was meant, and is read in a moment.
        Err(error)
            if error.kind() == Kind::Stop && store.lock().await.is_superseded(state).await? =>
        {
            Err(Error::superseded())
        }
        looked => looked,
    }
}

/// Saves `state` if the indices that it names are still the ones that were written; before it what it refers to, and
/// deletes afterwards what it does not refer to any more.
pub(super) async fn save(
    target: &Target,
    store: &Mutex<Store>,
    state: &State,
    kept: &Kept,
) -> Result<(), Error> {
    if kept.flush {
        let names: Vec<&str> = state.indexes.iter().map(|index| index.index.as_str()).collect();
        persist(|| async { Ok(target.flush(&names).await?) }).await?;
    }
    persist(|| indices::still_there(target, &state.indexes)).await?;
    let mut store = store.lock().await;
    store.write_suspects(kept).await?;
    store.save(state).await?;
    store.delete_suspects(&kept.over).await;
    Ok(())
}
