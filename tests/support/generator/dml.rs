//! INSERT, UPDATE, DELETE, COPY.
//!
//! Each of these picks a table where it can be done and does it; it does nothing where there is none.

use super::rows::{line, list, tuple};
use super::table::{Column, Role, Table};
use super::{Change, Generator, kinds};

impl Generator {
    /// One change, of the usual kinds more often than of others.
    pub(super) fn change(&mut self, lane: usize) {
        let steps: &[(u32, Change)] = &[
            (30, Self::insert),
            (6, Self::upsert),
            (5, Self::copy),
            (24, Self::update),
            (4, Self::update_big),
            (3, Self::update_nothing),
            (2, Self::update_many),
            (16, Self::change_key),
            (8, Self::delete),
            (2, Self::delete_many),
            (4, Self::rebirth),
            (2, Self::block),
        ];
        let step = self.weighted(steps);
        step(self, lane);
    }

    fn insert(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, false, |_| true)?;
        let columns = self.written(at);
        let mut tuples = Vec::new();
        for _ in 0..self.draw.rng.usize(1..5) {
            let n = self.new_row(at, lane);
            tuples.push(tuple(&self.values((at, lane), n, &columns, true)));
        }
        let name = self.world.tables[at].sql();
        let sql = format!("INSERT INTO {name} {} VALUES {}", list(&columns), tuples.join(", "));
        self.sessions.run(lane, kinds::INSERT, &sql);
        Some(())
    }

    fn upsert(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, false, Table::has_simple_key)?;
        let n = match self.some_rows(at, lane, 1).pop() {
            Some(n) if self.draw.rng.bool() => n,
            _ => self.new_row(at, lane),
        };
        let columns = self.written(at);
        let values = tuple(&self.values((at, lane), n, &columns, true));
        let changed = columns.iter().filter(|column| column.is_plain()).map(Column::quoted);
        let changes: Vec<String> =
            changed.map(|name| format!("{name} = EXCLUDED.{name}")).collect();
        let table = &self.world.tables[at];
        let key = table.locator().0.quoted();
        let action = if changes.is_empty() || self.draw.one_in(5) {
            "NOTHING".to_owned()
        } else {
            format!("UPDATE SET {}", changes.join(", "))
        };
        let sql = format!(
            "INSERT INTO {} {} VALUES {values} ON CONFLICT ({key}) DO {action}",
            table.sql(),
            list(&columns)
        );
        self.sessions.run(lane, kinds::UPSERT, &sql);
        Some(())
    }

    /// The row is in the log before the server notices that its key is not new.
    pub(super) fn duplicate(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, false, Table::has_simple_key)?;
        let n = self.some_rows(at, lane, 1).pop()?;
        let columns = self.written(at);
        let values = tuple(&self.values((at, lane), n, &columns, true));
        let name = self.world.tables[at].sql();
        let sql = format!("INSERT INTO {name} {} VALUES {values}", list(&columns));
        let open = self.open[lane].as_ref().is_some_and(|transaction| transaction.explicit);
        if open {
            self.sessions.run(lane, kinds::SAVEPOINT, "SAVEPOINT failing");
        }
        self.sessions.fail(lane, kinds::DUPLICATE, &sql, "23505");
        if open {
            self.sessions.run(lane, kinds::ROLLBACK_TO, "ROLLBACK TO failing");
            self.sessions.run(lane, kinds::RELEASE, "RELEASE failing");
        }
        Some(())
    }

    fn copy(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, false, |_| true)?;
        let columns = self.written(at);
        let mut lines = String::new();
        for _ in 0..self.draw.rng.usize(1..20) {
            let n = self.new_row(at, lane);
            let big = self.draw.one_in(4);
            lines.push_str(&line(&self.values((at, lane), n, &columns, big)));
        }
        self.send_copy(lane, kinds::COPY, at, &columns, &lines);
        Some(())
    }

    /// As many rows as make the server stream the transaction before its end. Few differ but in their keys.
    pub(super) fn copy_many(&mut self, lane: usize) -> Option<()> {
        let many = self.options.many;
        let at = self.table(lane, false, |table| table.rows[lane].len() < many)?;
        let columns = self.written(at);
        let mut samples = Vec::new();
        for _ in 0..8 {
            samples.push(self.values((at, lane), 0, &columns, false));
        }
        let key =
            columns.iter().position(|column| matches!(column.role, Role::Locator(_))).unwrap();
        let (_, locator) = self.world.tables[at].locator();
        let mut lines = String::new();
        for row in 0..many {
            let n = self.new_row(at, lane);
            let values = &mut samples[row % 8];
            values[key] = Some(locator.text(&mut self.draw, n));
            lines.push_str(&line(values));
        }
        self.send_copy(lane, kinds::COPY_MANY, at, &columns, &lines);
        Some(())
    }

    fn send_copy(
        &mut self,
        lane: usize,
        kind: &'static str,
        at: usize,
        columns: &[Column],
        lines: &str,
    ) {
        let sql = format!("COPY {} {} FROM STDIN", self.world.tables[at].sql(), list(columns));
        self.sessions.copy(lane, kind, &sql, lines);
    }

    /// Leaves large values alone.
    fn update(&mut self, lane: usize) -> Option<()> {
        let small = |column: &Column| column.is_plain() && !column.is_big();
        let at = self.table_with_row(lane, |table| table.columns.iter().any(small))?;
        let rows = self.some_rows(at, lane, 4);
        let changes =
            self.changes((at, lane), |column| small(column) || matches!(column.role, Role::Parent));
        self.send_update(lane, kinds::UPDATE, at, &changes, &rows);
        Some(())
    }

    fn update_big(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, |table| table.columns.iter().any(Column::is_big))?;
        let rows = self.some_rows(at, lane, 2);
        let changes = self.changes((at, lane), Column::is_big);
        self.send_update(lane, kinds::UPDATE_BIG, at, &changes, &rows);
        Some(())
    }

    fn update_nothing(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, |_| true)?;
        let rows = self.some_rows(at, lane, 3);
        let columns = &self.world.tables[at].columns;
        let name = columns[self.draw.rng.usize(..columns.len())].quoted();
        self.send_update(lane, kinds::UPDATE_NOTHING, at, &format!("{name} = {name}"), &rows);
        Some(())
    }

    fn update_many(&mut self, lane: usize) -> Option<()> {
        let small = |column: &Column| column.is_plain() && !column.is_big();
        let at = self.table_with_row(lane, |table| table.columns.iter().any(small))?;
        let rows: Vec<u64> = self.world.tables[at].rows[lane].iter().copied().collect();
        let changes = self.changes((at, lane), small);
        self.send_update(lane, kinds::UPDATE_MANY, at, &changes, &rows);
        Some(())
    }

    /// `a = 1, b = 2` for some of the columns that may be, at least one.
    fn changes(&mut self, at: (usize, usize), may: impl Fn(&Column) -> bool) -> String {
        let columns: Vec<Column> =
            self.world.tables[at.0].columns.iter().filter(|column| may(column)).cloned().collect();
        let number = self.draw.rng.usize(1..=columns.len().min(3));
        let chosen = self.draw.rng.choose_multiple(columns, number);
        let values = self.values(at, 0, &chosen, true);
        let change = |(column, value): (&Column, &Option<String>)| {
            format!("{} = {}", column.quoted(), super::values::literal(value.as_deref()))
        };
        chosen.iter().zip(&values).map(change).collect::<Vec<_>>().join(", ")
    }

    pub(super) fn send_update(
        &mut self,
        lane: usize,
        kind: &'static str,
        at: usize,
        changes: &str,
        rows: &[u64],
    ) {
        let table = &self.world.tables[at];
        let filter = table.is_one_of(&mut self.draw, rows);
        let sql = format!("UPDATE {} SET {changes} WHERE {filter}", table.sql());
        self.sessions.run(lane, kind, &sql);
    }

    fn delete(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, |_| true)?;
        let rows = self.some_rows(at, lane, 3);
        self.send_delete(lane, kinds::DELETE, at, &rows);
        Some(())
    }

    fn delete_many(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, |table| table.rows[lane].len() > 20)?;
        let rows: Vec<u64> = self.world.tables[at].rows[lane].iter().copied().skip(5).collect();
        self.send_delete(lane, kinds::DELETE_MANY, at, &rows);
        Some(())
    }

    fn send_delete(&mut self, lane: usize, kind: &'static str, at: usize, rows: &[u64]) {
        let table = &mut self.world.tables[at];
        let filter = table.is_one_of(&mut self.draw, rows);
        let sql = format!("DELETE FROM {} WHERE {filter}", table.sql());
        table.rows[lane].retain(|n| !rows.contains(n));
        self.sessions.run(lane, kind, &sql);
    }

    /// Both in one transaction.
    fn rebirth(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, |_| true)?;
        let n = self.some_rows(at, lane, 1).pop()?;
        let columns = self.written(at);
        let values = tuple(&self.values((at, lane), n, &columns, true));
        let table = &self.world.tables[at];
        let (name, row) = (table.sql(), table.is_row(&mut self.draw, n));
        let sql = format!(
            "DELETE FROM {name} WHERE {row}; INSERT INTO {name} {} VALUES {values}",
            list(&columns)
        );
        self.sessions.run(lane, kinds::REBIRTH, &sql);
        Some(())
    }

    /// A subtransaction that is rolled back inside of a statement.
    fn block(&mut self, lane: usize) -> Option<()> {
        let at = self.table_with_row(lane, |_| true)?;
        let n = self.some_rows(at, lane, 1).pop()?;
        let table = &self.world.tables[at];
        let (name, row) = (table.sql(), table.is_row(&mut self.draw, n));
        let sql = format!(
            "DO $block_of_code$ BEGIN DELETE FROM {name} WHERE {row}; RAISE EXCEPTION 'never mind'; \
             EXCEPTION WHEN OTHERS THEN NULL; END $block_of_code$"
        );
        self.sessions.run(lane, kinds::BLOCK, &sql);
        Some(())
    }
}
