//! What a run knows of itself, for whoever asks while it runs.
//!
//! The parts of a run tell it what they do; the HTTP endpoint and the report read it. It asks no server and decides
//! nothing: a run would do the same without it, but for the end of a copy that lets too much log pile up.

mod lag;
mod ready;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};

use apply::letters::Letters;
use apply::{Applier, Indices, Report};
use change::Lsn;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::limits::{self, Look};
use crate::progress::{Copying, Meter, Shown};
use crate::status::{SlotStatus, SourceStatus, Status};
use lag::Lag;

/// See the module.
pub(crate) struct Monitor {
    slot: String,
    max_held: u64,
    ready_lag: std::time::Duration,
    stop: CancellationToken,
    known: Mutex<Known>,
    look: watch::Sender<Option<Look>>,
    tasks: Mutex<JoinSet<()>>,
    tells: AtomicBool,
    /// Of the run that this one's indices are built beside.
    run: Option<Arc<Monitor>>,
}

struct Known {
    servers: Option<(SourceStatus, String)>,
    copy: Option<(Arc<Copying>, Shown)>,
    /// A copy beside the stream.
    building: Option<Arc<Copying>>,
    /// The first load is under way.
    loading: bool,
    indices: Option<(u32, Indices)>,
    letters: Option<Letters>,
    applied: Option<Applied>,
    /// The indices that nothing is deleted from for now.
    held_deletes: Vec<String>,
    lag: Lag,
    rate: Meter,
}

/// What the applier has done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Applied {
    pub(crate) durable: Lsn,
    pub(crate) visible: Lsn,
    pub(crate) rows: u64,
    pub(crate) superseded: u64,
    /// Deletes that are being sent again.
    pub(crate) suspects: usize,
}

/// A copy is under way until this is dropped.
pub(crate) struct Loading<'a>(&'a Monitor);

impl Monitor {
    /// Of a run that `stop` ends.
    pub(crate) fn new(config: &Config, stop: CancellationToken) -> Self {
        let known = Known {
            servers: None,
            copy: None,
            building: None,
            loading: false,
            indices: None,
            letters: None,
            applied: None,
            held_deletes: Vec::new(),
            lag: Lag::default(),
            rate: Meter::new(Instant::now()),
        };
        Monitor {
            slot: config.source.slot.to_string(),
            max_held: config.source.max_wal_held as u64,
            ready_lag: config.http.ready_lag,
            stop,
            known: Mutex::new(known),
            look: watch::Sender::new(None),
            tasks: Mutex::default(),
            tells: AtomicBool::new(false),
            run: None,
        }
    }

    /// Of a build, whose copy the run tells of too.
    pub(crate) fn of_build(
        config: &Config,
        stop: CancellationToken,
        run: Option<Arc<Monitor>>,
    ) -> Self {
        Monitor { run, ..Monitor::new(config, stop) }
    }

    /// True for the first who asks.
    pub(crate) fn begins_to_tell(&self) -> bool {
        !self.tells.swap(true, Ordering::Relaxed)
    }

