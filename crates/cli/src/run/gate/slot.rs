//! Is the slot the one that this index was made from, and has it kept what comes next?
//!
//! A slot that is gone, invalid or further than the index has a gap behind it, and a stream from it says nothing of that:
//! asked for a position that it has left behind, the server starts where it likes. So the catalog is asked before every
//! session, and once more when the server refuses to start one.

use std::time::{Duration, Instant};

use apply::State;
use change::Lsn;

use super::super::{ANEW, Context, SLOT_PATIENCE};
use crate::failure::Failure;
use crate::source::{Slot, Source};

/// The slot, if it is there, of our plugin and of our database.
pub(super) async fn found(context: &Context, source: &Source) -> Result<Option<Slot>, Failure> {
    let slot = source.slot(&context.config.source.slot).await?;
    if let Some(slot) = &slot {
        source.fits(&context.config, slot)?;
    }
    Ok(slot)
}

/// The same once nobody reads it: the connector before us may still be bringing out its last changes, and what it writes to
/// the state then is what the slot has to be compared with.
pub(in crate::run) async fn when_free(
    context: &Context,
    source: &Source,
) -> Result<Option<Slot>, Failure> {
    let began = Instant::now();
    loop {
        let slot = found(context, source).await?;
        if slot.as_ref().is_none_or(|slot| slot.active_pid.is_none()) {
            return Ok(slot);
        }
        if began.elapsed() > SLOT_PATIENCE {
            return Err(in_use(source, &context.config.source.slot).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Another connection reads the slot.
pub(in crate::run) async fn in_use(source: &Source, name: &str) -> Failure {
    let slot = source.slot(name).await.ok().flatten();
    let pid = slot.and_then(|slot| slot.active_pid);
    let pid = pid.map_or(String::new(), |pid| format!(" (process {pid} of Postgres)"));
    Failure::retry(
        format!("the slot {name} is in use by another connection{pid}"),
        "is a second wal2es running on this slot? Stop one of them",
    )
}

/// Nothing was streamed yet, so any slot will do that can be read at all.
pub(super) fn must_be_readable(context: &Context, slot: Option<&Slot>) -> Result<(), Failure> {
    let name = &context.config.source.slot;
    let slot = slot.ok_or_else(|| Source::no_slot(name))?;
    match slot.invalid() {
        None => Ok(()),
        Some(why) => Err(Failure::stop(
            format!("the slot {name} can't be read any more: {}", why.cause),
            format!(
                "SELECT pg_drop_replication_slot({}), then `wal2es setup`; {}",
                wal::literal(name),
                why.prevention
            ),
        )),
    }
}

/// The index is at `at`: the slot must be there and whole.
pub(super) fn must_be_whole(
    context: &Context,
    slot: Option<Slot>,
    at: Lsn,
) -> Result<Slot, Failure> {
    let name = &context.config.source.slot;
    let Some(slot) = slot else {
        return Err(Failure::rebuild(
            format!(
                "the slot {name} is gone: the index is at {at}, and what came later is lost to it"
            ),
            ANEW,
        ));
    };
    if let Some(why) = slot.invalid() {
        return Err(Failure::rebuild(
            format!("the slot {name} can't be read any more: {} (the index is at {at})", why.cause),
            format!("{ANEW}; {}", why.prevention),
        ));
    }
    Ok(slot)
}

/// Nothing that comes after `at` was confirmed by anybody.
pub(super) fn must_not_be_ahead(context: &Context, slot: &Slot, at: Lsn) -> Result<(), Failure> {
    let name = &context.config.source.slot;
    match slot.confirmed.filter(|ahead| *ahead > at) {
        None => Ok(()),
        Some(ahead) => Err(Failure::rebuild(
            format!(
                "the slot {name} is at {ahead}, ahead of the index at {at}: changes in between are lost (the slot was made \
                 anew, or advanced by somebody)"
            ),
            ANEW,
        )),
    }
}

/// Why the server did not start the stream: what its catalog says of the slot, if that explains it.
pub(in crate::run) async fn explain(
    context: &Context,
    source: &Source,
    at: Lsn,
    error: wal::Error,
) -> Failure {
    match found(context, source).await.and_then(|slot| must_be_whole(context, slot, at)) {
        Err(failure) if !failure.is_transient() => failure,
        _ => error.into(),
    }
}

/// What is in the index is on every standby that could be promoted: the slot goes with a failover, and it is sent nothing
/// that the standbys have not got.
pub(super) async fn is_on_standbys(source: &Source, slot: &Slot) -> Result<bool, Failure> {
    if !slot.failover {
        return Ok(false);
    }
    const QUERY: &str = "SELECT pg_catalog.current_setting('synchronized_standby_slots', true)";
    let row = source.client.query_one(QUERY, &[]).await?;
    Ok(row.get::<_, Option<&str>>(0).is_some_and(|slots| !slots.trim().is_empty()))
}

/// The timeline is that of the index, or one that began with all that is in the index. The state goes on with it.
pub(super) fn must_be_on_its_timeline(
    context: &Context,
    state: &mut State,
    slot: Option<&Slot>,
) -> Result<(), Failure> {
    let now = context.system.timeline;
    if state.timeline == now {
        return Ok(());
    }
    if state.failover && now > state.timeline && slot.is_some_and(|slot| slot.failover) {
        tracing::info!(
            before = state.timeline,
            now,
            "a standby was promoted that had all of the index"
        );
        state.timeline = now;
        return Ok(());
    }
    Err(Failure::rebuild(
        format!(
            "Postgres is on timeline {now}, the index on {}: a standby was promoted or a backup restored, which may lack \
             what the index has",
            state.timeline
        ),
        ANEW,
    ))
}
