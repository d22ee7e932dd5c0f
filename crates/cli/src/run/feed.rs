//! From the messages of the stream to writes: decode, find the plan of the table, hand over to the applier.

use std::collections::HashMap;
use std::time::Duration;

use apply::Applier;
use change::{OldImage, ReplicaIdentity, RowChange, RowOp};
use decode::pgoutput::{Decoder, Event, Relation};
use document::{DocumentError, Scratch};

use super::Context;
use crate::failure::Failure;
use crate::planned::Planned;

/// Microseconds from 1970 to 2000, where Postgres begins to count.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// Everything that reading one session of the stream needs.
pub(super) struct Feed<'a> {
    decoder: Decoder,
    planned: &'a [Planned],
    /// The configuration names the tables; others in the publication are left alone.
    chosen: bool,
    by_relation: HashMap<u32, Option<usize>>,
    recent: Option<(u32, Option<usize>)>,
    id: Vec<u8>,
    old_id: Vec<u8>,
    scratch: Scratch,
    commit: change::Lsn,
}

impl<'a> Feed<'a> {
    /// At the beginning of a session.
    pub(super) fn new(context: &'a Context) -> Self {
        Feed {
            decoder: Decoder::new(),
            planned: &context.planned,
            chosen: context.config.indexes.is_some(),
            by_relation: HashMap::new(),
            recent: None,
            id: Vec::new(),
            old_id: Vec::new(),
            scratch: Scratch::default(),
            commit: change::Lsn::ZERO,
        }
    }

    /// Reads one message. Gives the indices whose tables were emptied by it.
    pub(super) fn take(
        &mut self,
        applier: &mut Applier,
        payload: &[u8],
    ) -> Result<Vec<usize>, Failure> {
        let Feed { decoder, planned, chosen, by_relation, recent, id, old_id, scratch, commit } =
            self;
        let event = decoder.decode(payload).map_err(|error| {
            Failure::stop(
                format!("the stream can't be understood after {commit}: {error}"),
                "report this with the version of Postgres; nothing was skipped or confirmed",
            )
        })?;
        match event {
            Event::Row(op) => {
                let change = applier.next_change();
                let at = match *recent {
                    Some((relation, at)) if relation == op.relation => at,
                    _ => {
                        let at = by_relation.get(&op.relation).copied().flatten();
                        *recent = Some((op.relation, at));
                        at
                    }
                };
                if let Some(at) = at
                    && let Some(one) = planned.get(at)
                {
                    write(applier, at, one, &op, change, (id, old_id, scratch))
                        .map_err(|error| refused(one, *commit, &error))?;
                }
            }
            Event::Begin(begin) => {
                *commit = begin.commit.0;
                let micros = u64::try_from(begin.committed_at).unwrap_or(0);
                applier.begin(begin.commit, POSTGRES_EPOCH + Duration::from_micros(micros));
            }
            Event::Commit(commit) => applier.commit(commit.end),
            Event::Relation(relation) => {
                let at = planned.iter().position(|one| one.table.oid == relation.oid);
                match at.and_then(|at| planned.get(at)) {
                    Some(one) => must_be_same(one, relation, *commit)?,
                    None if planned.iter().any(|one| one.table.name == relation.name) => {
                        return Err(another_table(relation, *commit));
                    }
                    None if *chosen => {}
                    None => return Err(unknown_table(relation, *commit)),
                }
                by_relation.insert(relation.oid, at);
                *recent = None;
            }
            Event::Truncate(truncate) => {
                let known = |oid: &u32| by_relation.get(oid).copied().flatten();
                return Ok(truncate.relations.iter().filter_map(known).collect());
            }
            Event::Message(_) | Event::Nothing => {}
        }
        Ok(Vec::new())
    }
}

