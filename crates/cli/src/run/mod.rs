//! The command `run`: the gate, the first load, and sessions of the stream until told to stop.
//!
//! ```text
//! gate ──► first load (once) ──► session ──► session ──► … ──► drain
//! ```
//!
//! A session ends when the source goes away; the applier lives on and the next session begins at what is durable. A
//! target that goes away does not end anything: deliveries wait for it.

mod copy;
mod feed;
mod gate;
mod limits;
mod load;
mod session;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use ::feed::Plugin;
use apply::{Applier, ApplierConfig, Reports, Store, Target};
use change::Lsn;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Config;
use crate::failure::Failure;
use crate::monitor::Monitor;
use crate::planned::{self, Planned};
use crate::position;
use crate::source::Source;
use crate::status::SourceStatus;
use spool::Spool;
use watch::Watch;

/// How long the end may take: what is in flight, the refresh, the state.
const DRAIN: Duration = Duration::from_secs(20);
/// A connection that was cut off may hold the slot until the server notices.
const SLOT_PATIENCE: Duration = Duration::from_secs(10);
/// The way out of what the stream alone can't mend.
pub(crate) const ANEW: &str =
    "build the index anew: `wal2es teardown --indices`, `wal2es setup`, `wal2es run`";
/// The longest pause between two attempts to reach the source.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// What `run` was asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Options {
    pub(crate) until_caught_up: bool,
}

/// What all parts of a run share.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) target: Arc<Target>,
    pub(crate) planned: Vec<Planned>,
    pub(crate) system: wal::System,
    /// Told to stop.
    pub(crate) stop: CancellationToken,
    /// Told what is going on.
    pub(crate) monitor: Arc<Monitor>,
}

/// How a run ended that nothing went wrong with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It was told to stop.
    Stopped,
    /// Everything that was asked for is searchable, and everything up to here.
    CaughtUp(Lsn),
}

/// Runs until `stop`, or until caught up if asked so.
pub(crate) async fn run(
    config: Config,
    options: Options,
    stop: CancellationToken,
    monitor: Arc<Monitor>,
) -> Result<End, Failure> {
    let prepared = tokio::select! {
        () = stop.cancelled() => return Ok(End::Stopped),
        prepared = prepare(config, options, stop.clone(), monitor) => prepared?,
    };
    let Prepared { context, mut source, mut applier, goal, mut spool } = prepared;
    let streamed = stream(&context, &mut source, &mut applier, goal, spool.as_mut()).await;
    if let Err(failure) = &streamed
        && let Some(reason) = failure.needs_resync()
    {
        give_up(&mut applier, reason).await;
    }
    streamed?;
    let visible = applier.visible();
    Ok(if goal.is_some_and(|goal| visible >= goal) { End::CaughtUp(visible) } else { End::Stopped })
}

/// Ready to stream.
struct Prepared {
    context: Context,
    source: Source,
    applier: Applier,
    goal: Option<Lsn>,
    spool: Option<Spool>,
}

