//! Mass deletes: keeps what the target has to remember of them within bounds, see [`crate::tombstones`].

use std::time::Instant;

use serde_json::json;
use tracing::{info, warn};

use super::Applier;
use crate::backoff::persist;
use crate::tombstones::{Before, LOWERED, USUAL};

/// Assumed where the target does not tell.
const SMALL_HEAP: u64 = 512 << 20;

/// What has been learned or done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tuned {
    /// The smallest heap has so many bytes.
    Heap(u64),
    /// `gc_deletes` of these indices is lowered.
    Lowered(Vec<String>),
    /// It is the usual one again everywhere.
    Restored,
    /// A flush that began then is over.
    Flushed(Instant),
}

impl Applier {
    /// There is room for the deletes of the batch. Else sees to it and tells when to look again.
    pub(super) fn makes_room_for_deletes(&mut self, now: Instant) -> Result<(), Option<Instant>> {
        if self.tuning.is_some() {
            return Err(None);
        }
        let deletes = self.batch.deletes();
        let target = self.target.clone();
        let names: Vec<String> = self.indices.states().into_iter().map(|s| s.index).collect();
        let before = match self.tombstones.before(deletes, now) {
            // A table was truncated meanwhile and goes on in an index that was made as usual.
            Before::Send
                if self.tombstones.is_lowered()
                    && deletes > 0
                    && !names.iter().all(|name| self.lowered.contains(name)) =>
            {
                Before::Lower
            }
            before => before,
        };
        match before {
            Before::Send => return Ok(()),
            Before::Wait(until) => return Err(Some(until)),
            Before::Flush => self.flush(names, now),
            Before::Ask => {
                self.tuning = Some(Box::pin(async move {
                    let heap = target.smallest_heap().await.unwrap_or_else(|error| {
                        warn!(%error, "how much heap the target has is not known: 512 MB is assumed");
                        None
                    });
                    Ok(Tuned::Heap(heap.unwrap_or(SMALL_HEAP)))
                }));
            }
            Before::Lower => {
                info!("so much is deleted that index.gc_deletes is {LOWERED} for a while");
                self.tuning = Some(Box::pin(async move {
                    for name in &names {
                        let settings = json!({ "index.gc_deletes": LOWERED });
                        persist(|| async { Ok(target.put_settings(name, &settings).await?) })
                            .await?;
                    }
                    Ok(Tuned::Lowered(names))
                }));
            }
        }
        Err(None)
    }

    /// Flushes what is written: searches see nothing of it, and the target can forget tombstones that are old enough.
    fn flush(&mut self, names: Vec<String>, now: Instant) {
        let target = self.target.clone();
        self.tuning = Some(Box::pin(async move {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            persist(|| async { Ok(target.flush(&names).await?) }).await?;
            Ok(Tuned::Flushed(now))
        }));
    }

    /// Puts `gc_deletes` back when it is time, or tells when it will be.
    pub(super) fn restore_gc_deletes(&mut self, now: Instant) -> Option<Instant> {
        let at = self.tombstones.restore_at(now)?;
        if at > now || self.tuning.is_some() {
            return Some(at).filter(|at| *at > now);
        }
        let (target, names) = (self.target.clone(), self.lowered.clone());
        self.tuning = Some(Box::pin(async move {
            for name in &names {
                let settings = json!({ "index.gc_deletes": USUAL });
                // One that was dropped meanwhile is no matter.
                persist(|| async { Ok(target.put_settings(name, &settings).await?) }).await?;
            }
            Ok(Tuned::Restored)
        }));
        None
    }

    /// It is done.
    pub(super) fn tuned(&mut self, tuned: Tuned) {
        self.tuning = None;
        match tuned {
            Tuned::Flushed(began) => self.tombstones.cleared(began),
            Tuned::Heap(bytes) => self.tombstones.heap(bytes),
            Tuned::Lowered(names) => {
                self.tombstones.set_lowered(true);
                self.lowered = names;
            }
            Tuned::Restored => {
                info!("index.gc_deletes is {USUAL} again");
                self.tombstones.set_lowered(false);
                self.lowered.clear();
            }
        }
    }
}
