//! Certain keys, looked at again and again until it is known what they are.

use std::collections::HashMap;
use std::sync::Arc;

use apply::IndexState;
use verify::{Entry, Lookup, Verdict, Versions, judge};

use super::point::must_be;
use super::table::Difference;
use super::{Broken, Verifier, rows};
use crate::planned::Planned;
use crate::progress::Copying;

/// How often. A key that is changed each time is not compared.
pub(super) const LOOKS: u32 = 5;

/// What was seen of some keys the last time, if they were seen.
pub(super) type Seen = HashMap<Box<[u8]>, Option<Entry>>;

/// Both sides of some keys.
struct Look {
    entries: HashMap<Box<[u8]>, Entry>,
    versions: Versions,
    index: IndexState,
}

impl Verifier<'_> {
    /// Finds out what the keys in `seen` are, and adds to `found` what is wrong. Gives the number of those that were changed
    /// each time.
    pub(super) async fn settle(
        &mut self,
        one: &Planned,
        mut seen: Seen,
        found: &mut Vec<Difference>,
    ) -> Result<u64, Broken> {
        let mut looked_into: Option<IndexState> = None;
        for _ in 0..LOOKS {
            if seen.is_empty() {
                break;
            }
            let Look { entries, versions, index } = self.look(one, &seen).await?;
            // What was seen in an index that was given up since, by TRUNCATE or a resync, proves nothing of this one.
            let same = looked_into.as_ref().is_none_or(|before| must_be(&index, before).is_ok());
            looked_into = Some(index);
            let mut moving = Seen::new();
            for (id, entry) in entries {
                let before = seen.get(&id).and_then(Option::as_ref).filter(|_| same);
                match judge(before, &entry, versions) {
                    Verdict::Equal => {}
                    Verdict::Moving => drop(moving.insert(id, Some(entry))),
                    Verdict::Differs(kind) => found.push(Difference {
                        id: String::from_utf8_lossy(&id).into_owned(),
                        kind,
                        version: entry.document.map(|document| document.version),
                        repaired: None,
                    }),
                }
            }
            seen = moving;
        }
        Ok(seen.len() as u64)
    }

    /// Both sides of the keys, as of now.
    async fn look(&mut self, one: &Planned, seen: &Seen) -> Result<Look, Broken> {
        let snapshot = self.snapshot().await?;
        let at = snapshot.at;
        let lookup = Arc::new(Lookup::new(seen.keys().cloned()));
        let (source, context) = (self.source, self.context);
        let sessions = context.config.pipeline.copy_workers;
        let progress = Arc::new(Copying::comparing(Vec::new()));
        let rows = async {
            let read = rows::read(source, &snapshot, one, lookup.clone(), progress, sessions);
            read.await.map_err(Broken::from)
        };
        let documents = async {
            let index = self.shown(one, at).await?;
            let ids: Vec<&str> =
                seen.keys().filter_map(|id| std::str::from_utf8(id).ok()).collect();
            let looked = context.target.look_at(&index.index, &ids, |found| {
                if let (Some(version), Some(source)) = (found.version, found.source()) {
                    lookup.document(found.id.as_bytes(), source, version);
                }
            });
            let looked = looked.await;
            // An index may have been given up meanwhile.
            self.still_shown(one, at, &index).await?;
            looked?;
            Ok::<_, Broken>((self.versions(at).await?, index))
        };
        let read = tokio::try_join!(rows, documents);
        snapshot.end().await;
        let (_, (versions, index)) = read?;
        let lookup = Arc::into_inner(lookup).ok_or_else(Broken::reader)?;
        Ok(Look { entries: lookup.end(), versions, index })
    }
}
