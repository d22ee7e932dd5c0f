//! `run` where a trigger queue takes the place of the log: see the crate [`outbox`] for why nothing is lost.
//!
//! ```text
//! ┌─► entries, all there are ──► rows as they are now ──► until they are on disk ──► applier ──► entries deleted
//! └───────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! Each batch of entries is one transaction to the applier, so it refreshes between them, never within. Its position is that
//! of the log before the entries were read, if there were no more: whoever waits for a position waits as with a slot.

mod begin;
mod follow;
mod wake;

use change::{Lsn, PgType};
use outbox::{Captured, Consumer, Queue};
use snapshot::catalog;
use tokio_util::sync::CancellationToken;

use super::{Began, Context, End, Options, Reached, Round};
use crate::config::Config;
use crate::failure::Failure;
use crate::source::Source;
use begin::Begun;

/// What triggers are for: every planned table with its partitions.
pub(crate) async fn captured(context: &Context, source: &Source) -> Result<Vec<Captured>, Failure> {
    let mut tables = Vec::new();
    for one in &context.planned {
        tables.push(Captured {
            oid: one.table.oid,
            name: one.table.name.clone(),
            key: one.plan.key_columns().map(str::to_owned).collect(),
            depends_on_settings: one.table.columns.iter().any(|column| {
                one.plan.key_columns().any(|key| key == column.name) && !is_plain(&column.ty)
            }),
            parts: catalog::descendants(&source.client, one.table.oid).await?,
        });
    }
    Ok(tables)
}

/// A value has the same text whatever a session has set.
fn is_plain(ty: &PgType) -> bool {
    use PgType::{Bool, Enum, Int2, Int4, Int8, Numeric, Oid, Text, Uuid};
    matches!(ty, Bool | Int2 | Int4 | Int8 | Oid | Numeric | Text | Uuid | Enum)
}

/// Nobody takes from the queue.
pub(crate) async fn is_free(config: &Config, source: &Source) -> Result<bool, Failure> {
    let queue = Queue::new(&config.queue.schema);
    let mut consumer = Consumer::connect(&source.info, queue.clone()).await?;
    match queue.look(consumer.session(), &[]).await?.queue {
        Some(oid) => Ok(consumer.lock(lock_of(&name_of(oid))).await?),
        None => Ok(true),
    }
}

/// What the state says of the queue.
fn name_of(oid: u32) -> String {
    format!("queue {oid}")
}

/// From the start to the end, or until the source goes away.
pub(super) async fn round(
    config: Config,
    options: Options,
    began: Began<'_>,
    stop: &CancellationToken,
) -> Result<Round, Failure> {
    let Began { goal, reached, monitor } = began;
    let queue = Queue::new(&config.queue.schema);
    let begun = tokio::select! {
        () = stop.cancelled() => return Ok(Round::End(End::Stopped)),
        begun = begin::begin(config, options, &queue, goal, stop.clone(), monitor) => begun?,
    };
    *reached = Reached::Stream;
    let Begun { context, mut source, mut applier, consumer } = begun;
    let ended = follow::follow(&context, &mut source, &mut applier, &queue, consumer, *goal).await;
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

/// The lock of the consumer of the queue.
fn lock_of(queue: &str) -> i64 {
    super::point::key("consumer", queue)
}

/// A position that nothing can be at yet.
const NEVER: Lsn = Lsn::new(u64::MAX);
