//! The one task that decides order, versions, batches and progress.
//!
//! Whoever owns it hands it the stream, event by event, and calls [`Applier::step`] in between: there the bulk in
//! flight, the refresh and the saving of the state make progress. While a bulk is in flight the next one is built.
//!
//! What must hold:
//! - A position becomes *durable* when every operation up to it has a definite good outcome, *confirmed* when the state
//!   document that says so is saved, *visible* when a refresh after it has succeeded on every shard. Nothing else moves
//!   them: no timer, no keepalive while something is open, buffered or in flight.
//! - Between the beginning of a bulk and the commit that it belongs to, nothing is refreshed; nor before the stream has
//!   passed `replay_end`: an earlier session may have sent more than its state says, and until all of it has been sent
//!   again the index may hold half of a transaction.
//! - A key is never in two requests at once: there is one batch in flight, and a key is in one of its requests.
//!
//! [`Applier::step`] may be dropped at any await; the work under way is kept in the applier.

mod again;
mod deletes;
mod keep;
mod pace;
mod show;
mod tables;
mod take;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use change::{CommitLsn, Lsn};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::backoff::persist;
use crate::bulk::{Batch, Delivered, Limits, Rows, deliver_filled, deliver_in_lanes};
use crate::indices::{self, IndexGuard, Indices};
use crate::letters::Letters;
use crate::state::{ColumnState, IndexState, LastCommit, SAVE_EVERY, State, Store};
use crate::target::Target;
use crate::tombstones::Tombstones;
use crate::{Error, Kind};
use pace::{Moment, Next, Pace};
pub use show::drop_unneeded_of_detached;

/// A commit older than this, by the source's clock, means that the stream is far behind.
const FAR_BEHIND: Duration = Duration::from_secs(20);

type Work<T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send>>;

/// What does not change while the applier lives.
#[derive(Clone, Copy, Debug)]
pub struct ApplierConfig {
    /// When a request is full.
    pub limits: Limits,
    /// How many requests may be in flight.
    pub lanes: usize,
    /// How often the indices are looked at while nothing is wrong.
    pub check_every: Duration,
    /// The longest time between two refreshes under load.
    pub refresh: Duration,
    /// How long the index of an earlier generation is kept after readers were moved to a new one.
    pub keep: Duration,
    /// How long a request may be executed after its connection was closed.
    pub zombie_limit: Duration,
}

/// What is true of one connection to the source.
#[derive(Clone, Copy, Debug)]
pub struct Session {
    /// No earlier session can have sent a change that commits at or beyond this: the server's flush position when
    /// this session began.
    pub replay_end: Lsn,
}

/// A transaction that is being received.
#[derive(Clone, Copy)]
struct Open {
    commit: CommitLsn,
    xid: u32,
    ordinal: u64,
}

/// A bulk in flight.
struct Flight {
    work: Work<Delivered>,
    end: Option<Lsn>,
    last_commit: Option<LastCommit>,
    mid_transaction: bool,
}

/// See the module.
pub struct Applier {
    target: Arc<Target>,
    store: Arc<Mutex<Store>>,
    indices: Indices,
    state: State,
    pace: Pace,
    keep: Duration,
    check_every: Duration,
    limits: Limits,
    lanes: usize,
    rows: Arc<dyn Rows>,
    guard: IndexGuard,
    batch: Batch,
    replay_end: Lsn,
    /// What is in the index may be older than what was shown: see [`Applier::caught_up`].
    catching_up: bool,
    /// See [`Applier::within`].
    within: bool,
    sessions: u64,
    open: Option<Open>,
    dry: bool,
    committed_at: Option<Duration>,

    flight: Option<Flight>,
    showing: Option<(Instant, State, Work<()>)>,
    saving: Option<(State, Work<()>)>,
    checking: Option<Work<()>>,
    /// Deletes that are sent again.
    again: Option<again::Request>,
    tuning: Option<Work<deletes::Tuned>>,
    dropping: Option<Work<Vec<String>>>,
    drop_at: Option<Instant>,

    at_commit: bool,
    durable: Lsn,
    /// The last commit that was received whole.
    received: Option<LastCommit>,
    /// The last commit up to `durable`.
    last_commit: Option<LastCommit>,
    visible: Lsn,
    confirmed: Lsn,
    saved_visible: Lsn,
    saved_read_to: String,
    /// The indices that the saved state names as written.
    saved_indices: Vec<String>,
    saved_at: Option<Instant>,
    checked_at: Instant,
    delivered: Delivered,
    /// See [`Delivered::unsynced`]: of what was delivered since the state was saved.
    unsynced: bool,
    applied_rows: u64,
    changed_columns: Vec<ChangedColumns>,
    /// The id of the state document.
    owner: String,
    /// The last commit whose transaction has begun to arrive.
    begun: Lsn,
    recalled: bool,
    /// When the written indices were last seen to be there.
    looked_at: Option<Instant>,
    /// See [`Applier::held_deletes`].
    held_deletes: Vec<String>,
    tombstones: Tombstones,
    /// The indices whose `gc_deletes` is lowered.
    lowered: Vec<String>,
}

