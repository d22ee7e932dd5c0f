//! The rows of all tables at a consistent point, into fresh indices.

use apply::{Indices, Loader};
use document::Scratch;
use snapshot::Snapshot;
use snapshot::copy::Copy;
use wal::Connection;

use super::Context;
use crate::failure::Failure;
use crate::planned::Planned;
use crate::progress::Copying;
use crate::source::Source;

/// Copies every planned table into its index. It counts as a whole, when it has come back.
pub(super) async fn all(
    context: &Context,
    source: &Source,
    snapshot: &Snapshot,
    indices: &Indices,
) -> Result<(), Failure> {
    let mut session = snapshot.session(&source.info).await?;
    let mut loader =
        Loader::new(context.target.clone(), indices.clone(), context.config.limits(), snapshot.at);
    let mut tables = Vec::new();
    for one in &context.planned {
        tables.push((one.table.name.to_string(), estimate(source, one).await?));
    }
    let progress = context.monitor.copying(tables);
    for (at, one) in context.planned.iter().enumerate() {
        copy_table(at, one, &mut session, &mut loader, &progress).await?;
    }
    loader.finish().await?;
    session.terminate().await;
    Ok(())
}

async fn copy_table(
    at: usize,
    one: &Planned,
    session: &mut Connection,
    loader: &mut Loader,
    progress: &Copying,
) -> Result<(), Failure> {
    let mut copy = Copy::start(session, &one.table).await?;
    let (mut id, mut scratch) = (Vec::new(), Scratch::default());
    while let Some(chunk) = copy.next_chunk().await? {
        let mut rows = 0;
        for message in chunk.messages() {
            if loader.is_full() {
                loader.make_room().await?;
            }
            let row = copy.read(message)?;
            id.clear();
            one.plan
                .write_id(&row, &mut id)
                .and_then(|()| {
                    loader.row(at, &id, |out| {
                        one.plan.write_source(&row, change::OldImage::Absent, &mut scratch, out)
                    })
                })
                .map_err(|error| {
                    Failure::stop(
                        format!("{}: a row can't be made a document: {error}", one.table.name),
                        "correct the row, or leave the column out with `exclude`",
                    )
                })?;
            rows += 1;
        }
        progress.add(at, rows);
    }
    progress.done(at);
    Ok(())
}

/// Rows by the statistics of the server.
async fn estimate(source: &Source, one: &Planned) -> Result<u64, Failure> {
    const QUERY: &str = "SELECT COALESCE(sum(GREATEST(c.reltuples, 0)), 0)::bigint FROM pg_catalog.pg_class c \
         WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::oid::regclass))";
    let row = source.client.query_one(QUERY, &[&one.table.oid]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}