    /// Does something beside the run, until [`Monitor::close`].
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(work);
    }

    /// Ends what was begun with [`Monitor::spawn`].
    pub(crate) fn close(&self) {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
    }

    /// The servers are these.
    pub(crate) fn connected(&self, source: SourceStatus, target: String) {
        self.known().servers = Some((source, target));
    }

    /// The first load begins, and ends when what this gives is dropped.
    pub(crate) fn loading(&self) -> Loading<'_> {
        self.known().loading = true;
        Loading(self)
    }

    /// These tables are copied, from now to the end of the load.
    pub(crate) fn copying(&self, tables: Vec<(String, u64)>) -> Arc<Copying> {
        let copying = Arc::new(Copying::new(tables));
        if let Some(run) = &self.run {
            run.known().building = Some(copying.clone());
        }
        let shown = Shown::begin(copying.clone());
        let before = self.known().copy.replace((copying.clone(), shown));
        // The log is written while the bars of an attempt before are taken away.
        drop(before);
        copying
    }

    /// The indices that are written are these.
    pub(crate) fn indices(&self, generation: u32, indices: &Indices) {
        self.known().indices = Some((generation, indices.clone()));
    }

    /// The rows that have no document are these.
    pub(crate) fn letters(&self, letters: &Letters) {
        self.known().letters = Some(letters.clone());
    }

    /// How far the applier is, while it streams. Called for each chunk of the stream.
    pub(crate) fn applied(&self, applier: &Applier) {
        self.known().applied = Some(Applied {
            durable: applier.durable(),
            visible: applier.visible(),
            rows: applier.applied_rows(),
            superseded: applier.superseded(),
            suspects: applier.suspects(),
        });
        if self.known().held_deletes != applier.held_deletes() {
            self.known().held_deletes = applier.held_deletes().to_vec();
        }
    }

    /// The server's log ends at `position` now.
    pub(crate) fn observed(&self, position: Lsn) {
        self.known().lag.observe(Instant::now(), position);
    }

    /// The slot and its limits are so now.
    pub(crate) fn looked(&self, look: Look) {
        self.observed(look.flushed);
        self.look.send_replace(Some(look));
    }

    /// Every look from now on.
    pub(crate) fn looks(&self) -> watch::Receiver<Option<Look>> {
        self.look.subscribe()
    }

    /// Everything, for people and machines.
    pub(crate) fn status(&self) -> Status {
        let look = self.look.borrow().clone();
        let mut known = self.known();
        let now = Instant::now();
        let mut status = Status { state: self.state(&known).to_owned(), ..Status::default() };
        let copying = known.copy.as_ref().map(|(copying, _)| copying).or(known.building.as_ref());
        status.progress = copying.map(|copying| copying.progress());
        if let Some((mut source, target)) = known.servers.clone() {
            source.lsn = look.as_ref().map(|look| look.flushed.to_string());
            (status.source, status.target) = (Some(source), Some(target));
        }
        if let Some((generation, indices)) = &known.indices {
            status.generation = Some(*generation);
            status.indexes = indices.states().iter().map(Into::into).collect();
        }
        status.dead_letters = known.letters.as_ref().map(Letters::len);
        if let Some(applied) = known.applied {
            status.applied_lsn = Some(applied.durable.to_string());
            status.visible_lsn = Some(applied.visible.to_string());
            status.rate = Some(known.rate.rate(now, applied.rows));
            status.suspects = Some(applied.suspects);
            let behind = known.lag.behind(now, applied.durable);
            status.lag_bytes = behind.map(|(bytes, _)| bytes);
            status.lag_seconds = behind.map(|(_, age)| rounded(age.as_secs_f64()));
        }
        let held = known.held_deletes.join(", ");
        drop(known);
        if let Some(look) = look {
            status.wal_held_bytes = look.held;
            status.safe_wal_size = look.safe_wal_size;
            status.warnings = limits::warnings(&look, &self.slot, self.max_held);
            status.slot = SlotStatus::of(&self.slot, &look);
        }
        if !held.is_empty() {
            status.warnings.push(format!(
                "the stream waits at deletes from {held}: after requests without an answer so many have to be sent \
                 again that no more are taken on (pipeline.zombie_limit)"
            ));
        }
        status
    }

    /// The part of it that other processes read.
    pub(crate) fn report(&self) -> Report {
        let status = self.status();
        Report {
            updated_at: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            host: host(),
            pid: std::process::id(),
            state: status.state,
            progress: status.progress,
            rate: status.rate,
            suspects: status.suspects,
            lag_bytes: status.lag_bytes,
            lag_seconds: status.lag_seconds,
            wal_held_bytes: status.wal_held_bytes,
            safe_wal_size: status.safe_wal_size,
            warnings: status.warnings,
        }
    }

    /// What the applier has done, once it streams.
    pub(crate) fn last_applied(&self) -> Option<Applied> {
        self.known().applied
    }

    fn state(&self, known: &Known) -> &'static str {
        match known {
            _ if self.stop.is_cancelled() => "stopping",
            Known { loading: true, .. } => "copying",
            Known { applied: Some(_), .. } => "streaming",
            _ => "starting",
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        let mut known = self.0.known();
        known.loading = false;
        let copy = known.copy.take();
        if let Some(run) = &self.0.run {
            run.known().building = None;
        }
        // The log is written while the bars are taken away.
        drop(known);
        drop(copy);
    }
}

/// To the millisecond.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The name of this machine, as far as it can be told.
fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = name.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    name.trim().to_owned()
}
