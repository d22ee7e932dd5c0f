//! Whether the indices are what the tables are, while the stream runs.
//!
//! ```text
//!              ┌─► rows as of L ──────────────────────────► │ sums by bucket │  some differ  ┌─► the same by id,
//! snapshot, L ─┤                                            │                ├──────────────►│   as of a later L
//!              └─► the index shows L ──► points in time ──► │                │               └─► and later still
//! ```
//!
//! A snapshot comes with its position `L` in the log. As soon as the connector's state says that the index shows everything
//! up to `L`, a point in time of it has what the rows of the snapshot are, and whatever the stream has done since, which
//! the versions tell. Nobody refreshes for this, and the connector is not stopped. What differs in the first pass is
//! looked at by id, each time at a later `L`, until [`verify::judge()`] can say what it is.
//!
//! The sessions at the snapshot hold ACCESS SHARE on a table while it is read, as a dump does. They begin at once, before
//! the index is waited for: a table that is truncated between the snapshot and the first look at it has to be compared
//! anew.

mod copied;
mod copies;
mod documents;
mod point;
mod repair;
mod rows;
mod settle;
mod table;
mod take;

use std::time::Duration;

use apply::{IndexState, Store};

use crate::failure::Failure;
use crate::run::Context;
use crate::source::Source;
pub(crate) use copied::copied;
pub(crate) use copies::CopyDifference;
pub(crate) use point::Young;
pub(crate) use table::{Compared, Difference};

/// More differences than this are not named, nor looked for.
pub(crate) const MOST: usize = 10_000;
/// How often a table is compared that is changed meanwhile.
const ATTEMPTS: u32 = 6;

/// Compares tables with their indices.
pub(crate) struct Verifier<'a> {
    pub(crate) context: &'a Context,
    pub(crate) source: &'a Source,
    /// The connector's state.
    pub(crate) store: Store,
    /// How long the connector may take to get as far as a snapshot.
    pub(crate) timeout: Duration,
    /// The snapshot of the table before, which does for the first look at the next one as well.
    pub(crate) young: Option<Young>,
}

/// What is done beside the comparison.
#[derive(Clone, Copy, Debug)]
pub(crate) struct How {
    /// What differs is written anew.
    pub(crate) repair: bool,
    /// The copies of shards are compared with each other.
    pub(crate) copies: bool,
}

/// Why a comparison did not come to its end.
enum Broken {
    /// Something was changed under it: it may come to its end at another time.
    Again(String),
    Failed(Failure),
}

impl Broken {
    /// A task that has ended by now holds on to what it shared.
    fn reader() -> Self {
        Broken::Again("a reader did not end".to_owned())
    }

    /// It is another index now.
    fn of_index(now: &IndexState, expected: &IndexState) -> Self {
        let (now, expected) = (&now.index, &expected.index);
        Broken::Again(format!("it is in the index {now} now, no more in {expected}"))
    }
}

impl<E: Into<Failure>> From<E> for Broken {
    fn from(error: E) -> Self {
        let failure = error.into();
        match failure.is_cured_by_copying_again() {
            true => Broken::Again(failure.cause().to_owned()),
            false => Broken::Failed(failure),
        }
    }
}

impl Verifier<'_> {
    /// Compares the planned table at `at`.
    ///
    /// # Errors
    /// The connector does not get as far, a server goes away, the table can't be read, or it is changed again and again.
    pub(crate) async fn compare(&mut self, at: usize, how: How) -> Result<Compared, Failure> {
        let Some(one) = self.context.planned.get(at) else {
            return Err(Failure::config("there is no such index", ""));
        };
        let mut why = String::new();
        for _ in 0..ATTEMPTS {
            match self.attempt(one, how).await {
                Ok(compared) => return Ok(compared),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Again(again)) => {
                    self.young = None;
                    tracing::warn!(table = %one.table.name, why = %again, "comparing this table anew");
                    why = again;
                }
            }
        }
        Err(Failure::retry(
            format!("{} could not be compared, it was changed meanwhile: {why}", one.table.name),
            "try again when no ALTER TABLE, TRUNCATE, CLUSTER or VACUUM FULL runs on it, and no resync of it",
        ))
    }
}