/// Columns that changed in a transaction which is not durable yet.
struct ChangedColumns {
    /// Where its commit record ends; None while it is open.
    end: Option<Lsn>,
    at: usize,
    columns: Vec<ColumnState>,
}

impl Applier {
    /// Goes on from `state`, which has just been loaded or saved by `store`. `rows` are those of the tables of `indices`, in
    /// their order.
    pub fn new(
        config: ApplierConfig,
        target: Arc<Target>,
        store: Store,
        indices: Indices,
        state: State,
        rows: Arc<dyn Rows>,
        letters: Letters,
    ) -> Self {
        let guard = IndexGuard { target: target.clone(), indices: indices.clone(), letters };
        let (durable, visible) = (state.applied_lsn, state.visible_lsn);
        let state_commit = state.last_commit;
        let saved_read_to = state.read_to.clone();
        let saved_indices = state.indexes.iter().map(|index| index.index.clone()).collect();
        indices.suspects(|suspects| suspects.set_limit(config.zombie_limit));
        Applier {
            owner: store.id().to_owned(),
            begun: durable,
            recalled: false,
            looked_at: None,
            held_deletes: Vec::new(),
            tombstones: Tombstones::default(),
            lowered: Vec::new(),
            target,
            store: Arc::new(Mutex::new(store)),
            indices,
            state,
            pace: Pace::new(config.refresh),
            keep: config.keep,
            check_every: config.check_every,
            limits: config.limits,
            lanes: config.lanes,
            rows,
            guard,
            batch: Batch::new(config.limits.times(config.lanes)),
            replay_end: Lsn::ZERO,
            catching_up: false,
            within: false,
            sessions: 0,
            open: None,
            dry: false,
            committed_at: None,
            flight: None,
            showing: None,
            saving: None,
            checking: None,
            again: None,
            tuning: None,
            dropping: None,
            drop_at: None,
            at_commit: true,
            durable,
            received: state_commit,
            last_commit: state_commit,
            visible,
            confirmed: durable,
            saved_visible: visible,
            saved_read_to,
            saved_indices,
            saved_at: None,
            checked_at: Instant::now(),
            delivered: Delivered::default(),
            unsynced: false,
            applied_rows: 0,
            changed_columns: Vec::new(),
        }
    }

    /// A connection to the source begins at [`Applier::confirmed`]. What an earlier one left unfinished is forgotten: it
    /// comes again. Nothing may be in flight.
    pub fn begin_session(&mut self, session: Session) {
        self.replay_end = self.replay_end.max(session.replay_end);
        self.begin_anew(session.replay_end);
    }

    /// An earlier process can't have sent anything that commits at or beyond `sent_below`.
    fn begin_anew(&mut self, sent_below: Lsn) {
        self.sessions += 1;
        if self.sessions == 1 {
            // This process knows what it has sent itself.
            self.suspect_earlier(sent_below);
        }
        self.batch.clear();
        self.open = None;
        self.received = self.last_commit;
        self.changed_columns.clear();
        self.dry = false;
        // The part of a transaction that was sent stays hidden until the whole of it has been sent again. What an
        // earlier process wrote may never have been refreshed.
        self.at_commit = true;
        self.indices.with(|list| list.iter_mut().for_each(|managed| managed.dirty = true));
        self.plan_to_drop();
    }

    /// Every commit that ends at or before this is in the index.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// What may be confirmed to Postgres, and where the next session starts.
    pub fn confirmed(&self) -> Lsn {
        self.confirmed
    }

    /// Every commit that ends at or before this is found by searches.
    pub fn visible(&self) -> Lsn {
        self.visible
    }

    /// Readers of every alias see the index that is written.
    pub fn all_shown(&self) -> bool {
        self.indices.with(|list| !list.iter().any(|managed| managed.state.is_hidden()))
    }

    /// The last commit at or before [`Applier::durable`]; none before the first of the stream.
    pub fn last_commit(&self) -> Option<LastCommit> {
        self.last_commit
    }

    /// Sessions that have begun.
    pub fn sessions(&self) -> u64 {
        self.sessions
    }

    /// Row operations that have been delivered.
    pub fn applied_rows(&self) -> u64 {
        self.applied_rows
    }

    /// Operations that the index did not need, having something newer.
    pub fn superseded(&self) -> u64 {
        self.delivered.superseded
    }

