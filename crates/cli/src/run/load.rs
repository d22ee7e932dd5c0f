//! The first load: fresh indices, the rows at a consistent point, then the stream from there.

use apply::{FORMULA, Indices, Loader, Managed, State, Step, Store};
use change::Lsn;
use document::Scratch;
use snapshot::Snapshot;
use snapshot::copy::Copy;
use tracing::info;
use wal::Connection;

use super::Context;
use crate::failure::Failure;
use crate::planned::Planned;
use crate::progress::Progress;
use crate::source::Source;

const GENERATION: u32 = 1;

/// Copies everything and gives the state to stream from. An earlier attempt that was interrupted is begun anew: two
/// snapshots are never mixed.
pub(super) async fn first_load(
    context: &Context,
    source: &Source,
    store: &mut Store,
) -> Result<(State, Indices), Failure> {
    free_names(context).await?;
    let mut state = State {
        formula: FORMULA,
        system_id: context.system.system_id.clone(),
        timeline: context.system.timeline,
        database: source.info.dbname.clone(),
        slot: context.config.source.slot.to_string(),
        publication: context.config.source.publication.to_string(),
        generation: GENERATION,
        step: Step::Copying,
        applied_lsn: Lsn::ZERO,
        visible_lsn: Lsn::ZERO,
        indexes: Vec::new(),
        writer: String::new(),
        sequence: 0,
    };
    store.save(&state).await?;
    let mut managed = Vec::new();
    for (number, one) in (0..).zip(&context.planned) {
        managed.push(Managed::create(&context.target, &state, one.index.clone(), number).await?);
    }
    let indices = Indices::new(managed);

    let snapshot = Snapshot::create(&source.info, &context.config.source.plugin).await?;
    info!(at = %snapshot.at, tables = context.planned.len(), "copying the tables");
    copy_all(context, source, &snapshot, &indices).await?;
    state.step = Step::Streaming;
    state.applied_lsn = snapshot.at;
    state.indexes = indices.states();
    snapshot.end().await;
    store.save(&state).await?;
    Ok((state, indices))
}

/// No alias of ours may be taken by an index or alias of somebody else.
async fn free_names(context: &Context) -> Result<(), Failure> {
    for one in &context.planned {
        let alias = &one.index.alias;
        let own = format!("{alias}-g{GENERATION}");
        let is_own = |index: &str| index == own || index.starts_with(&format!("{own}.t"));
        let found = context.target.index(alias).await?.unwrap_or_default();
        let foreign =
            found.as_object().and_then(|indices| indices.keys().find(|index| !is_own(index)));
        if let Some(index) = foreign {
            return Err(Failure::config(
                format!(
                    "{alias} is taken: there is an index {index} of that name or alias that is not ours"
                ),
                format!(
                    "choose another `name` for {} under `indexes`, or remove it",
                    one.table.name
                ),
            ));
        }
    }
    Ok(())
}

async fn copy_all(
    context: &Context,
    source: &Source,
    snapshot: &Snapshot,
    indices: &Indices,
) -> Result<(), Failure> {
    let mut session = snapshot.session(&source.info).await?;
    let mut loader =
        Loader::new(context.target.clone(), indices.clone(), context.config.limits(), snapshot.at);
    for (at, one) in context.planned.iter().enumerate() {
        let estimate = estimate(source, one).await?;
        let progress = Progress::new(one.table.name.to_string(), estimate);
        copy_table(at, one, &mut session, &mut loader, progress).await?;
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
    mut progress: Progress,
) -> Result<u64, Failure> {
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
        progress.add(rows);
    }
    Ok(progress.finish())
}

/// Rows by the statistics of the server.
async fn estimate(source: &Source, one: &Planned) -> Result<u64, Failure> {
    const QUERY: &str = "SELECT COALESCE(sum(GREATEST(c.reltuples, 0)), 0)::bigint FROM pg_catalog.pg_class c \
         WHERE c.oid = $1 OR c.oid IN (SELECT relid FROM pg_catalog.pg_partition_tree($1::oid::regclass))";
    let row = source.client.query_one(QUERY, &[&one.table.oid]).await?;
    Ok(row.get::<_, i64>(0).unsigned_abs())
}
