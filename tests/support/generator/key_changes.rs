//! Changes of keys, and of what tells the partition.

use super::keys::Locator;
use super::table::{Column, REGIONS, Role, Table};
use super::values::literal;
use super::{Generator, kinds};

impl Generator {
    pub(super) fn change_key(&mut self, lane: usize) -> Option<()> {
        match self.draw.rng.u32(..10) {
            0..4 => self.new_key(lane),
            4 => self.new_spelling(lane),
            5 => self.new_part(lane),
            6..8 => self.swap(lane),
            _ => self.new_region(lane),
        }
    }

    fn new_key(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, |_| true)?;
        let old = self.some_rows(at, lane, 1).pop()?;
        let new = self.new_row(at, lane);
        self.world.tables[at].rows[lane].remove(&old);
        let (mut changes, _) = self.rekeying(at, new, old);
        if let Some(column) = self.world.tables[at].columns.iter().find(|column| column.is_plain())
            && self.draw.rng.bool()
        {
            changes.push_str(&format!(", {} = NULL", column.quoted()));
        }
        self.send_update(lane, kinds::KEY_CHANGE, at, &changes, &[old]);
        Some(())
    }

    /// `key = new`, `key = old`.
    fn rekeying(&mut self, at: usize, new: u64, old: u64) -> (String, String) {
        let table = &self.world.tables[at];
        (table.is_row(&mut self.draw, new), table.is_row(&mut self.draw, old))
    }

    /// Equal in SQL, other bytes.
    fn new_spelling(&mut self, lane: usize) -> Option<()> {
        let spelled = [Locator::Numeric, Locator::Citext];
        let at = self.table_with_row(lane, |table| spelled.contains(&table.locator().1))?;
        let n = self.some_rows(at, lane, 1).pop()?;
        let (changes, _) = self.rekeying(at, n, n);
        self.send_update(lane, kinds::KEY_SPELLING, at, &changes, &[n]);
        Some(())
    }

    fn new_part(&mut self, lane: usize) -> Option<()> {
        let is_part = |column: &Column| matches!(column.role, Role::KeyPart(_));
        let at = self.table_with_row(lane, |table| table.columns.iter().any(is_part))?;
        let rows = self.some_rows(at, lane, 2);
        let column = self.world.tables[at].columns.iter().find(|column| is_part(column))?;
        let changes = format!("{} = {}", column.quoted(), column.literal(&mut self.draw));
        self.send_update(lane, kinds::KEY_PART, at, &changes, &rows);
        Some(())
    }

    /// By a third key, in one transaction.
    fn swap(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, |table| table.rows[lane].len() > 1)?;
        let rows: Vec<u64> = self.world.tables[at].rows[lane].iter().copied().collect();
        let pair = self.draw.rng.choose_multiple(rows, 2);
        let between = self.new_row(at, lane);
        self.world.tables[at].rows[lane].remove(&between);
        let name = self.world.tables[at].sql();
        let mut sql = String::new();
        for (from, to) in [(pair[0], between), (pair[1], pair[0]), (between, pair[1])] {
            let (to, from) = self.rekeying(at, to, from);
            sql.push_str(&format!("UPDATE {name} SET {to} WHERE {from}; "));
        }
        self.sessions.run(lane, kinds::KEY_SWAP, &sql);
        Some(())
    }

    fn new_region(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, Table::is_partitioned)?;
        let rows = self.some_rows(at, lane, 3);
        let columns = &self.world.tables[at].columns;
        let region = columns.iter().find(|column| matches!(column.role, Role::Region))?.quoted();
        let changes = format!("{region} = {}", literal(Some(self.draw.pick(&REGIONS))));
        self.send_update(lane, kinds::MOVE, at, &changes, &rows);
        Some(())
    }
}
