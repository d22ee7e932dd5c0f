//! Everything before the stream: what is wrong with the configuration or the servers is found here, and the tables are
//! copied if they have not been. Nothing of it needs to be finished when it is left in the middle.

use std::sync::Arc;
use std::time::Duration;

use ::feed::Plugin;
use apply::letters::Letters;
use apply::{Applier, ApplierConfig, Indices, State, Store, Target, Version};
use change::Lsn;
use outbox::events::Events;
use snapshot::catalog;
use spool::Spool;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::rows::CurrentRows;
use super::{Options, beside, feed, gate, limits, load, point, watch};
use crate::config::Config;
use crate::events;
use crate::failure::Failure;
use crate::monitor::Monitor;
use crate::planned::{self, Planned};
use crate::position;
use crate::source::Source;
use crate::status::SourceStatus;

/// How often a connector that waits for a build looks whether it still has to.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What all parts of a run share.
pub(crate) struct Context {
    pub(crate) config: Config,
    pub(crate) target: Arc<Target>,
    pub(crate) planned: Vec<Planned>,
    pub(crate) system: wal::System,
    /// The slot of the connector whose indices these are; a build beside the stream has one of its own in `config`.
    pub(crate) owner: String,
    /// The configuration names no tables: those of the publication are followed, as they come and go.
    pub(crate) follows_publication: bool,
    /// Tables to be followed that are not among `planned`: their indices are being built, or this is the build of others.
    pub(crate) elsewhere: Vec<u32>,
    /// See [`State::capture`].
    pub(crate) capture: String,
    /// See [`State::read_to`].
    pub(crate) read_to: String,
    /// The table of events, if that is what is read.
    pub(crate) events: Option<Events>,
    /// Told to stop.
    pub(crate) stop: CancellationToken,
    /// Told what is going on.
    pub(crate) monitor: Arc<Monitor>,
}

impl Context {
    /// The version of the documents of a copy at `at`.
    pub(crate) fn copied(&self, at: Lsn) -> Version {
        match self.config.by_log() {
            true => Version::copied(at),
            false => Version::from_raw(outbox::COPIED),
        }
    }
}

/// Ready to stream.
pub(super) struct Prepared {
    pub(super) context: Context,
    pub(super) source: Source,
    pub(super) applier: Applier,
    pub(super) spool: Option<Spool>,
    /// The aliases whose indices have to be built.
    pub(super) missing: Vec<String>,
}

/// See the module. `goal` is set at the first time, if there is to be one.
pub(super) async fn prepare(
    config: Config,
    options: Options,
    goal: &mut Option<Lsn>,
    stop: CancellationToken,
    monitor: Arc<Monitor>,
) -> Result<Prepared, Failure> {
    let source = Source::connect(&config).await?;
    if options.until_caught_up && goal.is_none() {
        *goal = Some(position::current(&source.client).await?);
    }
    if options.rebuild {
        source.publication(&config).await?;
        source.renew_slot(&config).await?;
    }
    let (mut context, source) = survey(config, source, stop, monitor).await?;
    let mut store = store(&context, &source);
    let slot = gate::when_free(&context, &source).await?;
    let state = handed_over(&context, &source, &mut store).await?;
    let spool = feed::open_spool(&context).await?;
    let verdict = match options.rebuild {
        true => gate::rebuild(&context, &source, slot, state).await?,
        false => gate::check(&mut context, &source, slot, state).await?,
    };
    store.prepare().await?;
    limits::tell(&context, &source);
    let (mut state, indices, missing) = match verdict {
        gate::Verdict::Load(before) => {
            let before = before.map(|state| *state);
            let (state, indices) = load::load(&context, &source, &mut store, before).await?;
            (state, indices, Vec::new())
        }
        gate::Verdict::GoOn { state, indices, missing } => (*state, indices, missing),
    };
    let Context { target, system, owner, .. } = &context;
    apply::drop_unneeded_of_detached(target, &mut state).await?;
    beside::clean_up(target, system, &source, owner).await?;
    context.monitor.indices(state.generation, &indices);
    let applier = applier(&context, &source, store, indices, state).await?;
    Ok(Prepared { context, source, applier, spool, missing })
}

