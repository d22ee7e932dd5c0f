//! Rows of a copy into fresh indices.
//!
//! The rows of a snapshot have no order among themselves, so whoever reads them has a [`Lane`] of its own, and the requests
//! of all lanes are in flight beside each other, as many as [`Loader::new`] says. Nothing is confirmed here: the copy
//! counts as a whole, when every lane has come back from [`Lane::finish`] and [`Loader::verify`] from its count.
//!
//! Two rows with one id show in two ways: the second meets a version that the first has left; or, where rows were sent
//! again and a version proves nothing, there are fewer documents than rows in the end.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use change::Lsn;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::Error;
use crate::backoff::persist;
use crate::bulk::{Batch, Limits, Origin, Write, deliver};
use crate::indices::{IndexGuard, Indices};
use crate::letters::{Letters, Reason};
use crate::target::Target;
use crate::version::Version;

/// A copy at one consistent point. Cheap to clone.
#[derive(Clone)]
pub struct Loader {
    target: Arc<Target>,
    indices: Indices,
    limits: Limits,
    version: Version,
    /// One for each request that may be in flight.
    flights: Arc<Semaphore>,
    letters: Letters,
    /// The rows that have no document, by the number of their index and their hash.
    refused: Arc<Mutex<HashSet<(u32, u64)>>>,
}

/// The rows of one reader on their way. Dropped, it gives up what is in flight.
pub struct Lane {
    loader: Loader,
    /// Where rows go.
    index: u32,
    index_name: String,
    origin: Origin,
    batch: Batch,
    flights: JoinSet<Result<(), Error>>,
}

impl Loader {
    /// For a copy whose documents have `version`, with up to `in_flight` requests at once.
    pub fn new(
        target: Arc<Target>,
        indices: Indices,
        limits: Limits,
        version: Version,
        in_flight: usize,
        letters: Letters,
    ) -> Self {
        let flights = Arc::new(Semaphore::new(in_flight.max(1)));
        Loader { target, indices, limits, version, flights, letters, refused: Arc::default() }
    }

    /// A lane for one more reader.
    pub fn lane(&self) -> Lane {
        Lane {
            loader: self.clone(),
            index: 0,
            index_name: String::new(),
            origin: Origin::Copy,
            batch: Batch::new(self.limits),
            flights: JoinSet::new(),
        }
    }

    /// Checks, when all lanes have finished, that the managed indices are still the same and hold exactly as many
    /// documents as `rows` says, in their order. Waits for a target that does not answer.
    ///
    /// # Errors
    /// Another number of documents, an index that is gone.
    pub async fn verify(&self, rows: &[u64]) -> Result<(), Error> {
        let states = self.indices.states();
        let names: Vec<&str> = states.iter().map(|state| state.index.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        persist(|| self.indices.check(&self.target)).await?;
        persist(|| async {
            match self.target.refresh(&names).await? {
                true => Ok(()),
                false => Err(shard_missing()),
            }
        })
        .await?;
        let numbers: Vec<u32> = self.indices.with(|list| list.iter().map(|m| m.number).collect());
        for ((state, &rows), number) in states.iter().zip(rows).zip(numbers) {
            let rows = rows.saturating_sub(self.refused(number));
            let count =
                || async { self.target.count(&state.index).await?.ok_or_else(shard_missing) };
            let documents = persist(count).await?;
            if documents != rows {
                return Err(miscounted(&state.table, &state.index, rows, documents));
            }
        }
        Ok(())
    }
}

impl Loader {
    /// Rows of an index that have no document.
    fn refused(&self, number: u32) -> u64 {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.iter().filter(|(index, _)| *index == number).count() as u64
    }
}

impl Lane {
    /// The rows that follow go into the managed index `index`. With `again` they may have been sent before, by a lane
    /// that has no request in flight any more.
    pub fn turn_to(&mut self, index: usize, again: bool) {
        self.origin = if again { Origin::CopyAgain } else { Origin::Copy };
        let found = self.loader.indices.with(|list| {
            list.get(index).map(|managed| (managed.number, managed.state.index.clone()))
        });
        if let Some((number, name)) = found {
            (self.index, self.index_name) = (number, name);
        }
    }

