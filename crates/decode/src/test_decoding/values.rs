//! The values of a row.
//!
//! They stay where they are in the line. Only where one holds a quote, which the line doubles, the line is copied, with
//! such values appended as they are meant.

use change::{Cell, OldImage, Row, RowChange};

use super::line::error_at;
use super::row::{Action, NEW_TUPLE, OLD_KEY};
use super::table::Layout;
use super::value::{self, Found};
use crate::error::{DecodeError, Fault};

/// Memory for copied lines that is kept from one row to the next, in bytes.
const KEPT: usize = 1 << 20;

/// The values of the line that is being read. Reused, so that a row costs no allocation.
#[derive(Debug, Default)]
pub(super) struct Values {
    /// The line with what was appended to it; empty while all values are in the line itself.
    copy: Vec<u8>,
    old: Vec<Cell>,
    new: Vec<Cell>,
    has_old: bool,
}

impl Values {
    /// Reads the columns from `at` on, which should be those of `layout`; where they are not, inside, the place.
    #[inline]
    pub(super) fn read(
        &mut self,
        line: &[u8],
        mut at: usize,
        action: Action,
        layout: &Layout,
    ) -> Result<Result<(), usize>, DecodeError> {
        if self.copy.capacity() > KEPT {
            self.copy = Vec::new();
        }
        self.copy.clear();
        self.has_old = action == Action::Delete;
        if action == Action::Delete {
            let end = self.old_row(line, at, layout)?;
            return Ok(if end == line.len() { Ok(()) } else { Err(end) });
        }
        let rest = |at: usize| line.get(at..).unwrap_or_default();
        if action == Action::Update && rest(at).starts_with(OLD_KEY) {
            self.has_old = true;
            at = self.old_row(line, at + OLD_KEY.len(), layout)?;
            if !rest(at).starts_with(NEW_TUPLE) {
                return Ok(Err(at));
            }
            at += NEW_TUPLE.len();
        }
        self.new_row(line, at, layout)
    }

    #[inline]
    fn new_row(
        &mut self,
        line: &[u8],
        mut at: usize,
        layout: &Layout,
    ) -> Result<Result<(), usize>, DecodeError> {
        if layout.partial {
            return Ok(Err(at));
        }
        self.new.clear();
        for column in &layout.columns {
            if !line.get(at..).unwrap_or_default().starts_with(&column.head) {
                return Ok(Err(at));
            }
            let (found, end) = value::read(line, at + column.head.len(), column.form)?;
            let cell = cell(line, &mut self.copy, found)?;
            self.new.push(cell);
            at = end;
        }
        Ok(if at == line.len() { Ok(()) } else { Err(at) })
    }

    /// The same of an old row, which leaves columns out: they are NULL. Gives the place where it ends.
    #[inline]
    fn old_row(
        &mut self,
        line: &[u8],
        mut at: usize,
        layout: &Layout,
    ) -> Result<usize, DecodeError> {
        self.old.clear();
        self.old.resize(layout.columns.len(), Cell::NULL);
        for column in &layout.columns {
            if !line.get(at..).unwrap_or_default().starts_with(&column.head) {
                continue;
            }
            let (found, end) = value::read(line, at + column.head.len(), column.form)?;
            let cell = cell(line, &mut self.copy, found)?;
            if let Some(old) = self.old.get_mut(column.place) {
                *old = cell;
            }
            at = end;
        }
        Ok(at)
    }

    #[inline]
    pub(super) fn change<'s>(&'s mut self, line: &'s [u8], action: Action) -> RowChange<'s> {
        let full = self.has_old && action == Action::Update && self.know_unchanged();
        let Values { copy, old, new, has_old } = self;
        let data = if copy.is_empty() { line } else { copy };
        let row = |cells| Row::new(data, cells);
        let old = match (*has_old, full) {
            (false, _) => OldImage::Absent,
            (true, false) => OldImage::Key(row(old)),
            (true, true) => OldImage::Full(row(old)),
        };
        match action {
            Action::Insert => RowChange::Insert { new: row(new) },
            Action::Update => RowChange::Update { old, new: row(new) },
            Action::Delete => RowChange::Delete { old },
        }
    }

    /// Where the new row says unchanged, an old value that is not named is so too. True if another one is named.
    fn know_unchanged(&mut self) -> bool {
        let mut named = false;
        for (old, new) in self.old.iter_mut().zip(&self.new) {
            if *new == Cell::UNCHANGED {
                named |= *old != Cell::NULL && *old != Cell::UNCHANGED;
                if *old == Cell::NULL {
                    *old = Cell::UNCHANGED;
                }
            }
        }
        named
    }
}

#[inline]
fn cell(line: &[u8], copy: &mut Vec<u8>, found: Found) -> Result<Cell, DecodeError> {
    let (start, end) = match found {
        Found::Null => return Ok(Cell::NULL),
        Found::Unchanged => return Ok(Cell::UNCHANGED),
        Found::Plain { start, end } => (start, end),
        Found::Doubled { start, end } => {
            if copy.is_empty() {
                copy.extend_from_slice(line);
            }
            let begin = copy.len();
            value::undouble(line.get(start..end).unwrap_or_default(), copy);
            (begin, copy.len())
        }
    };
    Cell::text(start, end - start).ok_or_else(|| {
        let length = i64::try_from(end).unwrap_or(i64::MAX);
        error_at(line, start.min(line.len()), Fault::Length { what: "a row", length })
    })
}
