//! Rows of a copy into a fresh index.
//!
//! The rows of a snapshot have no order among themselves, so several requests may be in flight. Nothing is confirmed
//! here: the copy counts as a whole, when [`Loader::finish`] has come back.

use std::sync::Arc;

use change::Lsn;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::Error;
use crate::bulk::{Batch, Delivered, Limits, Origin, Write, deliver};
use crate::indices::{IndexGuard, Indices};
use crate::target::Target;
use crate::version::Version;

const IN_FLIGHT: usize = 2;

/// See the module.
pub struct Loader {
    target: Arc<Target>,
    indices: Indices,
    version: Version,
    at: Lsn,
    batch: Batch,
    flights: FuturesUnordered<BoxFuture<'static, Result<Delivered, Error>>>,
}

impl Loader {
    /// For a copy at the consistent point `at`.
    pub fn new(target: Arc<Target>, indices: Indices, limits: Limits, at: Lsn) -> Self {
        Loader {
            target,
            indices,
            version: Version::copied(at),
            at,
            batch: Batch::new(limits),
            flights: FuturesUnordered::new(),
        }
    }

    /// Writes a row into the managed index `index`.
    ///
    /// # Errors
    /// Those of `source`.
    pub fn row<E>(
        &mut self,
        index: usize,
        id: &[u8],
        source: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (batch, version) = (&mut self.batch, self.version);
        self.indices.with(|list| match list.get(index) {
            None => Ok(()),
            Some(managed) => {
                let (index, index_name) = (managed.number, managed.state.index.as_str());
                let write = Write { index, index_name, id, version, origin: Origin::Copy };
                batch.index(&write, source)
            }
        })?;
        // Each row stands for itself: two with one id must meet in the target, not replace each other here.
        self.batch.commit(self.at);
        Ok(())
    }

    /// A request is full: call [`Loader::make_room`] before the next row.
    pub fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// Sends what is there, waiting first while too many requests are in flight.
    ///
    /// # Errors
    /// A row that the target refuses, two rows with one id, an index that is gone.
    pub async fn make_room(&mut self) -> Result<(), Error> {
        while self.flights.len() >= IN_FLIGHT {
            self.flights.next().await.transpose()?;
        }
        if let Some(sealed) = self.batch.seal(true) {
            let target = self.target.clone();
            let guard = IndexGuard { target: target.clone(), indices: self.indices.clone() };
            self.flights.push(Box::pin(async move { deliver(&target, &guard, &sealed).await }));
        }
        Ok(())
    }

    /// Sends the rest and waits until every row is in the index.
    ///
    /// # Errors
    /// As [`Loader::make_room`].
    pub async fn finish(mut self) -> Result<(), Error> {
        self.make_room().await?;
        while let Some(flight) = self.flights.next().await {
            flight?;
        }
        Ok(())
    }
}
