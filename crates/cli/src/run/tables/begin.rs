//! Before the first batch: is the queue there, or the table of events, is nobody else at it, does the state fit, and what has
//! to be copied?

use std::sync::Arc;
use std::time::Duration;

use apply::{Applier, Indices, Managed, State, Step};
use change::Lsn;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{Taker, events, lock_of};
use crate::config::Config;
use crate::failure::Failure;
use crate::monitor::Monitor;
use crate::position;
use crate::run::{ANEW, Context, Options, beside, gate, load, prepare};
use crate::source::Source;

/// How often a consumer that waits for its turn asks.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// So often before it gives up: ten seconds.
const ASK_FOR_A_REBUILD: u32 = 50;

/// Ready to take.
pub(super) struct Begun {
    pub(super) context: Context,
    pub(super) source: Source,
    pub(super) applier: Applier,
    pub(super) taker: Taker,
}

/// See the module.
pub(super) async fn begin(
    config: Config,
    options: Options,
    goal: &mut Option<Lsn>,
    stop: CancellationToken,
    monitor: Arc<Monitor>,
) -> Result<Begun, Failure> {
    let source = Source::connect(&config).await?;
    if options.until_caught_up && goal.is_none() {
        *goal = Some(position::current(&source.client).await?);
    }
    let (mut context, source) = prepare::survey(config, source, stop, monitor).await?;
    let mut taker = Taker::connect(&context, &source, "").await?;
    context.capture = taker.check(&context, &source).await?;
    take_turn(&mut taker, &context, options).await?;

    let mut store = prepare::store(&context, &source);
    let state = store.load().await?;
    let go_on = match &state {
        Some(state) if !options.rebuild => {
            let history = taker.session().history().await?;
            fits(&context, state, history)?
        }
        _ => false,
    };
    store.prepare().await?;
    let (mut state, indices) = match (go_on, state) {
        (true, Some(state)) => {
            let indices = managed(&context, &state);
            indices.check_standing(&context.target, &state).await?;
            indices.check(&context.target).await?;
            taker.go_on(&context, &state.read_to).await?;
            (state, indices)
        }
        (_, before) => {
            must_be_all_there(before.as_ref())?;
            let used = before.as_ref().map_or(0, |before| before.generation);
            gate::free_generation(&context, &source, used).await?;
            context.read_to = taker.before_copy(&context).await?;
            let loaded = load::load(&context, &source, &mut store, before).await?;
            taker.after_copy().await?;
            loaded
        }
    };
    let Context { target, system, owner, .. } = &context;
    apply::drop_unneeded_of_detached(target, &mut state).await?;
    beside::clean_up(target, system, &source, owner).await?;
    context.monitor.indices(state.generation, &indices);
    let mut applier = prepare::applier(&context, &source, store, indices, state).await?;
    applier.recall_suspects().await?;
    applier.begin_tables(context.events.is_some());
    Ok(Begun { context, source, applier, taker })
}

/// Without the events that were deleted, documents would be missing that only those made.
fn must_be_all_there(before: Option<&State>) -> Result<(), Failure> {
    match before.is_some_and(|before| events::is_incomplete(&before.read_to)) {
        false => Ok(()),
        true => Err(Failure::stop(
            "the indices can't be built anew: events that were in the index have been deleted (events.retention)",
            "bring the events back; or, to begin with those that are left, `wal2es teardown` first",
        )),
    }
}

/// One at a time: who comes later takes over when that one goes. One who is to build everything anew does not wait.
async fn take_turn(taker: &mut Taker, context: &Context, options: Options) -> Result<(), Failure> {
    let mut asked = 0;
    while !taker.session().lock(lock_of(context)).await? {
        if asked == 0 {
            info!("another process takes from it: waiting to take over");
        }
        if options.rebuild && asked == ASK_FOR_A_REBUILD {
            return Err(Failure::retry(
                "another process takes from this trigger queue, or reads these events",
                "stop `wal2es run` first",
            ));
        }
        asked += 1;
        tokio::time::sleep(ASK_EVERY).await;
    }
    Ok(())
}

/// Whether there is something to go on from.
fn fits(context: &Context, state: &State, history: (u32, Lsn)) -> Result<bool, Failure> {
    gate::same_connector(context, state)?;
    if let Some(reason) = &state.needs_resync {
        return Err(Failure::stop(reason.clone(), ANEW));
    }
    if state.step == Step::Copying {
        return Ok(false);
    }
    let (timeline, flushed) = history;
    if timeline != state.timeline || flushed < state.applied_lsn {
        return Err(Failure::rebuild(
            format!(
                "the server is on timeline {timeline} at {flushed}, the index on timeline {} at {}: it was restored, or a \
                 standby was promoted, and may give ids of entries that the index has seen",
                state.timeline, state.applied_lsn
            ),
            ANEW,
        ));
    }
    for one in &context.planned {
        let kept = gate::kept(state, one);
        if kept.is_none_or(|index| index.plan_hash != one.index.hash) {
            return Err(Failure::rebuild(
                format!(
                    "{}: there is no index yet, or columns, id or types have changed since it was made",
                    one.table.name
                ),
                ANEW,
            ));
        }
        let parts = kept.map(|index| &index.parts);
        if parts.is_some_and(|parts| parts.iter().any(|part| !one.index.parts.contains(part))) {
            return Err(Failure::rebuild(
                format!("{}: a partition went, with its rows", one.table.name),
                ANEW,
            ));
        }
    }
    Ok(true)
}

fn managed(context: &Context, state: &State) -> Indices {
    let found = context.planned.iter().filter_map(|one| Some((one, gate::kept(state, one)?)));
    let managed = (0..).zip(found);
    Indices::new(
        managed
            .map(|(number, (one, index))| Managed::new(one.index.clone(), index.clone(), number))
            .collect(),
    )
}
