//! The tables that a stream has named, and how the lines of each spell its columns.
//!
//! Rows of a table look alike from one to the next: what stands before each value is compared with what stood there the
//! last time, and read only where that differs.

use std::collections::HashMap;

use change::TableName;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::error::context;
use nom::sequence::preceded;

use super::line::{error_at, parse_at};
use super::name;
use super::value::{self, Form};
use crate::error::{DecodeError, Fault};
use crate::relation::{ColumnType, RelationColumn};

/// A column, as its table's lines spell it.
#[derive(Clone, Debug)]
pub(super) struct Column {
    /// What comes before the value: ` name[type]:`.
    pub(super) head: Box<[u8]>,
    pub(super) form: Form,
    /// Which column of the [`Relation`](crate::Relation) it is.
    pub(super) place: usize,
}

/// The columns of a table, as a line named them; or several, see `deleted.rs`.
#[derive(Debug)]
pub(super) struct Layout {
    /// The number of the [`Relation`](crate::Relation).
    pub(super) relation: u32,
    /// In the order in which lines name them.
    pub(super) columns: Vec<Column>,
    /// Known from deletes only: the table may have more columns, and the places may be in any order.
    pub(super) partial: bool,
}

#[derive(Debug)]
pub(super) struct Table {
    /// How its lines begin, up to the colon behind the name.
    intro: Box<[u8]>,
    pub(super) name: TableName,
    /// Of the last line that did not fit the one before.
    pub(super) layout: Option<Layout>,
}

#[derive(Debug, Default)]
pub(super) struct Tables {
    known: Vec<Table>,
    by_intro: HashMap<Box<[u8]>, usize>,
    /// The table of the line before, which is nearly always that of the next.
    recent: usize,
}

impl Tables {
    /// The table that `line` is about, and where its name and the colon end; `None` if it names several.
    #[inline]
    pub(super) fn find(&mut self, line: &[u8]) -> Result<Option<(&mut Table, usize)>, DecodeError> {
        let recent = self.known.get(self.recent);
        let end = match recent.filter(|table| line.starts_with(&table.intro)) {
            Some(table) => table.intro.len(),
            None => match self.switch(line)? {
                Some(end) => end,
                None => return Ok(None),
            },
        };
        Ok(self.known.get_mut(self.recent).map(|table| (table, end)))
    }

    /// Makes another table the recent one.
    fn switch(&mut self, line: &[u8]) -> Result<Option<usize>, DecodeError> {
        let separator = context("a colon after the table", alt((tag(":"), tag(","))));
        let intro = (tag("table "), name::written_table, separator);
        let ((.., separator), end) = parse_at(line, 0, intro)?;
        if separator == b"," {
            return Ok(None);
        }
        let intro = line.get(..end).unwrap_or_default();
        self.recent = match self.by_intro.get(intro) {
            Some(&known) => known,
            None => {
                let (name, _) = parse_at(line, 0, preceded(tag("table "), name::table))?;
                self.known.push(Table { intro: intro.into(), name, layout: None });
                self.by_intro.insert(intro.into(), self.known.len() - 1);
                self.known.len() - 1
            }
        };
        Ok(Some(end))
    }
}

/// Reads columns in full from `at` to the end of the line, or to what `ends` them.
pub(super) fn columns(
    line: &[u8],
    mut at: usize,
    ends: Option<&[u8]>,
) -> Result<(Vec<RelationColumn>, Vec<Column>, usize), DecodeError> {
    let (mut described, mut spelled) = (Vec::new(), Vec::new());
    loop {
        let rest = line.get(at..).unwrap_or_default();
        if ends.is_some_and(|ends| rest.starts_with(ends)) {
            return Ok((described, spelled, at));
        }
        if rest.is_empty() {
            return match ends {
                None => Ok((described, spelled, at)),
                Some(_) => Err(error_at(line, at, Fault::Truncated("the old row"))),
            };
        }
        let ((name, ty), end) = parse_at(line, at, name::column)?;
        let form = Form::of(ty);
        let ty = ColumnType::Name(ty.to_owned());
        described.push(RelationColumn { in_identity: false, name, ty });
        let head = line.get(at..end).unwrap_or_default().into();
        spelled.push(Column { head, form, place: spelled.len() });
        (_, at) = value::read(line, end, form)?;
    }
}
