//! Lines about one row: `table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 …`.
//!
//! Each table's layout is tried first, and made anew only from a line that does not fit it.
//!
//! Every description is kept for the session, so a table must not need a new one for each pattern of NULLs in its old
//! rows: what DELETEs have shown of it is put together, in `deleted.rs`.

use change::{OldImage, RowChange, RowOp, TableName};

use super::deleted;
use super::line::error_at;
use super::table::{self, Layout, Table, Tables};
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

    /// What is missing where a line does not even fit the layout that was made of it.
    fn wants(self) -> &'static str {
        match self {
            Action::Insert | Action::Update => "a column that the new row has",
            Action::Delete => "a column that was not named before",
        }
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
            let layout = learn(line, at, action, table, relations)?;
            if let Err(at) = values.read(line, at, action, table.layout.insert(layout))? {
                return Err(error_at(line, at, Fault::Expected(action.wants())));
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

/// Describes the table by the columns that this line names, of an UPDATE those of the new row; a DELETE adds to what
/// others have shown.
fn learn(
    line: &[u8],
    mut at: usize,
    action: Action,
    table: &Table,
    relations: &mut Relations,
) -> Result<Layout, DecodeError> {
    let rest = |at: usize| line.get(at..).unwrap_or_default();
    if action == Action::Update && rest(at).starts_with(OLD_KEY) {
        (.., at) = table::columns(line, at + OLD_KEY.len(), Some(NEW_TUPLE))?;
        at += NEW_TUPLE.len();
    }
    let (mut described, mut columns, _) = table::columns(line, at, None)?;
    let partial = action == Action::Delete;
    if partial {
        let before = table.layout.as_ref().filter(|layout| layout.partial);
        let known = before.and_then(|before| relations.get(before.relation));
        let known = known.map_or(&[][..], |relation| &relation.columns);
        let order = before.map_or(&[][..], |before| &before.columns);
        (described, columns) = deleted::join(known, order, described, columns);
    }
    let name = table.name.clone();
    let relation = Relation { number: 0, oid: None, name, identity: None, columns: described };
    Ok(Layout { relation: relations.number(relation), columns, partial })
}
