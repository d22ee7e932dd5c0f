//! The rows of all tables at a consistent point, into fresh indices.
//!
//! ```text
//! ranges of all tables ──► worker: a session at the snapshot ──► lane ──┬─► requests in flight
//!                      └─► worker: another session           ──► lane ──┘
//! ```
//!
//! All sessions look through one snapshot, so it does not matter who reads which range, and when. A worker whose session
//! breaks opens another one and reads its range again from the beginning: nothing else is lost, because what was read is
//! with its lane. A target that goes away is waited for. Whatever else fails, or the end of the snapshot, ends the copy,
//! and the whole of it begins anew; dropping the future does the same, and the server ends sessions whose socket is
//! closed.

mod work;
mod worker;

use std::sync::Arc;

use apply::{Indices, Loader, Replicas};
use snapshot::Snapshot;
use tokio::task::JoinSet;
use tracing::warn;
use wal::Connection;

use self::work::{Followed, Work};
use self::worker::Worker;
use super::{Context, prepare};
use crate::failure::Failure;
use crate::planned::Planned;
use crate::source::Source;
use crate::verify;

/// What has been copied.
#[derive(Debug)]
pub(super) struct Copied {
    /// Rows of each planned table, which are the documents of its index.
    pub(super) rows: Vec<u64>,
}

/// Copies every planned table into its index, and gives the snapshot back. It counts as a whole, when it has come back:
/// every row is in the index, and nothing else, which is compared, and `replicas` are given back.
pub(super) async fn all(
    context: &Context,
    source: &Source,
    snapshot: Snapshot,
    indices: &Indices,
    replicas: Replicas,
) -> Result<(Copied, Snapshot), Failure> {
    let snapshot = Arc::new(snapshot);
    let loader = Loader::new(
        context.target.clone(),
        indices.clone(),
        context.config.limits(),
        context.copied(snapshot.at),
        context.config.pipeline.copy_workers.max(LEAST_IN_FLIGHT),
        prepare::letters(context, indices),
    );
    let rows = read(context, source, &snapshot, &loader).await?;
    let ended = || Failure::retry("a worker of the copy did not end", "start again");
    let snapshot = Arc::into_inner(snapshot).ok_or_else(ended)?;
    loader.verify(&rows).await?;
    if context.config.pipeline.verify_copies {
        verify::copied(context, source, &snapshot, &indices.states()).await?;
    }
    replicas.give_back(&context.target).await?;
    Ok((Copied { rows }, snapshot))
}

/// So many requests keep a search server busy: it works on one while the next is on its way.
const LEAST_IN_FLIGHT: usize = 2;

/// Has workers read all ranges, and gives the number of rows of each table.
async fn read(
    context: &Context,
    source: &Source,
    snapshot: &Arc<Snapshot>,
    loader: &Loader,
) -> Result<Vec<u64>, Failure> {
    let mut session = snapshot.session(&source.info).await?;
    let (mut tables, mut estimates) = (Vec::new(), Vec::new());
    for one in &context.planned {
        let ranges = snapshot::cut(&mut session, &one.table).await?;
        tables.push((Followed { table: one.table.clone(), plan: one.plan.clone() }, ranges));
        estimates.push((one.table.name.to_string(), estimate(source, one).await?));
    }
    let work = Arc::new(Work::new(tables, context.monitor.copying(estimates)));
    let mut workers = JoinSet::new();
    let wanted = context.config.pipeline.copy_workers;
    for session in sessions(snapshot, source, session, wanted).await? {
        let (work, lane) = (work.clone(), loader.lane());
        let worker = Worker::new(work, lane, session, snapshot.clone(), source.info.clone());
        workers.spawn(worker.run());
    }
    let ended = join(&mut workers).await;
    // When one has failed, the others have still to let go of the snapshot.
    workers.shutdown().await;
    ended.map(|()| work.rows())
}

async fn join(workers: &mut JoinSet<Result<(), Failure>>) -> Result<(), Failure> {
    while let Some(ended) = workers.join_next().await {
        ended
            .unwrap_or_else(|_| Err(Failure::retry("a worker of the copy ended", "start again")))?;
    }
    Ok(())
}

/// `first` and more, as many as are wanted and the server has room for.
async fn sessions(
    snapshot: &Snapshot,
    source: &Source,
    first: Connection,
    wanted: usize,
) -> Result<Vec<Connection>, Failure> {
    let mut sessions = vec![first];
    while sessions.len() < wanted {
        match snapshot.session(&source.info).await {
            Ok(session) => sessions.push(session),
            Err(error) if error.is_of_connection() => {
                warn!(%error, wanted, copying_with = sessions.len(), "no further session for the copy");
                break;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(sessions)
}

/// Rows by the statistics of the server.
pub(crate) async fn estimate(source: &Source, one: &Planned) -> Result<u64, Failure> {
    const QUERY: &str = "SELECT COALESCE(sum(GREATEST(c.reltuples, 0)), 0)::bigint FROM pg_catalog.pg_class c \
         WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::oid::regclass))";
    let row = source.client.query_one(QUERY, &[&one.table.oid]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}
