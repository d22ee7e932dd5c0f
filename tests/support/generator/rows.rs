//! Rows of a table: which there are, and what new ones hold.

use super::Generator;
use super::table::{Column, Role};
use super::values::{copied, literal};

/// Keys below this come again and again.
const COMMON: u64 = 300;

impl Generator {
    /// Some of the rows that the lane may touch, in any order; none if there are none.
    pub(super) fn some_rows(&mut self, table: usize, lane: usize, most: usize) -> Vec<u64> {
        let rows: Vec<u64> = self.world.tables[table].rows[lane].iter().copied().collect();
        if rows.is_empty() {
            return Vec::new();
        }
        let number = self.draw.rng.usize(1..=most.min(rows.len()));
        self.draw.rng.choose_multiple(rows, number)
    }

    /// Takes the number of a row that is not there: often one that was there before.
    pub(super) fn new_row(&mut self, table: usize, lane: usize) -> u64 {
        let lanes = u64::try_from(super::sessions::SESSIONS).unwrap();
        let common = self.draw.rng.u64(..COMMON / lanes);
        let rows = &mut self.world.tables[table].rows[lane];
        let in_lane = |n: u64| n * lanes + u64::try_from(lane).unwrap();
        let mut n = in_lane(common);
        if !rows.insert(n) {
            self.next_row += 1;
            n = in_lane(COMMON + self.next_row);
            rows.insert(n);
        }
        n
    }

    /// The columns that a statement writes: all but those that have a value of their own, and some others.
    pub(super) fn written(&mut self, table: usize) -> Vec<Column> {
        let columns = self.world.tables[table].columns.iter();
        let mut written = Vec::new();
        for column in columns {
            let left_out = column.is_plain() && self.draw.one_in(12);
            if !left_out && !matches!(column.role, Role::Identity) {
                written.push(column.clone());
            }
        }
        written
    }

    /// The values of a row; large ones only if wanted.
    pub(super) fn values(
        &mut self,
        at: (usize, usize),
        n: u64,
        columns: &[Column],
        big: bool,
    ) -> Vec<Option<String>> {
        let value = |column: &Column| match column.role {
            Role::Locator(locator) => Some(locator.text(&mut self.draw, n)),
            Role::Parent => self.parent(at),
            Role::Big(_) if !big => None,
            _ => column.value(&mut self.draw),
        };
        columns.iter().map(value).collect()
    }

    /// A row of the relative, which this lane may point to.
    pub(super) fn parent(&mut self, (table, lane): (usize, usize)) -> Option<String> {
        let relative = self.world.tables[table].relative?;
        let row = self.some_rows(relative, lane, 1).pop()?;
        let (_, locator) = self.world.tables[relative].locator();
        (!self.draw.one_in(5)).then(|| locator.text(&mut self.draw, row))
    }
}

/// `(a, b)` of column names.
pub fn list(columns: &[Column]) -> String {
    let names: Vec<String> = columns.iter().map(Column::quoted).collect();
    format!("({})", names.join(", "))
}

/// `(1, 'x')` of a row.
pub fn tuple(values: &[Option<String>]) -> String {
    let values: Vec<String> = values.iter().map(|value| literal(value.as_deref())).collect();
    format!("({})", values.join(", "))
}

/// A line of COPY's text format.
pub fn line(values: &[Option<String>]) -> String {
    let values: Vec<String> = values.iter().map(|value| copied(value.as_deref())).collect();
    format!("{}\n", values.join("\t"))
}
