//! The consistent point of a copy, and its lock.
//!
//! Both are of one connection: an advisory lock, so there is one copy at a time for each connector, whether it is its first
//! or one beside its stream; and the temporary slot that makes the point. Both go with the connection, so nothing holds the
//! log, nor the lock, when the copy is killed.

use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use snapshot::{Keeper, Snapshot};
use tracing::info;

use super::SLOT_PATIENCE;
use super::prepare::Context;
use crate::failure::Failure;
use crate::source::Source;

/// Room for what is put behind the name of the connector's slot, which has at most 63 bytes.
const LONGEST: usize = 58;
/// After this long it is worth a word that the server waits for transactions.
const SAY_AFTER: Duration = Duration::from_secs(3);

/// The name of the temporary slot of the connector of the slot `owner`.
pub(super) fn slot_of(owner: &str) -> String {
    // Names of slots are of ASCII letters, digits and underscores.
    format!("{}_next", owner.get(..LONGEST).unwrap_or(owner))
}

/// The key of the lock of a copy, of the database that the slot is of.
fn key_of(owner: &str) -> i64 {
    key("copy", owner)
}

/// The key of an advisory lock for `what`.
pub(super) fn key(what: &str, owner: &str) -> i64 {
    let digest = Sha256::digest(format!("wal2es {what} {owner}"));
    digest.iter().take(8).fold(0, |key, byte| key << 8 | i64::from(*byte))
}

/// A copy is under way for the connector of the slot `owner`: its first one, or a build beside it.
pub(crate) async fn is_copying(source: &Source, owner: &str) -> Result<bool, Failure> {
    Ok(try_lock(source, owner).await?.is_none())
}

/// The lock of the connector of the slot `owner`, if nobody has it.
pub(super) async fn try_lock(source: &Source, owner: &str) -> Result<Option<Keeper>, Failure> {
    let mut keeper = connect(source).await?;
    Ok(keeper.lock(key_of(owner)).await?.then_some(keeper))
}

async fn connect(source: &Source) -> Result<Keeper, Failure> {
    Ok(match source.by_log {
        true => Keeper::connect(&source.info).await?,
        false => Keeper::ordinary(&source.info).await?,
    })
}

/// Keeps all other copies of this connector away. One that was just cut off may be there for a moment.
pub(super) async fn lock(context: &Context, source: &Source) -> Result<Keeper, Failure> {
    let began = Instant::now();
    let mut keeper = connect(source).await?;
    while !keeper.lock(key_of(&context.owner)).await? {
        if began.elapsed() > SLOT_PATIENCE {
            return Err(Failure::retry(
                format!("another copy is under way for the connector {}", context.owner),
                "wait until that is done, or stop it; its lock goes with its connection (pg_locks, locktype advisory)",
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(keeper)
}

/// Makes the point. The server waits for every transaction that is running now, which may be long.
pub(super) async fn make(
    context: &Context,
    source: &Source,
    keeper: Keeper,
) -> Result<Snapshot, Failure> {
    if !context.config.by_log() {
        let snapshot = keeper.export().await?;
        // What it shows of asynchronous commits, a crash must not take back.
        outbox::Session::connect(&source.info).await?.until_flushed().await?;
        return Ok(snapshot);
    }
    let slot = slot_of(&context.owner);
    let mut made = std::pin::pin!(keeper.snapshot(&slot, &context.config.source.plugin));
    let made = tokio::select! {
        made = &mut made => made,
        () = tokio::time::sleep(SAY_AFTER) => {
            info!("waiting for the transactions that are open now: the copy begins when they have ended (pg_stat_activity, \
                   pg_prepared_xacts)");
            made.await
        }
    };
    Ok(made?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_temporary_slot_is_never_too_long() {
        assert_eq!(slot_of("wal2es"), "wal2es_next");
        assert_eq!(slot_of(&"s".repeat(63)).len(), 63);
        assert!(wal::slot_name(&slot_of(&"s".repeat(63))).is_ok());
    }

    #[test]
    fn each_connector_has_a_lock_of_its_own() {
        assert_eq!(key_of("wal2es"), key_of("wal2es"));
        assert_ne!(key_of("wal2es"), key_of("wal2es2"));
    }
}
