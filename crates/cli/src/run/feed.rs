//! The stream's side of a session: its options, its feed, and what a failure of it means.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use ::feed::{Feed, FeedError, Plugin, Shape, Sink};
use apply::{Applier, Origin, Version};
use change::{CommitLsn, Lsn};
use decode::pgoutput::Protocol;
use decode::test_decoding;
use document::{DocumentError, Partial};
use sha2::{Digest as _, Sha256};
use spool::{Spool, SpoolError};

use super::{ANEW, Context, SLOT_PATIENCE};
use crate::failure::Failure;
use crate::planned::columns_of;
use crate::source::Source;

/// The applier as the feed sees it.
pub(super) struct Into<'a>(pub(super) &'a mut Applier);

impl Sink for Into<'_> {
    type Change = (Version, Origin);

    fn begin(&mut self, commit: CommitLsn, xid: u32, committed_at: Duration) {
        self.0.begin(commit, xid, committed_at);
    }

    #[inline]
    fn change(&mut self) -> Self::Change {
        self.0.next_change()
    }

    #[inline]
    fn index(
        &mut self,
        at: usize,
        id: &[u8],
        change: Self::Change,
        source: impl FnOnce(&mut Vec<u8>) -> Result<(), DocumentError>,
    ) -> Result<(), DocumentError> {
        self.0.index(at, id, change, source)
    }

    fn partial(
        &mut self,
        at: usize,
        id: &[u8],
        before: Option<&[u8]>,
        change: Self::Change,
        partial: &Partial,
    ) {
        self.0.partial(at, id, before, change, partial);
    }

    fn refuse(&mut self, at: usize, id: &[u8], change: Self::Change, error: &DocumentError) {
        self.0.refuse(at, id, change, error.to_string());
    }

    fn delete(&mut self, at: usize, id: &[u8], change: Self::Change) {
        self.0.delete(at, id, change);
    }

    fn shape(&mut self, at: usize, shape: &Shape) {
        self.0.columns(at, columns_of(shape));
    }

    fn commit(&mut self, end: Lsn) {
        self.0.commit(end);
    }
}

/// What the output plugin is told at the start of the stream.
pub(super) fn options(
    context: &Context,
    source: &Source,
) -> Result<Vec<(&'static str, String)>, Failure> {
    let config = &context.config.source;
    let own = |options: Vec<(&'static str, &'static str)>| {
        options.into_iter().map(|(name, value)| (name, value.to_owned())).collect::<Vec<_>>()
    };
    Ok(match context.config.plugin()? {
        Plugin::PgOutput => {
            let mut options = own(Protocol::negotiate(source.version, config.streaming).options());
            options.push(("publication_names", wal::publication_names(&[&config.publication])));
            options
        }
        Plugin::TestDecoding => own(test_decoding::options()),
    })
}

/// Where held transactions are kept, if the stream may bring any.
pub(super) async fn open_spool(context: &Context) -> Result<Option<Spool>, Failure> {
    let config = &context.config.source;
    if context.config.plugin()? == Plugin::PgOutput && !config.streaming {
        return Ok(None);
    }
    let parent = match &config.spill_dir {
        Some(dir) => PathBuf::from(dir.as_str()),
        None => std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/var/tmp"), PathBuf::from),
    };
    let system = &context.system;
    let database = system.database.as_deref().unwrap_or_default();
    let dir = parent.join(directory_name(&system.system_id, database, &config.slot));
    let began = Instant::now();
    loop {
        match Spool::open(&dir, config.spill_memory) {
            Ok(spool) => return Ok(Some(spool)),
            // The process before us may still be finishing; the slot is waited for in the same way.
            Err(error @ SpoolError::InUse { .. }) if began.elapsed() > SLOT_PATIENCE => {
                return Err(Failure::retry(
                    format!("the slot {} is in use: {error}", config.slot),
                    "is a second wal2es running on this slot? Stop one of them",
                ));
            }
            Err(SpoolError::InUse { .. }) => tokio::time::sleep(Duration::from_millis(100)).await,
            Err(error) => return Err(Failure::config(error.to_string(), remedy(&error))),
        }
    }
}

/// A database may have any name; that of a directory has letters and digits, and a digest where others had to go.
fn directory_name(system: &str, database: &str, slot: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut name = format!("wal2es-{system}-{slot}-{}", database.replace(|c| !plain(c), "-"));
    if !database.chars().all(plain) {
        let digest = Sha256::digest(database);
        name.extend(digest.iter().take(4).map(|byte| format!("{byte:02x}")));
    }
    name
}

/// The reader of one session.
pub(super) fn open<'a>(
    context: &'a Context,
    source: &Source,
    applier: &Applier,
    spool: Option<&'a mut Spool>,
) -> Result<Feed<'a>, Failure> {
    let states = applier.indexes();
    let since = states.iter().map(|index| index.since);
    let followed = context.planned.iter().zip(since).map(|(one, since)| one.followed(since));
    let followed = followed.collect();
    let shapes = states.iter().map(|index| crate::planned::shape_of(&index.columns)).collect();
    match (context.config.plugin()?, spool) {
        (Plugin::TestDecoding, Some(spool)) => Ok(Feed::test_decoding(followed, shapes, spool)),
        (_, spool) => {
            let protocol = Protocol::negotiate(source.version, context.config.source.streaming);
            let chosen = !context.follows_publication;
            Ok(Feed::pgoutput(protocol, followed, shapes, chosen, spool))
        }
    }
}

fn remedy(error: &SpoolError) -> String {
    format!("{}; nothing was confirmed that is not in the index", error.remedy())
}

impl From<FeedError> for Failure {
    fn from(error: FeedError) -> Self {
        let message = error.to_string();
        match error {
            FeedError::Decode { .. } | FeedError::NoSpool => Failure::stop(
                message,
                "report this with the version of Postgres; nothing was skipped or confirmed",
            ),
            FeedError::Document { table, source: DocumentError::Unchanged { .. }, .. } => {
                Failure::stop(
                    message,
                    format!(
                        "ALTER TABLE {} REPLICA IDENTITY FULL (and of each partition, if it has any), then {ANEW}; or leave the \
                     column out with `exclude`",
                        table.quoted()
                    ),
                )
            }
            FeedError::Document { .. } => Failure::stop(
                message,
                "leave the column out with `exclude` and build the index anew; nothing was skipped or confirmed",
            ),
            FeedError::Resync(resync) => Failure::resync(message, ANEW, Some(resync.at)),
            FeedError::Spool(error) => Failure::stop(message, remedy(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_for_any_database() {
        assert_eq!(directory_name("7", "shop", "wal2es"), "wal2es-7-wal2es-shop");
        assert_eq!(directory_name("7", "../a b", "s"), "wal2es-7-s----a-b2c2c791a");
        assert_ne!(directory_name("7", "a b", "s"), directory_name("7", "a c", "s"));
        let longest = directory_name("18446744073709551615", &"%".repeat(63), &"s".repeat(63));
        assert!(longest.len() < 255, "{}", longest.len());
    }
}
