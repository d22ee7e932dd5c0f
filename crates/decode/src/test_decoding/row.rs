//! Lines about one row: `table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 …`.
//!
//! Each table's layout is tried first, and made anew only from a line that does not fit it.

use change::{OldImage, RowChange, RowOp, TableName};

use super::line::error_at;
use super::table::{self, Layout, Tables};
use super::truncate;
use super::values::Values;
use crate::error::{DecodeError, Fault};
use crate::event::Event;
use crate::relation::{Relation, Relations};

pub(super) const OLD_KEY: &[u8] = b" old-key:";
pub(super) const NEW_TUPLE: &[u8] = b" new-tuple:";
const NO_TUPLE: &[u8] = b" (no-tuple-data)";

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Insert,
    Update,
    Delete,
}

impl Action {
    const ALL: [(&'static [u8], Option<Action>); 4] = [
        (b" INSERT:", Some(Action::Insert)),
        (b" UPDATE:", Some(Action::Update)),
        (b" DELETE:", Some(Action::Delete)),
        (b" TRUNCATE:", None),
    ];

    /// What happened, `None` for TRUNCATE, and where the columns begin.
    #[inline]
    fn read(line: &[u8], at: usize) -> Result<(Option<Action>, usize), DecodeError> {
        let rest = line.get(at..).unwrap_or_default();
        let known = Action::ALL.iter().find(|(word, _)| rest.starts_with(word));
        known.map(|(word, action)| (*action, at + word.len())).ok_or_else(|| {
            error_at(line, at, Fault::Expected("INSERT, UPDATE, DELETE or TRUNCATE"))
        })
    }
}

/// Reads the lines of one session.
#[derive(Debug, Default)]
pub(super) struct Rows {
    relations: Relations,
    tables: Tables,
    values: Values,
}

impl Rows {
    /// Reads a line that begins with `table `.
    pub(super) fn read<'s>(&'s mut self, line: &'s [u8]) -> Result<Event<'s>, DecodeError> {
        let Rows { relations, tables, values } = self;
        let Some((table, at)) = tables.find(line)? else {
            return truncate::read(line).map(Event::Truncate);
        };
        let (Some(action), at) = Action::read(line, at)? else {
            return truncate::read(line).map(Event::Truncate);
        };
        if line.get(at..) == Some(NO_TUPLE) {
            return without_row(line, table.name.clone(), relations);
        }
        let fits = match &table.layout {
            Some(layout) => values.read(line, at, action, layout)?.is_ok(),
            None => false,
        };
        if !fits {
            let layout =
                table.layout.insert(learn(line, at, action, table.name.clone(), relations)?);
            if let Err(at) = values.read(line, at, action, layout)? {
                return Err(error_at(line, at, Fault::Expected("a column that the new row has")));
            }
        }
        let number = table.layout.as_ref().map_or(u32::MAX, |layout| layout.relation);
        let relation = relations
            .get(number)
            .ok_or_else(|| error_at(line, 0, Fault::UnknownRelation(number)))?;
        Ok(Event::Row(RowOp { relation: number, change: values.change(line, action) }, relation))
    }
}

/// A change of which the plugin tells no row, because the table had no replica identity: whatever it was, it comes as a
/// delete of nobody knows what, with a description of the table that has no columns. Most tables of a database are
/// nobody's concern, so it can't be an error here.
fn without_row<'s>(
    line: &[u8],
    name: TableName,
    relations: &'s mut Relations,
) -> Result<Event<'s>, DecodeError> {
    let columns = Vec::new();
    let number = relations.number(Relation { number: 0, oid: None, name, identity: None, columns });
    let relation =
        relations.get(number).ok_or_else(|| error_at(line, 0, Fault::UnknownRelation(number)))?;
    let change = RowChange::Delete { old: OldImage::Absent };
    Ok(Event::Row(RowOp { relation: number, change }, relation))
}

/// Describes the table by the columns that this line names; of an UPDATE, those of the new row.
fn learn(
    line: &[u8],
    mut at: usize,
    action: Action,
    name: TableName,
    relations: &mut Relations,
) -> Result<Layout, DecodeError> {
    let rest = |at: usize| line.get(at..).unwrap_or_default();
    if action == Action::Update && rest(at).starts_with(OLD_KEY) {
        (.., at) = table::columns(line, at + OLD_KEY.len(), Some(NEW_TUPLE))?;
        at += NEW_TUPLE.len();
    }
    let (described, columns, _) = table::columns(line, at, None)?;
    let relation = Relation { number: 0, oid: None, name, identity: None, columns: described };
    Ok(Layout { relation: relations.number(relation), columns })
}