    /// Writes a row.
    ///
    /// # Errors
    /// Those of `source`.
    pub fn row<E>(
        &mut self,
        id: &[u8],
        source: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        let (batch, write) = self.write(id);
        batch.index(&write, source)?;
        // Each row stands for itself: two with one id must meet in the target, not replace each other here.
        self.batch.commit(Lsn::ZERO);
        Ok(())
    }

    /// A row that can't become a document: leaves a dead letter.
    pub fn refuse(&mut self, id: &[u8], reason: String) {
        let (batch, write) = self.write(id);
        batch.refuse(&write, Reason::plain(reason));
        self.batch.commit(Lsn::ZERO);
    }

    fn write<'w>(&'w mut self, id: &'w [u8]) -> (&'w mut Batch, Write<'w>) {
        let Lane { loader, index, index_name, origin, batch, .. } = self;
        let version = loader.version;
        (batch, Write { index: *index, index_name, id, version, origin: *origin })
    }

    /// A request is full: call [`Lane::make_room`] before the next row.
    pub fn is_full(&self) -> bool {
        self.batch.is_full()
    }

    /// Sends what is there, waiting first while too many requests are in flight.
    ///
    /// # Errors
    /// A row that the target refuses, two rows with one id, an index that is gone.
    pub async fn make_room(&mut self) -> Result<(), Error> {
        while let Some(ended) = self.flights.try_join_next() {
            landed(ended)?;
        }
        if self.batch.is_empty() {
            return Ok(());
        }
        let permit = self.permit().await?;
        let Some(sealed) = self.batch.seal(true) else { return Ok(()) };
        let Loader { target, indices, letters, refused, .. } = &self.loader;
        let (target, refused) = (target.clone(), refused.clone());
        let (indices, letters) = (indices.clone(), letters.clone());
        self.flights.spawn(async move {
            let guard = IndexGuard { target: target.clone(), indices, letters };
            let delivered = deliver(&target, &guard, &sealed).await;
            drop(permit);
            refused.lock().unwrap_or_else(PoisonError::into_inner).extend(delivered?.refused);
            Ok(())
        });
        Ok(())
    }

    /// Sends the rest and waits until every row is in the index.
    ///
    /// # Errors
    /// As [`Lane::make_room`].
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.make_room().await?;
        while let Some(ended) = self.flights.join_next().await {
            landed(ended)?;
        }
        Ok(())
    }

    /// Waits until one more request may be in flight. One that has failed says so meanwhile.
    async fn permit(&mut self) -> Result<OwnedSemaphorePermit, Error> {
        let mut permit = std::pin::pin!(self.loader.flights.clone().acquire_owned());
        loop {
            tokio::select! {
                permit = &mut permit => return permit.map_err(|_| given_up()),
                Some(ended) = self.flights.join_next() => landed(ended)?,
            }
        }
    }
}

fn landed(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> Result<(), Error> {
    ended.unwrap_or_else(|_| Err(given_up()))
}

fn given_up() -> Error {
    Error::transient("a request of the copy was given up", "start again")
}

fn shard_missing() -> Error {
    Error::transient("a shard does not answer", "look into the search server's log")
}

fn miscounted(table: &str, index: &str, rows: u64, documents: u64) -> Error {
    let copied = format!("{table}: {rows} rows were copied, and {index} has {documents} documents");
    match documents < rows {
        true => Error::stop(
            format!("{copied}: two rows have the same id"),
            "choose `id` columns that are unique, or repair the unique index that let them in (REINDEX)",
        ),
        false => Error::stop(
            format!("{copied}: somebody else writes to this index"),
            "find the other writer, then start again",
        ),
    }
}
