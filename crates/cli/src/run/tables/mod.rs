//! `run` where tables take the place of the log: a trigger queue, or events. See the crate [`outbox`] for why nothing is lost.
//!
//! ```text
//! ┌─► what there is ──► the documents that it makes ──► until that is on disk ──► applier ──► that is dealt with
//! └───────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`Taker`] is what differs: entries of a queue are about rows as they are now, and are deleted when the index has them;
//! events are what they are, and the state says how far they were read. Each batch is one transaction to the applier, so it
//! refreshes between them, never within. Its position is that of the log before the batch was read, if there was no more:
//! whoever waits for a position waits as with a slot.

mod begin;
mod events;
mod follow;
mod queue;
mod taker;
mod wake;
mod watched;

use apply::State;
use change::Lsn;
use tokio_util::sync::CancellationToken;

use super::{Began, Context, End, Options, Reached, Round};
use crate::config::Config;
use crate::failure::Failure;
use crate::source::Source;
use begin::Begun;
pub(crate) use events::is_incomplete;
pub(crate) use queue::{captured, is_free};
use taker::{Batch, Receipt, Taker, Write};

/// From the start to the end, or until the source goes away.
pub(super) async fn round(
    config: Config,
    options: Options,
    began: Began<'_>,
    stop: &CancellationToken,
) -> Result<Round, Failure> {
    let Began { goal, reached, monitor } = began;
    let begun = tokio::select! {
        () = stop.cancelled() => return Ok(Round::End(End::Stopped)),
        begun = begin::begin(config, options, goal, stop.clone(), monitor) => begun?,
    };
    *reached = Reached::Stream;
    let Begun { context, mut source, mut applier, taker } = begun;
    let ended = follow::follow(&context, &mut source, &mut applier, taker, *goal).await;
    if let Err(failure) = &ended
        && let Some((reason, at)) = failure.needs_resync()
    {
        super::give_up(&mut applier, reason, at).await?;
    }
    ended?;
    let visible = applier.visible();
    Ok(Round::End(match *goal {
        Some(goal) if visible >= goal => End::CaughtUp(visible),
        _ => End::Stopped,
    }))
}

/// The lock of whoever takes. A queue is one connector's; each reader of events has a place of its own.
fn lock_of(context: &Context) -> i64 {
    match context.events {
        None => queue::lock_of(&context.capture),
        Some(_) => lock_of_reader(&context.owner, &context.capture),
    }
}

fn lock_of_reader(owner: &str, capture: &str) -> i64 {
    super::point::key("reader", &format!("{owner} {capture}"))
}

/// Nobody reads the events that the state is of.
pub(crate) async fn is_unread(source: &Source, state: &State) -> Result<bool, Failure> {
    let mut session = outbox::Session::connect(&source.info).await?;
    Ok(session.lock(lock_of_reader(&state.slot, &state.capture)).await?)
}

/// A position that nothing can be at yet.
const NEVER: Lsn = Lsn::new(u64::MAX);
