//! One table and its index.

use std::collections::HashSet;
use std::sync::Arc;

use apply::{IndexState, Repaired, letters};
use change::Lsn;
use snapshot::Snapshot;
use verify::{Kind, Selection, Sums, Unmatched};

use super::copies::Copies;
use super::settle::Seen;
use super::take::Take;
use super::{Broken, How, MOST, Verifier, documents, rows};
use crate::failure::Failure;
use crate::planned::Planned;
use crate::progress::{Copying, Shown};
use crate::run;

/// Ids that are kept at once while the two sides are read by id.
pub(super) const WAITING: usize = 20_000;

/// What came of it.
#[derive(Debug)]
pub(crate) struct Compared {
    pub(crate) alias: String,
    /// The index that was compared.
    pub(crate) index: String,
    /// The index that readers of the alias see, if it is another one.
    pub(crate) shown: Option<String>,
    pub(crate) table: String,
    /// The rows are those of this position.
    pub(crate) at: Lsn,
    pub(crate) rows: u64,
    pub(crate) documents: u64,
    pub(crate) differences: Vec<Difference>,
    /// Ids that differ because the target refused the row.
    pub(crate) refused: Vec<String>,
    /// Keys that were changed so often that they could not be compared.
    pub(crate) moving: u64,
    /// There are more differences than are named.
    pub(crate) more: bool,
    /// The copies of its shards, if they were compared.
    pub(crate) copies: Option<Copies>,
}

/// A key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    pub(crate) id: String,
    pub(crate) kind: Kind,
    /// Of the document, if there is one.
    pub(crate) version: Option<u64>,
    /// What came of the repair, if it was tried.
    pub(crate) repaired: Option<Repaired>,
}

impl Compared {
    /// Those that are not repaired.
    pub(crate) fn remaining(&self) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(|found| found.repaired != Some(Repaired::Done))
    }

    /// Index and table are equal now.
    pub(crate) fn is_equal(&self) -> bool {
        let copies = self.copies.as_ref().is_none_or(|copies| copies.differences.is_empty());
        !self.more && copies && self.remaining().next().is_none()
    }
}

/// Both sides as they were read once.
struct Pass {
    at: Lsn,
    index: IndexState,
    rows: u64,
    documents: u64,
}

impl Verifier<'_> {
    /// One attempt at a table.
    pub(super) async fn attempt(&mut self, one: &Planned, how: How) -> Result<Compared, Broken> {
        let sums = Arc::new(Sums::new(MOST));
        let young = self.young().await?;
        let first = self.both(one, &young.snapshot, sums.clone()).await?;
        let (mut left, foreign) = (sums.differing(), sums.foreign());
        drop(sums);
        match left.is_empty() && foreign.is_empty() {
            true => self.young = Some(young),
            false => young.snapshot.end().await,
        }
        let index = first.index.clone();
        let mut compared = Compared {
            alias: one.index.alias.clone(),
            shown: index.shown.clone().filter(|shown| *shown != index.index),
            index: index.index.clone(),
            table: one.table.name.to_string(),
            at: first.at,
            rows: first.rows,
            documents: first.documents,
            differences: Vec::new(),
            refused: Vec::new(),
            moving: 0,
            more: false,
            copies: None,
        };
        if !left.is_empty() {
            tracing::info!(table = %one.table.name, buckets = left.len(), "looking at what differs, or has moved on");
        }
        let mut ids: Seen = foreign.into_iter().map(|id| (id, None)).collect();
        loop {
            let found = &mut compared.differences;
            compared.moving += self.settle(one, ids, found).await?;
            if left.is_empty() || found.len() >= MOST {
                compared.more = !left.is_empty();
                break;
            }
            (ids, left) = self.by_id(one, left).await?;
            let named: HashSet<&[u8]> = found.iter().map(|found| found.id.as_bytes()).collect();
            ids.retain(|id, _| !named.contains(&**id));
        }
        if !compared.differences.is_empty() {
            self.set_letters_apart(&index, &mut compared).await?;
        }
        if how.repair && !compared.differences.is_empty() {
            self.repair(one, &mut compared).await?;
        }
        if how.copies {
            compared.copies = Some(self.copies(one).await?);
        }
        Ok(compared)
    }

    /// Rows without a document are right if a dead letter says why.
    async fn set_letters_apart(
        &self,
        index: &IndexState,
        compared: &mut Compared,
    ) -> Result<(), Broken> {
        let letters = letters::list(&self.context.target, &[index.index.as_str()]).await?;
        let told: HashSet<&str> = letters.iter().map(|stored| stored.letter.id.as_str()).collect();
        let is_told = |found: &mut Difference| {
            found.kind == Kind::Missing && told.contains(found.id.as_str())
        };
        let aside = compared.differences.extract_if(.., is_told);
        compared.refused = aside.map(|found| found.id).collect();
        Ok(())
    }

    /// What differs in the buckets `selected`, and the buckets that were left for another time.
    async fn by_id(
        &mut self,
        one: &Planned,
        selected: Selection,
    ) -> Result<(Seen, Selection), Broken> {
        let unmatched = Arc::new(Unmatched::new(selected, WAITING));
        self.pass(one, unmatched.clone()).await?;
        let (entries, left) = Arc::into_inner(unmatched).ok_or_else(Broken::reader)?.end();
        Ok((entries.into_iter().map(|(id, entry)| (id, Some(entry))).collect(), left))
    }

    /// Reads both sides once, as of now.
    async fn pass<T: Take>(&mut self, one: &Planned, take: Arc<T>) -> Result<Pass, Broken> {
        let snapshot = self.snapshot().await?;
        let ended = self.both(one, &snapshot, take).await;
        snapshot.end().await;
        ended
    }

    async fn both<T: Take>(
        &mut self,
        one: &Planned,
        snapshot: &Snapshot,
        take: Arc<T>,
    ) -> Result<Pass, Broken> {
        let at = snapshot.at;
        let estimate = run::estimate(self.source, one).await?;
        let estimates =
            vec![(one.table.name.to_string(), estimate), (one.index.alias.clone(), estimate)];
        let progress = Arc::new(Copying::comparing(estimates));
        let _shown = Shown::begin(progress.clone());
        let (source, context) = (self.source, self.context);
        let sessions = context.config.pipeline.copy_workers;
        let rows = async {
            let read = rows::read(source, snapshot, one, take.clone(), progress.clone(), sessions);
            read.await.map_err(Broken::from)
        };
        let documents = async {
            let index = self.shown(one, at).await?;
            let read = self.documents(&index, at, take.clone(), progress.clone()).await;
            // The index may have been given up meanwhile.
            self.still_shown(one, at, &index).await?;
            Ok::<_, Broken>((index, read?))
        };
        let (rows, (index, documents)) = tokio::try_join!(rows, documents)?;
        Ok(Pass { at, index, rows, documents })
    }

    async fn documents<T: Take>(
        &self,
        index: &IndexState,
        at: Lsn,
        take: Arc<T>,
        progress: Arc<Copying>,
    ) -> Result<u64, Failure> {
        let target = &self.context.target;
        let points = documents::open(target, &index.index).await?;
        let versions = self.versions(at).await?;
        documents::read(target, points, versions, take, progress).await
    }
}
