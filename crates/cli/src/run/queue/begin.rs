//! Before the first entry: is the queue there, is nobody else at it, does the state fit, and what has to be copied?

use std::sync::Arc;
use std::time::Duration;

use apply::{Applier, Indices, Managed, State, Step};
use change::Lsn;
use outbox::{Consumer, Installed, Queue};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{captured, lock_of, name_of};
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
const SETUP: &str = "run `wal2es setup`";

/// Ready to take entries.
pub(super) struct Begun {
    pub(super) context: Context,
    pub(super) source: Source,
    pub(super) applier: Applier,
    pub(super) consumer: Consumer,
}

/// See the module.
pub(super) async fn begin(
    config: Config,
    options: Options,
    queue: &Queue,
    goal: &mut Option<Lsn>,
    stop: CancellationToken,
    monitor: Arc<Monitor>,
) -> Result<Begun, Failure> {
    let source = Source::connect(&config).await?;
    if options.until_caught_up && goal.is_none() {
        *goal = Some(position::current(&source.client).await?);
    }
    let (mut context, source) = prepare::survey(config, source, stop, monitor).await?;
    let mut consumer = Consumer::connect(&source.info, queue.clone()).await?;
    let tables = captured(&context, &source).await?;
    let installed = queue.look(consumer.session(), &tables).await?;
    context.capture = must_be_installed(&context, installed)?;
    must_be_ours(&context, &mut consumer).await?;
    take_turn(&mut consumer, &context.capture, options).await?;

    let mut store = prepare::store(&context, &source);
    let state = store.load().await?;
    let go_on = match &state {
        Some(state) if !options.rebuild => {
            let history = consumer.history().await?;
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
            (state, indices)
        }
        (_, before) => {
            let used = before.as_ref().map_or(0, |before| before.generation);
            gate::free_generation(&context, &source, used).await?;
            consumer.remember().await?;
            let loaded = load::load(&context, &source, &mut store, before).await?;
            consumer.forget().await?;
            loaded
        }
    };
    let Context { target, system, owner, .. } = &context;
    apply::drop_unneeded_of_detached(target, &mut state).await?;
    beside::clean_up(target, system, &source, owner).await?;
    context.monitor.indices(state.generation, &indices);
    let mut applier = prepare::applier(&context, &source, store, indices, state).await?;
    applier.recall_suspects().await?;
    applier.begin_queue();
    Ok(Begun { context, source, applier, consumer })
}

/// What the state says of the queue.
fn must_be_installed(context: &Context, installed: Installed) -> Result<String, Failure> {
    let schema = &context.config.queue.schema;
    if let Some(mark) = installed.other {
        return Err(Failure::config(
            format!("the table {schema}.queue is not this version's: it says {mark:?}"),
            "name another schema (queue.schema), or `wal2es teardown` with the version that made it",
        ));
    }
    let Some(oid) = installed.queue else {
        return Err(Failure::config(format!("there is no trigger queue {schema}.queue"), SETUP));
    };
    if !installed.without.is_empty() {
        let tables = installed.without.join(", ");
        return Err(Failure::config(
            format!("changes are not captured, or by other keys than those of the index: {tables}"),
            format!("{SETUP}, and `wal2es resync` if the table was written to meanwhile"),
        ));
    }
    if !installed.strays.is_empty() {
        return Err(Failure::config(
            format!("no partitions any more, and still captured: {}", installed.strays.join(", ")),
            format!("{SETUP}, which takes their triggers away, and then `wal2es resync`"),
        ));
    }
    if !installed.subscribed.is_empty() {
        return Err(Failure::config(
            format!(
                "a subscription writes to {}, and fires no statement triggers",
                installed.subscribed.join(", ")
            ),
            "index the tables of the publisher, or use source.capture: slot",
        ));
    }
    Ok(name_of(oid))
}

/// Two connectors would each miss what the other has taken.
async fn must_be_ours(context: &Context, consumer: &mut Consumer) -> Result<(), Failure> {
    match consumer.claim(&context.owner).await? {
        Some(owner) if owner != context.owner => Err(Failure::config(
            format!(
                "the trigger queue {}.queue is that of the connector {owner}",
                context.config.queue.schema
            ),
            "give this one a schema of its own (queue.schema), and run `wal2es setup`",
        )),
        _ => Ok(()),
    }
}

/// One consumer at a time: who comes later takes over when that one goes. One who is to build everything anew does not wait.
async fn take_turn(consumer: &mut Consumer, queue: &str, options: Options) -> Result<(), Failure> {
    let mut asked = 0;
    while !consumer.lock(lock_of(queue)).await? {
        if asked == 0 {
            info!("another process takes from this queue: waiting to take over");
        }
        if options.rebuild && asked == ASK_FOR_A_REBUILD {
            return Err(Failure::retry(
                "another process takes from this trigger queue",
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