/// Everything before the stream: what is wrong with the configuration or the servers is found here, and the tables are
/// copied if they have not been. Nothing of it needs to be finished when it is left in the middle.
async fn prepare(
    config: Config,
    options: Options,
    stop: CancellationToken,
    monitor: Arc<Monitor>,
) -> Result<Prepared, Failure> {
    let source = Source::connect(&config).await?;
    let goal = match options.until_caught_up {
        true => Some(position::current(&source.client).await?),
        false => None,
    };
    source.publication(&config).await?;
    source.usable_slot(&config).await?;
    source.encoding(&config).await?;
    let system = source.identify().await?;
    let target = Arc::new(Target::connect(&config.target()).await?);
    info!(
        postgres = source.version,
        target = %target.info(),
        database = %source.info.dbname,
        slot = %config.source.slot,
        "connected"
    );
    monitor.connected(SourceStatus::of(&system, &source), target.info().to_string());
    limits::watch(&monitor, &config, &source);
    if config.plugin()? == Plugin::TestDecoding && source.version >= 180_000 {
        warn!(
            "Postgres 18 can end in a segmentation fault within test_decoding, when a transaction that was rolled back is \
             larger than logical_decoding_work_mem: raise that, or use source.plugin: pgoutput"
        );
    }
    let tables = source.tables(&config).await?;
    let planned = planned::plan(&config, tables, target.info())?;
    source.check_ids(&planned).await?;
    check_partitions(&source, &planned).await?;
    for one in &planned {
        for note in one.plan.notes() {
            debug!(table = %one.table.name, "{note}");
        }
        let large: Vec<String> =
            one.plan.toast_notes().into_iter().map(|note| note.column).collect();
        if !large.is_empty() {
            warn!(
                table = %one.table.name,
                columns = large.join(", "),
                "an update that leaves a large value (about 2 kB) of these columns alone will stop the connector; \
                 ALTER TABLE {} REPLICA IDENTITY FULL prevents it",
                one.table.name.quoted()
            );
        }
    }
    let mut store =
        Store::new(target.clone(), &system.system_id, &source.info.dbname, &config.source.slot);
    store.prepare().await?;
    let (system_id, slot) = (&system.system_id, &config.source.slot);
    let reports = Reports::new(target.clone(), system_id, &source.info.dbname, slot);
    limits::report(&monitor, reports);
    let state = store.load().await?;
    let context = Context { config, target, planned, system, stop, monitor };
    let spool = feed::open_spool(&context).await?;
    let (state, indices) = match gate::check(&context, &source, state).await? {
        gate::Verdict::Load(interrupted) => {
            load::first_load(&context, &source, &mut store, interrupted.map(|state| *state)).await?
        }
        gate::Verdict::GoOn(state, indices) => (*state, indices),
    };
    context.monitor.indices(state.generation, &indices);
    let config = &context.config;
    let applier_config =
        ApplierConfig { limits: config.limits(), refresh: config.pipeline.refresh };
    let applier = Applier::new(applier_config, context.target.clone(), store, indices, state);
    Ok(Prepared { context, source, applier, goal, spool })
}

/// Partitions whose rows before a change would be misread.
async fn check_partitions(source: &Source, planned: &[Planned]) -> Result<(), Failure> {
    let oids: Vec<u32> = planned.iter().map(|one| one.table.oid).collect();
    let parts = snapshot::catalog::partitions(&source.client, &oids).await?;
    for part in &parts {
        let root = planned.iter().find(|one| one.table.oid == part.root);
        if let Some((one, (problem, remedy))) =
            root.and_then(|one| Some((one, watch::weaker(one, part)?)))
        {
            return Err(Failure::config(format!("{}: {problem}", one.table.name), remedy));
        }
    }
    Ok(())
}

/// Brings out what is complete and keeps why it goes no further, so that `status` and the next start say so.
async fn give_up(applier: &mut Applier, reason: &str) {
    match tokio::time::timeout(DRAIN, applier.give_up(reason)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "the reason could not be kept with the state"),
        Err(_) => warn!("the target does not take the reason in time"),
    }
}

/// Sessions, one after the other.
async fn stream(
    context: &Context,
    source: &mut Source,
    applier: &mut Applier,
    goal: Option<Lsn>,
    mut spool: Option<&mut Spool>,
) -> Result<(), Failure> {
    let mut pause = Duration::from_millis(50);
    let mut watch = Watch::new();
    loop {
        let began = applier.durable();
        let ended =
            session::run(context, source, applier, goal, spool.as_deref_mut(), &mut watch).await;
        match ended {
            Ok(()) => return Ok(()),
            // What keeps the first session from beginning is the user's to know.
            Err(failure)
                if failure.is_transient()
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
            () = context.stop.cancelled() => return Ok(()),
            drained = applier.drain() => drained?,
        }
        tokio::select! {
            () = context.stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
