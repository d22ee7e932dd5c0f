//! The copies of each shard, compared with each other.
//!
//! Searches take one copy or another, and a copy that has gone its own way after a fault shows itself only now and then.
//! Each is compared with the primary, as rows are with documents: the primary's documents stand for the rows, and the
//! version of each for the place of a row. No snapshot is needed; both are looked at when searches see everything up to a
//! position, and what differs is looked at again when they see everything that was written by then.

use std::sync::Arc;

use apply::{IndexState, Target};
use change::Lsn;
use verify::{Lookup, Sums, Unmatched, Verdict, Versions, judge};

use super::settle::{LOOKS, Seen};
use super::table::WAITING;
use super::take::Take;
use super::{Broken, MOST, Verifier, documents};
use crate::failure::Failure;
use crate::planned::Planned;
use crate::position;
use crate::progress::Copying;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// Copies of all shards, primaries among them.
    pub(crate) compared: u64,
    pub(crate) differences: Vec<CopyDifference>,
}

/// A document that is not the same on two nodes.
#[derive(Debug)]
pub(crate) struct CopyDifference {
    pub(crate) id: String,
    pub(crate) shard: u32,
    /// The nodes with the primary and with the copy that was compared with it.
    pub(crate) nodes: [String; 2],
}

/// Two copies of a shard.
struct Pair<'a> {
    shard: u32,
    nodes: [&'a str; 2],
}

impl Verifier<'_> {
    /// Compares all copies of the shards of the table's index.
    pub(super) async fn copies(&mut self, one: &Planned) -> Result<Copies, Broken> {
        let (index, _) = self.shown_now(one).await?;
        let mut all = Copies::default();
        for (shard, nodes) in self.context.target.copies(&index.index).await? {
            all.compared += nodes.len() as u64;
            let Some((primary, others)) = nodes.split_first() else { continue };
            for other in others {
                let pair = Pair { shard, nodes: [primary, other] };
                let ids = self.pair(one, &pair).await?;
                let nodes = [primary.clone(), other.clone()];
                let difference = |id: Box<[u8]>| CopyDifference {
                    id: String::from_utf8_lossy(&id).into_owned(),
                    shard,
                    nodes: nodes.clone(),
                };
                all.differences.extend(ids.into_iter().map(difference));
            }
        }
        Ok(all)
    }

    /// The index, once it shows everything that is written by now.
    async fn shown_now(&mut self, one: &Planned) -> Result<(IndexState, Lsn), Failure> {
        let at = position::current(&self.source.client).await?;
        Ok((self.shown(one, at).await?, at))
    }

    /// The ids that differ in a pair.
    async fn pair(&mut self, one: &Planned, pair: &Pair<'_>) -> Result<Vec<Box<[u8]>>, Broken> {
        let sums = Arc::new(Sums::new(0));
        self.read_pair(one, pair, sums.clone()).await?;
        let mut left = sums.differing();
        drop(sums);
        let mut found = Vec::new();
        while !left.is_empty() && found.len() < MOST {
            let unmatched = Arc::new(Unmatched::new(left, WAITING));
            self.read_pair(one, pair, unmatched.clone()).await?;
            let (entries, rest) = Arc::into_inner(unmatched).ok_or_else(Broken::reader)?.end();
            left = rest;
            let mut seen: Seen = entries.into_iter().map(|(id, entry)| (id, Some(entry))).collect();
            for _ in 0..LOOKS {
                if seen.is_empty() {
                    break;
                }
                let lookup = Arc::new(Lookup::new(seen.keys().cloned()));
                let versions = self.read_pair(one, pair, lookup.clone()).await?;
                let entries = Arc::into_inner(lookup).ok_or_else(Broken::reader)?.end();
                let mut moving = Seen::new();
                for (id, entry) in entries {
                    let before = seen.get(&id).and_then(Option::as_ref);
                    match judge(before, &entry, versions) {
                        Verdict::Equal => {}
                        Verdict::Moving => drop(moving.insert(id, Some(entry))),
                        Verdict::Differs(_) => found.push(id),
                    }
                }
                seen = moving;
            }
        }
        Ok(found)
    }

    /// Reads both copies once, as of now.
    async fn read_pair<T: Take>(
        &mut self,
        one: &Planned,
        pair: &Pair<'_>,
        take: Arc<T>,
    ) -> Result<Versions, Broken> {
        let (index, at) = self.shown_now(one).await?;
        let mut versions = self.versions(at).await?;
        // Whether a version is foreign is not the question here.
        (versions.lowest, versions.highest) = (0, u64::MAX);
        let target = &self.context.target;
        let [primary, other] = pair.nodes;
        let primary =
            AsRows(take.clone()).read(target, &index.index, pair.shard, primary, versions);
        let other = AsDocuments(take).read(target, &index.index, pair.shard, other, versions);
        let read = tokio::try_join!(primary, other);
        // The index may have been given up meanwhile.
        self.still_shown(one, at, &index).await?;
        read?;
        Ok(versions)
    }
}

/// Documents that stand for rows.
struct AsRows<T>(Arc<T>);

/// Documents as they are.
struct AsDocuments<T>(Arc<T>);

/// Reads one copy of a shard.
trait Side: Take + Sized {
    async fn read(
        self,
        target: &Arc<Target>,
        index: &str,
        shard: u32,
        node: &str,
        versions: Versions,
    ) -> Result<(), Failure> {
        let point = target.open_point(index, shard, Some(node)).await?;
        let progress = Arc::new(Copying::comparing(Vec::new()));
        let read = documents::read(target, vec![point], versions, Arc::new(self), progress);
        read.await.map(drop)
    }
}

impl<T: Take> Side for AsRows<T> {}
impl<T: Take> Side for AsDocuments<T> {}

impl<T: Take> Take for AsRows<T> {
    const PLACES: bool = true;

    fn row(&self, id: &[u8], source: &[u8], place: &[u8]) {
        self.0.row(id, source, place);
    }

    fn document(&self, id: &[u8], source: &[u8], version: u64, _: Versions) {
        self.0.row(id, source, &version.to_le_bytes());
    }
}

impl<T: Take> Take for AsDocuments<T> {
    const PLACES: bool = true;

    fn row(&self, id: &[u8], source: &[u8], place: &[u8]) {
        self.0.row(id, source, place);
    }

    fn document(&self, id: &[u8], source: &[u8], version: u64, versions: Versions) {
        self.0.document(id, source, version, versions);
    }
}