/// The state, once no build is about to change it that the connector has to wait for.
async fn handed_over(
    context: &Context,
    source: &Source,
    store: &mut Store,
) -> Result<Option<State>, Failure> {
    loop {
        let state = store.load().await?;
        match state {
            Some(state) if state.handing_over => {
                if !point::is_copying(source, &context.owner).await? {
                    // The build has gone.
                    return Ok(Some(State { handing_over: false, ..state }));
                }
            }
            state => return Ok(state),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The state document of the connector.
pub(super) fn store(context: &Context, source: &Source) -> Store {
    let system = &context.system.system_id;
    Store::new(context.target.clone(), system, &source.info.dbname, &context.config.source.slot)
}

/// An applier that goes on from `state`.
///
/// # Errors
/// The target does not tell which rows have no document.
pub(super) async fn applier(
    context: &Context,
    source: &Source,
    store: Store,
    indices: Indices,
    state: State,
) -> Result<Applier, Failure> {
    let pipeline = &context.config.pipeline;
    let config = ApplierConfig {
        limits: context.config.limits(),
        lanes: pipeline.lanes,
        check_every: context.config.target.check_interval,
        refresh: pipeline.refresh,
        keep: pipeline.keep_generation,
        zombie_limit: pipeline.zombie_limit,
    };
    let rows = Arc::new(CurrentRows::new(context, source));
    let letters = letters(context, &indices);
    letters.load().await?;
    context.monitor.letters(&letters);
    Ok(Applier::new(config, context.target.clone(), store, indices, state, rows, letters))
}

/// The dead letters of these indices.
pub(super) fn letters(context: &Context, indices: &Indices) -> Letters {
    let cap = context.config.pipeline.dead_letters.cap;
    Letters::new(context.target.clone(), indices.clone(), cap)
}

/// Looks at both servers and plans every index that the configuration asks for.
pub(crate) async fn survey(
    config: Config,
    source: Source,
    stop: CancellationToken,
    monitor: Arc<Monitor>,
) -> Result<(Context, Source), Failure> {
    let publication = source.publication(&config).await?;
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
    if config.plugin()? == Plugin::TestDecoding && source.version >= 180_000 {
        warn!(
            "Postgres 18 can end in a segmentation fault within test_decoding, when a transaction that was rolled back is \
             larger than logical_decoding_work_mem: raise that, or use source.plugin: pgoutput"
        );
    }
    let tables = source.tables(&config).await?;
    let events = match config.by_events() {
        true => tables.first().map(|table| events::described(&config, table)).transpose()?,
        false => None,
    };
    let mut planned = planned::plan(&config, tables, target.info(), events.as_ref())?;
    source.check_ids(&planned).await?;
    if events.is_none() {
        check_partitions(&source, &mut planned).await?;
    }
    let entries = catalog::entries(&source.client, &config.source.publication).await?;
    for one in &mut planned {
        one.index.membership = planned::membership(publication.oid, &entries, one.table.oid);
    }
    planned.iter().for_each(tell);
    let owner = config.source.slot.to_string();
    let follows_publication = config.indexes.is_none();
    let elsewhere = Vec::new();
    let context = Context {
        config,
        target,
        planned,
        system,
        owner,
        follows_publication,
        elsewhere,
        capture: String::new(),
        read_to: String::new(),
        events,
        stop,
        monitor,
    };
    Ok((context, source))
}

/// What a user should know about the documents of a table.
fn tell(one: &Planned) {
    for note in one.plan.notes() {
        debug!(table = %one.table.name, "{note}");
    }
    let large: Vec<String> = one.plan.toast_notes().into_iter().map(|note| note.column).collect();
    if !large.is_empty() {
        debug!(
            table = %one.table.name,
            columns = large.join(", "),
            "an update that leaves a large value (about 2 kB) of these columns alone does not send it: it is read from \
             the index. ALTER TABLE {} REPLICA IDENTITY FULL saves that",
            one.table.name.quoted()
        );
    }
}

/// The partitions of the planned tables, none of whose rows before a change would be misread.
async fn check_partitions(source: &Source, planned: &mut [Planned]) -> Result<(), Failure> {
    let oids: Vec<u32> = planned.iter().map(|one| one.table.oid).collect();
    for part in catalog::partitions(&source.client, &oids).await? {
        let Some(one) = planned.iter_mut().find(|one| one.table.oid == part.root) else { continue };
        if let Some((problem, remedy)) = watch::weaker(one, &part) {
            return Err(Failure::config(format!("{}: {problem}", one.table.name), remedy));
        }
        one.index.parts.push(part.oid);
    }
    Ok(())
}