    /// More of the stream can be taken without waiting.
    pub fn has_room(&self) -> bool {
        !self.batch.is_full()
    }

    /// Says whether more of the stream is there already; when not, what has been taken is sent without waiting for more.
    pub fn set_dry(&mut self, dry: bool) {
        self.dry = dry;
    }

    /// Rows that have no document.
    pub fn dead_letters(&self) -> usize {
        self.guard.letters.len()
    }

    /// The managed indices, as they were at [`Applier::durable`].
    pub fn indexes(&self) -> Vec<IndexState> {
        self.indices.states()
    }

    /// Moves on over what needs no request, when nothing is in flight that comes before it.
    fn settle(&mut self) {
        if self.flight.is_none()
            && let Some(end) = self.batch.take_idle_end()
        {
            self.durable = self.durable.max(end);
            self.last_commit = self.last_commit.max(self.received);
            if self.open.is_none() {
                self.at_commit = true;
            }
        }
        self.adopt_columns();
        if self.at_commit && self.showing.is_none() && self.past_replay() && !self.unseen() {
            self.visible = self.durable;
        }
    }

    fn past_replay(&self) -> bool {
        self.durable >= self.replay_end && !self.catching_up && !self.within
    }

    /// Something is written that a refresh or a swap would show.
    fn unseen(&self) -> bool {
        self.flight.is_some() || self.indices.with(|list| list.iter().any(show::is_pending))
    }

    fn moment(&self) -> Moment {
        let unix = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        Moment {
            now: Instant::now(),
            sending: self.flight.is_some(),
            showing: self.showing.is_some(),
            full: self.batch.is_full(),
            complete: self.batch.has_complete(),
            dry: self.dry,
            at_commit: self.at_commit,
            unseen: self.unseen(),
            past_replay: self.past_replay(),
            far_behind: self.committed_at.is_some_and(|at| unix.saturating_sub(at) > FAR_BEHIND),
        }
    }

    /// Waits for the next thing to happen, having started whatever is due. Comes back when something has changed.
    ///
    /// # Errors
    /// What stops the connector.
    pub async fn step(&mut self) -> Result<(), Error> {
        let wake = self.start_what_is_due();
        tokio::select! {
            biased;
            delivered = finished(self.flight.as_mut().map(|flight| &mut flight.work)) => {
                let delivered = delivered?;
                self.landed(delivered);
            }
            shown = finished(self.showing.as_mut().map(|(_, _, work)| work)) => {
                shown?;
                self.shown();
            }
            saved = finished(self.saving.as_mut().map(|(_, work)| work)) => {
                saved?;
                if let Some((state, _)) = self.saving.take() {
                    self.saved(&state);
                }
            }
            checked = finished(self.checking.as_mut()) => {
                self.checking = None;
                match checked {
                    // Whatever can't be reached now is noticed by the next write to it.
                    Err(error) if error.kind() != Kind::Transient => return Err(error),
                    _ => {}
                }
            }
            outcomes = finished(self.again.as_mut().map(|again| &mut again.work)) => {
                let outcomes = outcomes?;
                self.sent_again(outcomes);
            }
            tuned = finished(self.tuning.as_mut()) => {
                let tuned = tuned?;
                self.tuned(tuned);
            }
            dropped = finished(self.dropping.as_mut()) => {
                let dropped = dropped?;
                self.dropped(&dropped);
            }
            () = until(wake) => {}
        }
        Ok(())
    }

