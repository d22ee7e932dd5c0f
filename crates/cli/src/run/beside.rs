//! Indices built beside the stream: a new generation of some of them, or the first of a table that came later.
//!
//! The build has a temporary slot of its own, whose creation waits for every transaction that is running then: what such a
//! transaction wrote before the table was published is in the copy. It copies, follows its own stream until it is as far as
//! the connector, and puts its indices into the connector's state ([`merge`]). Whoever runs the connector reads the state
//! again and shows them; what readers see until then goes on as if nothing were. There is one build at a time, and neither its
//! lock nor its slot outlives its connection ([`point`]), so that nothing holds the log when a build is killed.
//!
//! The build keeps a state document of its own, so that whoever comes after an interruption finds its indices and drops
//! them ([`clean_up`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use apply::{Applier, Session, State, Step, Store, Target};
use snapshot::{Keeper, Snapshot};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wal::System;

use super::building::Building;
use super::prepare::{self, Context};
use super::session::{End, Follow, Left, Open};
use super::watch::Watch;
use super::{copy, feed, gate, limits, load, merge, point};
use crate::config::Config;
use crate::failure::Failure;
use crate::monitor::Monitor;
use crate::planned::Planned;
use crate::position;
use crate::source::Source;

/// How often a build is begun anew because a table was changed under it.
const ATTEMPTS: u32 = 3;
/// Between two attempts after a failure that may pass.
const PAUSE: Duration = Duration::from_secs(3);
/// How long the build tries to catch up with a connector that goes on, when it is nearly as far, and at all.
const HOLD_AFTER: Duration = Duration::from_secs(5);
const HOLD_AT_LAST: Duration = Duration::from_secs(60);
/// So many bytes of log are soon read.
const NEARLY: u64 = 64 << 20;
/// Between two looks at how far the connector is.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What to build.
#[derive(Clone, Debug)]
pub(crate) enum Scope {
    All,
    /// By alias; one that is not configured is an error.
    Named(Vec<String>),
    /// By alias, as far as they are configured still.
    Missing(Vec<String>),
}

/// What has been built.
pub(crate) struct Built {
    pub(crate) aliases: Vec<String>,
}

/// The run that a build is a part of.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) monitor: Arc<Monitor>,
    /// It takes nothing more of its stream, so that the build gets as far as it is.
    pub(crate) waits: Arc<AtomicBool>,
}

/// When both are as fast as the servers allow, the build never gets as far as the connector: so that one has to wait.
struct Hold<'a> {
    since: Instant,
    asked: bool,
    run: Option<&'a Run>,
}

impl Hold<'_> {
    /// Has the connector wait when the build is `behind` by so many bytes, and has been for long.
    async fn when_due(&mut self, main: &mut Store, behind: u64) -> Result<(), Failure> {
        let waited = self.since.elapsed();
        let due = waited > HOLD_AFTER && (behind < NEARLY || waited > HOLD_AT_LAST);
        if !due || self.asked {
            return Ok(());
        }
        info!(behind, "the connector waits for the build to be as far");
        self.asked = true;
        match self.run {
            Some(run) => run.waits.store(true, Ordering::Relaxed),
            None => merge::ask_to_wait(main).await?,
        }
        Ok(())
    }
}