/// One row change as writes: a changed key leaves the old document and makes a new one.
fn write(
    applier: &mut Applier,
    at: usize,
    one: &Planned,
    op: &RowOp<'_>,
    change: (apply::Version, apply::Origin),
    (id, old_id, scratch): (&mut Vec<u8>, &mut Vec<u8>, &mut Scratch),
) -> Result<(), DocumentError> {
    let plan = &one.plan;
    id.clear();
    match op.change {
        RowChange::Insert { new } => {
            plan.write_id(&new, id)?;
            applier.index(at, id, change, |out| {
                plan.write_source(&new, OldImage::Absent, scratch, out)
            })
        }
        RowChange::Update { old, new } => {
            plan.write_new_id(&new, old, id)?;
            if let Some(before) = old.row()
                && !plan.same_id(&before, &new)
            {
                old_id.clear();
                plan.write_id(&before, old_id)?;
                applier.delete(at, old_id, change);
            }
            applier.index(at, id, change, |out| plan.write_source(&new, old, scratch, out))
        }
        RowChange::Delete { old } => {
            if let Some(row) = old.row() {
                plan.write_id(&row, id)?;
                applier.delete(at, id, change);
            }
            Ok(())
        }
    }
}

fn refused(one: &Planned, commit: change::Lsn, error: &DocumentError) -> Failure {
    let table = &one.table.name;
    let message = format!("{table}, commit at {commit}: {error}");
    match error {
        DocumentError::Unchanged { .. } => Failure::stop(
            message,
            format!(
                "ALTER TABLE {} REPLICA IDENTITY FULL, then build the index anew: `wal2es teardown --indices`, \
                 `wal2es setup`, `wal2es run`; or leave the column out with `exclude`",
                table.quoted()
            ),
        ),
        _ => Failure::stop(
            message,
            "leave the column out with `exclude` and build the index anew; nothing was skipped or confirmed",
        ),
    }
}

/// The plan was made from the catalog as it is now; the stream tells what the table was when the row changed.
fn must_be_same(one: &Planned, relation: &Relation, commit: change::Lsn) -> Result<(), Failure> {
    let anew = "build the index anew: `wal2es teardown --indices`, `wal2es setup`, `wal2es run`";
    let planned = one.table.columns.iter();
    let planned = planned.map(|c| (c.name.as_str(), c.type_oid, c.type_modifier));
    let streamed = relation.columns.iter();
    let streamed = streamed.map(|c| (c.name.as_str(), c.type_oid, c.type_modifier));
    if !planned.eq(streamed) {
        return Err(Failure::stop(
            format!(
                "the columns of {} changed in the stream, at the commit after {commit}",
                relation.name
            ),
            anew,
        ));
    }
    let identified =
        |key: &str| relation.columns.iter().any(|column| column.name == key && column.in_identity);
    let missing = one.plan.key_columns().find(|key| !identified(key));
    match missing.filter(|_| relation.identity != ReplicaIdentity::Full) {
        None => Ok(()),
        Some(key) => Err(Failure::stop(
            format!(
                "the replica identity of {} does not hold the column {key} of the id, at the commit after {commit}",
                relation.name
            ),
            format!("ALTER TABLE {} REPLICA IDENTITY FULL, then {anew}", relation.name.quoted()),
        )),
    }
}

fn another_table(relation: &Relation, commit: change::Lsn) -> Failure {
    Failure::stop(
        format!(
            "{} is another table than before (its OID is {} now), at the commit after {commit}: it was dropped and made \
             anew, or another one was renamed",
            relation.name, relation.oid
        ),
        "build the index anew: `wal2es teardown --indices`, `wal2es setup`, `wal2es run`",
    )
}

fn unknown_table(relation: &Relation, commit: change::Lsn) -> Failure {
    Failure::stop(
        format!(
            "the table {} (OID {}) came into the publication after the first copy, at the commit after {commit}",
            relation.name, relation.oid
        ),
        "build the index anew: `wal2es teardown --indices`, `wal2es setup`, `wal2es run`; or name the tables to \
         keep under `indexes`, then others are left alone",
    )
}
