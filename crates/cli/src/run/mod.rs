//! The command `run`: the gate, the first load, and sessions of the stream until told to stop.
//!
//! ```text
//! ┌─► prepare (gate, load what is missing) ──► session ──► session ──► … ──► drain
//! └────────── reload: a resync, a rollback, other tables ◄──┘
//! ```
//!
//! A session ends when the source goes away; the applier lives on and the next session begins at what is durable. A
//! target that goes away does not end anything: deliveries wait for it. When the state was changed on purpose, or the
//! publication has other tables than before, everything is read and checked again, as after a restart.

mod beside;
mod building;
mod copy;
mod feed;
mod gate;
mod limits;
mod load;
mod merge;
mod point;
mod prepare;
mod rows;
mod session;
mod tables;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use apply::{Applier, Kind};
use change::Lsn;
use spool::Spool;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::args::Args;
use crate::config::{Config, OnSlotLoss};
use crate::failure::Failure;
use crate::monitor::Monitor;
use crate::source::Source;
pub(crate) use beside::{Scope, build, clean_up};
use building::Building;
pub(crate) use copy::estimate;
pub(crate) use gate::{fits, kept};
pub(crate) use point::is_copying;
pub(crate) use prepare::{Context, survey};
use prepare::{Prepared, prepare};
pub(crate) use tables::{captured, is_free, is_incomplete, is_unread};
use watch::Watch;

/// How long the end may take: what is in flight, the refresh, the state.
const DRAIN: Duration = Duration::from_secs(20);
/// A connection that was cut off may hold the slot until the server notices.
const SLOT_PATIENCE: Duration = Duration::from_secs(10);
/// The way out of what the stream alone can't mend.
pub(crate) const ANEW: &str = "build the indices anew: `wal2es resync`";
/// The longest pause between two attempts to reach the source.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Before everything is read again.
const RELOAD_PAUSE: Duration = Duration::from_millis(100);
/// How often a new generation of everything is begun by itself before a stream has begun.
const REBUILDS: u32 = 3;

/// What `run` was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) until_caught_up: bool,
    /// Begin with a new generation of everything.
    pub(crate) rebuild: bool,
}

/// How a run ended that nothing went wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to stop.
    Stopped,
    /// Everything that was asked for is searchable, and everything up to here.
    CaughtUp(Lsn),
}

/// How one round of it ended.
enum Round {
    End(End),
    Reload,
}

/// How far a round has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reached {
    Nothing,
    /// What had to be built in place is built.
    Prepared,
    Stream,
}

/// Runs until `stop`, or until caught up if asked so.
pub(crate) async fn run(
    args: &Args,
    options: Options,
    stop: CancellationToken,
    monitor: Arc<Monitor>,
) -> Result<End, Failure> {
    let mut goal = None;
    let (mut rebuild, mut rebuilds) = (options.rebuild, 0);
    let mut config = Config::load(args)?;
    loop {
        let mut reached = Reached::Nothing;
        let now = Options { rebuild, ..options };
        let began = Began { goal: &mut goal, reached: &mut reached, monitor: monitor.clone() };
        let ended = round(config.clone(), now, began, &stop).await;
        rebuild &= reached == Reached::Nothing;
        if reached == Reached::Stream {
            rebuilds = 0;
        }
        match ended {
            Ok(Round::End(end)) => return Ok(end),
            Ok(Round::Reload) => {}
            Err(failure) if failure.is_cured_by_reload() => {
                info!("the state was changed: reading it and the configuration again");
                config = Config::load(args)?;
            }
            Err(failure)
                if failure.is_cured_by_rebuild()
                    && config.source.on_slot_loss == OnSlotLoss::Resync
                    && rebuilds < REBUILDS =>
            {
                warn!(%failure, "building a new generation, as source.on_slot_loss says");
                (rebuild, rebuilds) = (true, rebuilds + 1);
            }
            Err(failure) => return Err(failure),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(End::Stopped),
            () = tokio::time::sleep(RELOAD_PAUSE) => {}
        }
    }
}

/// What outlives a round.
struct Began<'a> {
    /// What `run` has to reach, once that is known.
    goal: &'a mut Option<Lsn>,
    reached: &'a mut Reached,
    monitor: Arc<Monitor>,
}

/// From the gate to the end of the stream.
async fn round(
    config: Config,
    options: Options,
    began: Began<'_>,
    stop: &CancellationToken,
) -> Result<Round, Failure> {
    if !config.by_log() {
        return tables::round(config, options, began, stop).await;
    }
    let Began { goal, reached, monitor } = began;
    let prepared = tokio::select! {
        () = stop.cancelled() => return Ok(Round::End(End::Stopped)),
        prepared = prepare(config, options, goal, stop.clone(), monitor) => prepared?,
    };
    let Prepared { context, mut source, mut applier, mut spool, missing } = prepared;
    *reached = Reached::Prepared;
    let mut building = Building::of(&context, &missing);
    let ended =
        stream(&context, &mut source, &mut applier, *goal, spool.as_mut(), &mut building).await;
    if applier.sessions() > 0 {
        *reached = Reached::Stream;
    }
    building.end().await;
    if let Err(failure) = &ended
        && let Some((reason, at)) = failure.needs_resync()
    {
        give_up(&mut applier, reason, at).await?;
    }
    Ok(match ended? {
        session::End::Reload => Round::Reload,
        session::End::Stopped => {
            let visible = applier.visible();
            Round::End(match *goal {
                Some(goal) if visible >= goal => End::CaughtUp(visible),
                _ => End::Stopped,
            })
        }
    })
}

/// Brings out what is complete and keeps why it goes no further, so that `status` and the next start say so. Fails when the
/// state was changed on purpose, which may have cured it.
async fn give_up(applier: &mut Applier, reason: &str, at: Option<usize>) -> Result<(), Failure> {
    match tokio::time::timeout(DRAIN, applier.give_up(reason, at)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) if error.kind() == Kind::Superseded => return Err(error.into()),
        Ok(Err(error)) => warn!(%error, "the reason could not be kept with the state"),
        Err(_) => warn!("the target does not take the reason in time"),
    }
    Ok(())
}

/// Sessions, one after the other.
async fn stream(
    context: &Context,
    source: &mut Source,
    applier: &mut Applier,
    goal: Option<Lsn>,
    mut spool: Option<&mut Spool>,
    building: &mut Building,
) -> Result<session::End, Failure> {
    let mut pause = Duration::from_millis(50);
    let mut watch = Watch::new();
    loop {
        let began = applier.durable();
        let what = session::What { goal, building: &mut *building, watch: &mut watch };
        let ended = session::run(context, source, applier, spool.as_deref_mut(), what).await;
        match ended {
            Ok(end) => return Ok(end),
            // What keeps the first session from beginning is the user's to know.
            Err(failure)
                if failure.is_transient()
                    && !failure.is_cured_by_reload()
                    && applier.sessions() > 0
                    && !context.stop.is_cancelled() =>
            {
                warn!(%failure, "the stream broke off; connecting again");
                if applier.durable() > began {
                    pause = Duration::from_millis(50);
                }
            }
            Err(failure) => return Err(failure),
        }
        // What is complete goes out, and nothing may be in flight when the next session begins.
        tokio::select! {
            () = context.stop.cancelled() => return Ok(session::End::Stopped),
            drained = applier.drain() => drained?,
        }
        tokio::select! {
            () = context.stop.cancelled() => return Ok(session::End::Stopped),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