/// Builds, for as long as it takes, what a running connector is missing.
pub(super) async fn build_until_done(
    config: Config,
    scope: Scope,
    stop: CancellationToken,
    run: Run,
) -> Result<(), Failure> {
    loop {
        match build(&config, &scope, &stop, Some(&run)).await {
            Err(failure) if failure.is_transient() && !stop.is_cancelled() => {
                warn!(%failure, "the build of new indices broke off; beginning anew");
            }
            other => return other.map(drop),
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

/// Builds, and gives what has become part of the connector's state. Nothing when told to stop.
pub(crate) async fn build(
    config: &Config,
    scope: &Scope,
    stop: &CancellationToken,
    run: Option<&Run>,
) -> Result<Option<Built>, Failure> {
    let mut used = 0;
    for _ in 0..ATTEMPTS {
        let told = run.map(|run| run.monitor.clone());
        let monitor = Arc::new(Monitor::of_build(config, stop.clone(), told));
        let began = Began { used: &mut used, monitor: monitor.clone(), run };
        let ended = attempt(config, scope, stop, began).await;
        if let Some(run) = run {
            run.waits.store(false, Ordering::Relaxed);
        }
        monitor.close();
        match ended? {
            Attempt::Built(built) => return Ok(Some(built)),
            Attempt::Stopped => return Ok(None),
            Attempt::Changed(why) => {
                warn!(%why, "a table was changed under the build: beginning anew");
            }
        }
    }
    Err(Failure::retry(
        "tables were changed during each attempt to build their indices",
        "try again when no ALTER TABLE, TRUNCATE, CLUSTER or VACUUM FULL runs on them",
    ))
}

enum Attempt {
    Built(Built),
    Stopped,
    Changed(String),
}

/// What an attempt is given.
struct Began<'a> {
    /// The number of the last generation that was begun.
    used: &'a mut u32,
    monitor: Arc<Monitor>,
    run: Option<&'a Run>,
}

async fn attempt(
    config: &Config,
    scope: &Scope,
    stop: &CancellationToken,
    began: Began<'_>,
) -> Result<Attempt, Failure> {
    let Began { used, monitor, run } = began;
    let source = Source::connect(config).await?;
    let (mut context, mut source) =
        prepare::survey(config.clone(), source, stop.clone(), monitor).await?;
    let mut main = prepare::store(&context, &source);
    connector_of(&mut main).await?;
    choose(&mut context, scope)?;
    if context.planned.is_empty() {
        return Ok(Attempt::Built(Built { aliases: Vec::new() }));
    }
    let keeper = point::lock(&context, &source).await?;
    // As the build before has left it, whose lock this was.
    let state = connector_of(&mut main).await?;
    context.config.source.slot = point::slot_of(&context.owner).as_str().into();
    context.follows_publication = false;
    let mut store = prepare::store(&context, &source);
    if let Some(left) = store.load().await? {
        *used = left.generation.max(*used);
        remove(&context.target, &mut store, &left, Some(&state)).await?;
    }
    let mut own = load::first_state(&context, &source);
    own.generation = gate::free_generation(&context, &source, state.generation.max(*used)).await?;
    *used = own.generation;
    own.needs_resync = state.needs_resync;
    let ended = tokio::select! {
        () = stop.cancelled() => Ok(Attempt::Stopped),
        ended = fill(&context, &mut source, &mut main, &mut store, own, keeper, run) => ended,
    };
    // Built or not: what is not part of the connector's state by now never will be.
    if let Err(failure) = remove_own(&context.target, &mut main, &mut store, *used).await {
        warn!(%failure, "the rest of the build could not be removed; the next start does");
    }
    ended
}

/// The state of the connector, which must have one to build beside.
async fn connector_of(main: &mut Store) -> Result<State, Failure> {
    let state = main.load().await?.ok_or_else(|| {
        Failure::config("nothing has run for this slot and target yet", "start `wal2es run` first")
    })?;
    if state.step == Step::Copying {
        return Err(Failure::retry(
            "the first copy is not complete",
            "wait for `wal2es run` to complete it, or start it again",
        ));
    }
    Ok(state)
}

/// The copy and the stream after it, until the indices are part of the connector's state.
async fn fill(
    context: &Context,
    source: &mut Source,
    main: &mut Store,
    store: &mut Store,
    mut own: State,
    keeper: Keeper,
    run: Option<&Run>,
) -> Result<Attempt, Failure> {
    let entry = |one: &Planned| {
        let mut entry = one.index.entry(own.generation, None);
        entry.held = true;
        entry
    };
    own.indexes = context.planned.iter().map(entry).collect();
    let (indices, replicas) = load::make_indices(context, store, &mut own).await?;
    let before = load::parts(context, source).await?;
    let snapshot = point::make(context, source, keeper).await?;
    info!(at = %snapshot.at, generation = own.generation, tables = context.planned.len(), "copying the tables");
    limits::watch(context, source);
    let loading = context.monitor.loading();
    let copied = tokio::select! {
        copied = copy::all(context, source, snapshot, &indices, replicas) => copied,
        held = limits::exceeded(context) => return Err(limits::held_by_a_build(context, held)),
    };
    drop(loading);
    let (copied, snapshot) = match copied {
        Err(failure) if failure.is_cured_by_copying_again() => {
            return Ok(Attempt::Changed(failure.cause().to_owned()));
        }
        _ if !load::are_as_planned(context, source).await? => {
            return Ok(Attempt::Changed("it was dropped or altered".to_owned()));
        }
        copied => copied?,
    };
    info!(rows = copied.rows.iter().sum::<u64>(), "copied all tables");
    own.step = Step::Streaming;
    own.applied_lsn = snapshot.at;
    store.keep_suspects(&indices, &mut own).await?;
    store.save(&own).await?;
    // The applier's own store goes on from the document as it is now.
    let mut store = prepare::store(context, source);
    store.load().await?;
    let mut applier = prepare::applier(context, source, store, indices, own).await?;
    catch_up(context, source, main, &mut applier, snapshot, &before, run).await
}

/// Follows the stream of the temporary slot until the indices can become part of the connector's state.
async fn catch_up(
    context: &Context,
    source: &mut Source,
    main: &mut Store,
    applier: &mut Applier,
    snapshot: Snapshot,
    before: &[u32],
    run: Option<&Run>,
) -> Result<Attempt, Failure> {
    let mut spool = feed::open_spool(context).await?;
    let options = feed::options(context, source)?;
    let options: Vec<_> = options.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let (slot, at) = (context.config.source.slot.to_string(), snapshot.at);
    let stream = snapshot.into_keeper().start_replication(&slot, at, &options).await?;
    // Nobody has written to these indices before.
    applier.begin_session(Session { replay_end: at });
    let mut open = Open::new(source, stream).await?;
    let mut feed = feed::open(context, source, applier, spool.as_mut())?;
    let (mut watch, mut building) = (Watch::new(), Building::of(context, &[]));
    watch.begin_session(context, source, &mut feed).await?;
    let Open { receiver, confirm, .. } = &mut open;
    let mut follow = Follow {
        context,
        source,
        applier,
        feed,
        watch: &mut watch,
        building: &mut building,
        confirm,
    };
    let mut hold = Hold { since: Instant::now(), asked: false, run };
    let ended = loop {
        let goal = position::current(&follow.source.client).await?;
        position::nudge(&follow.source.client).await?;
        match follow.follow(receiver, Some(goal)).await {
            Ok(Left::ForGood(_)) if context.stop.is_cancelled() => break Ok(Attempt::Stopped),
            Ok(Left::ForGood(End::Stopped)) => {}
            Ok(Left::ForGood(End::Reload)) => {
                break Ok(Attempt::Changed("the publication changed".to_owned()));
            }
            Ok(Left::SourceGone) => break Err(None),
            Err(failure) => match failure.needs_resync() {
                Some((why, _)) => break Ok(Attempt::Changed(why.to_owned())),
                None => break Err(Some(failure)),
            },
        }
        follow.applier.drain().await?;
        // The stream tells of a TRUNCATE, but not of a partition that went with its rows.
        if !load::has_parts(context, follow.source, before).await? {
            break Ok(Attempt::Changed("a partition went".to_owned()));
        }
        let all = context.elsewhere.is_empty();
        match merge::merge(main, &follow.applier.current_state(), all).await? {
            merge::Merged::Outdated(why) => break Ok(Attempt::Changed(why)),
            merge::Merged::Done => {
                let aliases = context.planned.iter().map(|one| one.index.alias.clone()).collect();
                break Ok(Attempt::Built(Built { aliases }));
            }
            merge::Merged::NotYet(behind) => {
                hold.when_due(main, behind).await?;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
    };
    match ended {
        Err(None) => Err(open.why_it_ended().await),
        Err(Some(failure)) => {
            open.abandon().await;
            Err(failure)
        }
        Ok(attempt) => {
            open.abandon().await;
            Ok(attempt)
        }
    }
}

/// Leaves the tables in the plan that are to be built.
fn choose(context: &mut Context, scope: &Scope) -> Result<(), Failure> {
    let (aliases, must_be_there): (&[String], &[String]) = match scope {
        Scope::All => return Ok(()),
        Scope::Named(aliases) => (aliases, aliases),
        Scope::Missing(aliases) => (aliases, &[]),
    };
    for alias in must_be_there {
        if !context.planned.iter().any(|one| one.index.alias == *alias) {
            let known: Vec<&str> =
                context.planned.iter().map(|one| one.index.alias.as_str()).collect();
            return Err(Failure::config(
                format!("there is no index {alias} in the configuration"),
                format!("name one of: {}", known.join(", ")),
            ));
        }
    }
    let others = context.planned.extract_if(.., |one| !aliases.contains(&one.index.alias));
    context.elsewhere = others.map(|one| one.table.oid).collect();
    Ok(())
}

/// Removes what a build has left that was interrupted, unless one is under way.
pub(crate) async fn clean_up(
    target: &Arc<Target>,
    system: &System,
    source: &Source,
    owner: &str,
) -> Result<(), Failure> {
    let of = |slot: &str| Store::new(target.clone(), &system.system_id, &source.info.dbname, slot);
    let mut store = of(&point::slot_of(owner));
    if store.load().await?.is_none() {
        return Ok(());
    }
    // What a build seems to have left may be the work of one that is under way.
    let Some(_lock) = point::try_lock(source, owner).await? else { return Ok(()) };
    let Some(left) = store.load().await? else { return Ok(()) };
    let state = of(owner).load().await?;
    remove(target, &mut store, &left, state.as_ref()).await
}

/// The same at the end of the build of `generation`. Its lock may have gone by now; the next build has another number.
async fn remove_own(
    target: &Target,
    main: &mut Store,
    store: &mut Store,
    generation: u32,
) -> Result<(), Failure> {
    match store.load().await? {
        Some(left) if left.generation == generation => {
            let state = main.load().await?;
            remove(target, store, &left, state.as_ref()).await
        }
        _ => Ok(()),
    }
}

/// Drops the indices that `left`, the document of a build, names and `state`, the connector's, does not; and the document.
async fn remove(
    target: &Target,
    store: &mut Store,
    left: &State,
    state: Option<&State>,
) -> Result<(), Failure> {
    let used = |name: &String| {
        let indexes = state.iter().flat_map(|state| state.indexes.iter().chain(&state.detached));
        indexes.flat_map(|index| index.all()).any(|used| used == name)
    };
    for name in left.indexes.iter().flat_map(|index| index.all()).filter(|name| !used(name)) {
        target.delete_index(name).await?;
    }
    store.delete_unless_changed().await?;
    Ok(())
}
