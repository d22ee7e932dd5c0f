//! Which description each OID stands for: in the session, and in the transaction that is being read again.
//!
//! The server keeps book of the descriptions that it has sent, for the session and apart from it for each streamed
//! transaction, because it can't know when that will be applied. So a streamed transaction carries every Relation that
//! its rows need, and they mean nothing to anyone else before it is released: while it is read again its OIDs are
//! looked up among its own descriptions only, and one that is not there is an error, not a reason to look elsewhere.
//!
//! Once the transaction has committed the server takes the session to know what it has sent within it, and does not
//! send it again. But meanwhile the table may have changed and a newer description have come with another
//! transaction: the older must not replace it. What decides is the order of *arrival*, so each Relation is counted
//! when it comes, and the count of the latest one of each OID is noted for its transaction. The server forgets its
//! book of a transaction when any part of it is aborted (`cleanup_rel_sync_cache` of the top transaction, in
//! `pgoutput_stream_abort`), and describes the tables anew in the next block; the notes are forgotten with it. What
//! was kept by then is still read again, but a description without a note does not become the session's.

use std::collections::HashMap;

use crate::Relation;
use crate::relation::Relations;

/// For each OID when its latest description within one streamed transaction arrived.
pub(super) type Notes = HashMap<u32, u64>;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Known {
    relations: Relations,
    session: HashMap<u32, Described>,
    /// The descriptions of the transaction that is being read again: OID to number.
    replayed: Option<HashMap<u32, u32>>,
    /// OID and number of the row before, which are nearly always those of the next.
    recent: Option<(u32, u32)>,
    arrivals: u64,
}

#[derive(Clone, Copy, Debug)]
struct Described {
    number: u32,
    arrived: u64,
}

impl Known {
    /// The description that `oid` stands for.
    #[inline]
    pub(super) fn get(&mut self, oid: u32) -> Option<&Relation> {
        let number = match self.recent {
            Some((recent, number)) if recent == oid => number,
            _ => self.look_up(oid)?,
        };
        self.relations.get(number)
    }

    fn look_up(&mut self, oid: u32) -> Option<u32> {
        let number = match &self.replayed {
            Some(replayed) => *replayed.get(&oid)?,
            None => self.session.get(&oid)?.number,
        };
        self.recent = Some((oid, number));
        Some(number)
    }

    /// How many tables have a description.
    pub(super) fn len(&self) -> usize {
        self.replayed.as_ref().map_or(self.session.len(), HashMap::len)
    }

    /// From here on `oid` stands for `relation`.
    pub(super) fn describe(&mut self, oid: u32, relation: Relation) -> Option<&Relation> {
        let number = self.relations.number(relation);
        self.recent = Some((oid, number));
        match &mut self.replayed {
            Some(replayed) => {
                replayed.insert(oid, number);
            }
            None => {
                let arrived = self.arrive();
                self.session.insert(oid, Described { number, arrived });
            }
        }
        self.relations.get(number)
    }

    /// Counts a Relation that arrives now.
    pub(super) fn arrive(&mut self) -> u64 {
        self.arrivals += 1;
        self.arrivals
    }

    /// From here on OIDs are those of one transaction, which has described none yet.
    pub(super) fn begin_replay(&mut self) {
        self.replayed = Some(HashMap::new());
        self.recent = None;
    }

    /// From here on OIDs are those of the session again, which has learned what `notes` say is newer.
    pub(super) fn end_replay(&mut self, notes: &Notes) {
        self.recent = None;
        for (oid, number) in self.replayed.take().unwrap_or_default() {
            let Some(&arrived) = notes.get(&oid) else { continue };
            if self.session.get(&oid).is_none_or(|described| described.arrived < arrived) {
                self.session.insert(oid, Described { number, arrived });
            }
        }
    }
}