    /// Waits until more of the stream can be taken. False when `stop` comes first.
    ///
    /// # Errors
    /// What stops the connector.
    pub async fn make_room(&mut self, stop: &CancellationToken) -> Result<bool, Error> {
        while !self.has_room() {
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(false),
                stepped = self.step() => stepped?,
            }
        }
        Ok(true)
    }

    /// Comes back when everything that is complete is in the index for good, whether searches find it or not.
    ///
    /// # Errors
    /// What stops the connector.
    pub async fn land(&mut self) -> Result<(), Error> {
        self.set_dry(true);
        loop {
            self.settle();
            if self.flight.is_none() && !self.batch.has_complete() {
                break;
            }
            self.step().await?;
        }
        // What has to be kept, or flushed, before anybody forgets where it came from.
        let unsaved = self.unsynced
            || self.indices.suspects(|suspects| suspects.is_unsaved())
            || self.indices.states().iter().any(|state| !self.saved_indices.contains(&state.index));
        match unsaved {
            true => self.save_now().await,
            false => Ok(()),
        }
    }

    /// Finishes everything that is complete: sends, shows, saves. The beginning of a transaction that is still open is
    /// not waited for.
    ///
    /// # Errors
    /// What stops the connector.
    pub async fn drain(&mut self) -> Result<(), Error> {
        self.set_dry(true);
        loop {
            self.settle();
            let shown = !(self.at_commit && self.past_replay() && self.unseen());
            let sent = self.flight.is_none() && !self.batch.has_complete();
            let saved = self.confirmed == self.durable
                && self.saved_visible == self.visible
                && self.saved_read_to == self.state.read_to
                && !self.indices.suspects(|suspects| suspects.is_unsaved())
                && self.saving.is_none();
            if sent && shown && self.showing.is_none() {
                if saved {
                    return Ok(());
                }
                self.start_saving();
            }
            self.step().await?;
        }
    }

    /// Starts what is due and tells when to look again.
    fn start_what_is_due(&mut self) -> Option<Instant> {
        self.settle();
        let now = Instant::now();
        let wake = match self.pace.next(self.moment()) {
            // A delete that can't be taken on is waited for where it is.
            Next::Send if self.holds_deletes() => None,
            Next::Send => match self.makes_room_for_deletes(now) {
                Ok(()) => {
                    self.send(false);
                    None
                }
                Err(until) => until,
            },
            Next::Show => {
                self.start_showing();
                None
            }
            Next::Wait(until) => until,
        };
        let changed = self.durable > self.confirmed
            || self.visible > self.saved_visible
            || self.state.read_to != self.saved_read_to
            || self.indices.suspects(|suspects| suspects.is_unsaved());
        let mut wakes =
            [wake, None, None, None, self.send_again(now), self.restore_gc_deletes(now)];
        if changed && self.showing.is_none() && self.saving.is_none() {
            match self.saved_at.map(|at| at + SAVE_EVERY).filter(|due| *due > now) {
                Some(due) => wakes[1] = Some(due),
                // It will be visible in a moment: one save for both.
                None if wake.is_some_and(|due| due - now < SAVE_EVERY / 4) => {}
                None => self.start_saving(),
            }
        }
        let check = self.checked_at + self.check_every;
        if check > now {
            wakes[2] = Some(check);
        } else if self.checking.is_none() {
            self.checked_at = now;
            let (target, indices) = (self.target.clone(), self.indices.clone());
            let (store, state) = (self.store.clone(), self.state.clone());
            let look = async move { keep::look(&target, &store, &indices, &state).await };
            self.checking = Some(Box::pin(look));
        }
        match self.drop_at {
            Some(due) if due > now => wakes[3] = Some(due),
            Some(_) if self.dropping.is_none() && self.showing.is_none() => self.start_dropping(),
            _ => {}
        }
        wakes.into_iter().flatten().min()
    }

    /// Sends what there is to send. `force` sends the beginning of an open transaction too.
    fn send(&mut self, force: bool) {
        if self.is_beyond_lease() && !self.batch.is_empty() {
            return self.start_saving();
        }
        let Some(sealed) = self.batch.seal(force) else { return };
        let (end, mid_transaction) = (sealed.end, sealed.mid_transaction);
        self.applied_rows += sealed.ops.len() as u64;
        self.tombstones.sent(sealed.deletes(), Instant::now());
        // Only now: a refresh before this moment would not have shown it.
        let touched = sealed.indices();
        self.indices.with(|list| {
            for managed in list.iter_mut().filter(|managed| touched.contains(&managed.number)) {
                managed.dirty = true;
            }
        });
        let target = self.target.clone();
        let guard = self.guard.clone();
        let (rows, limits, lanes) = (self.rows.clone(), self.limits, self.lanes);
        let settled = self.delivered.settled;
        let states = self.unlooked(&touched);
        let work = Box::pin(async move {
            if !states.is_empty() {
                persist(|| indices::still_there(&target, &states)).await?;
            }
            match sealed.has_holes() {
                false => deliver_in_lanes(&target, &guard, lanes, sealed).await,
                true => deliver_filled(&target, &guard, &*rows, limits, settled, &sealed).await,
            }
        });
        self.at_commit = false;
        let last_commit = self.received;
        self.flight = Some(Flight { work, end, last_commit, mid_transaction });
    }

    fn landed(&mut self, mut delivered: Delivered) {
        let Some(flight) = self.flight.take() else { return };
        self.unsynced |= delivered.unsynced;
        // Only a copy counts them.
        delivered.refused.clear();
        self.delivered.add(delivered);
        if let Some(end) = flight.end {
            self.durable = self.durable.max(end);
            self.last_commit = self.last_commit.max(flight.last_commit);
        }
        self.at_commit = !flight.mid_transaction;
        self.settle();
    }
}

/// The end of work that may not be there: then it never comes.
async fn finished<T>(work: Option<&mut Work<T>>) -> Result<T, Error> {
    match work {
        Some(work) => work.await,
        None => std::future::poll_fn(|_| Poll::Pending).await,
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
pub(crate) mod tests;
