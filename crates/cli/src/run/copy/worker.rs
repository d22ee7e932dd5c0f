//! One session that reads ranges, and the lane that writes them.

use std::sync::Arc;
use std::time::Duration;

use apply::Lane;
use change::OldImage;
use document::{DocumentError, Scratch};
use snapshot::Snapshot;
use snapshot::copy::{self, Copy};
use tracing::warn;
use wal::{ConnInfo, Connection};

use super::work::{Followed, Job, Work};
use crate::failure::Failure;

/// How often a range is begun before its source counts as gone: about twenty seconds.
const ATTEMPTS: u32 = 24;
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Worker {
    work: Arc<Work>,
    lane: Lane,
    /// None after it broke.
    session: Option<Connection>,
    snapshot: Arc<Snapshot>,
    info: ConnInfo,
    /// Room for a row, used again.
    id: Vec<u8>,
    scratch: Scratch,
}

/// Why an attempt ended.
enum Broken {
    Source(snapshot::Error),
    /// Trying again would be of no use.
    Other(Failure),
}

impl From<snapshot::Error> for Broken {
    fn from(error: snapshot::Error) -> Self {
        Broken::Source(error)
    }
}

impl From<apply::Error> for Broken {
    fn from(error: apply::Error) -> Self {
        Broken::Other(error.into())
    }
}

impl Worker {
    /// With a session at the snapshot.
    pub(super) fn new(
        work: Arc<Work>,
        lane: Lane,
        session: Connection,
        snapshot: Arc<Snapshot>,
        info: ConnInfo,
    ) -> Self {
        let (id, scratch) = (Vec::new(), Scratch::default());
        Worker { work, lane, session: Some(session), snapshot, info, id, scratch }
    }

    /// Copies ranges until there are no more, and waits until their rows are in the index.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let work = self.work.clone();
        while let Some(job) = work.next() {
            let rows = self.range(&job).await?;
            work.done(&job, rows);
        }
        if let Some(session) = self.session.take() {
            session.terminate().await;
        }
        Ok(self.lane.finish().await?)
    }

    /// Copies one range, from its beginning again when the session breaks.
    async fn range(&mut self, job: &Job<'_>) -> Result<u64, Failure> {
        let mut pause = Duration::from_millis(20);
        let mut shown = 0;
        for attempt in 1.. {
            self.lane.turn_to(job.at, attempt > 1);
            match self.attempt(job, &mut shown).await {
                Ok(rows) => return Ok(rows),
                Err(Broken::Source(error)) if error.is_of_connection() && attempt < ATTEMPTS => {
                    warn!(%error, range = %job.range, "the copy broke off; reading this range again");
                }
                Err(Broken::Source(error)) => return Err(error.into()),
                Err(Broken::Other(failure)) => return Err(failure),
            }
            self.session = None;
            // Rows that are sent again must meet nothing of theirs that is still on its way.
            self.lane.finish().await?;
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(0)
    }

    /// Reads the range once and gives the number of its rows. `shown` of them have been counted as progress.
    async fn attempt(&mut self, job: &Job<'_>, shown: &mut u64) -> Result<u64, Broken> {
        let Worker { work, lane, session, snapshot, info, id, scratch } = self;
        let session = match session {
            Some(session) => session,
            None => session.insert(snapshot.session(info).await?),
        };
        let mut copy = Copy::start(session, &job.followed.table, job.range).await?;
        let mut rows = 0;
        while let Some(chunk) = copy.next_chunk().await? {
            for message in chunk.messages() {
                if lane.is_full() {
                    lane.make_room().await?;
                }
                let row = copy.read(message)?;
                write(job.followed, &row, lane, id, scratch).map_err(Broken::Other)?;
                rows += 1;
            }
            if rows > *shown {
                work.progress.add(job.at, rows - *shown);
                *shown = rows;
            }
        }
        drop(copy);
        copy::check(session, job.range).await?;
        Ok(rows)
    }
}

/// Makes the row a document.
fn write(
    followed: &Followed,
    row: &change::Row<'_>,
    lane: &mut Lane,
    id: &mut Vec<u8>,
    scratch: &mut Scratch,
) -> Result<(), Failure> {
    let Followed { table, plan } = followed;
    id.clear();
    let impossible = |error: &DocumentError| {
        Failure::stop(
            format!("{}: a row can't be made a document: {error}", table.name),
            "correct the row, or leave the column out with `exclude`",
        )
    };
    plan.write_id(row, id).map_err(|error| impossible(&error))?;
    match lane.row(id, |out| plan.write_source(row, OldImage::Absent, scratch, out)) {
        Err(error @ DocumentError::Malformed { .. }) => lane.refuse(id, error.to_string()),
        written => written.map_err(|error| impossible(&error))?,
    }
    Ok(())
}
