//! The consistent point of a copy, which is also its lock.
//!
//! The temporary slot that makes it has a name of the connector's own, so there is one copy at a time for each connector,
//! whether it is its first or one beside its stream; and it goes with its connection, so nothing holds the log when the copy
//! is killed.

use std::time::{Duration, Instant};

use snapshot::Snapshot;

use super::SLOT_PATIENCE;
use super::prepare::Context;
use crate::failure::Failure;
use crate::source::Source;

/// Room for what is put behind the name of the connector's slot, which has at most 63 bytes.
const LONGEST: usize = 58;

/// The name of the temporary slot of the connector of the slot `owner`.
pub(super) fn slot_of(owner: &str) -> String {
    // Names of slots are of ASCII letters, digits and underscores.
    format!("{}_next", owner.get(..LONGEST).unwrap_or(owner))
}

/// A copy is under way for the connector of the slot `owner`: its first one, or a build beside it.
pub(crate) async fn is_copying(source: &Source, owner: &str) -> Result<bool, Failure> {
    Ok(source.slot(&slot_of(owner)).await?.is_some())
}

/// Makes a consistent point. That of a copy that was just cut off may be there for a moment.
pub(super) async fn make(context: &Context, source: &Source) -> Result<Snapshot, Failure> {
    let slot = slot_of(&context.owner);
    let began = Instant::now();
    loop {
        let made = Snapshot::create(&source.info, &slot, &context.config.source.plugin).await;
        let error = match made {
            Ok(snapshot) => return Ok(snapshot),
            Err(error) => error,
        };
        // duplicate_object
        let taken = matches!(&error, snapshot::Error::Wal { source, .. }
            if source.db_error().is_some_and(|db| db.code == "42710"));
        if !taken {
            return Err(error.into());
        }
        if began.elapsed() > SLOT_PATIENCE {
            return Err(Failure::retry(
                format!("another copy is under way for this connector (the slot {slot} is there)"),
                "wait until that is done, or stop it; its slot goes with its connection",
            ));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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
}
