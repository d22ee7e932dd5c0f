//! TRUNCATE: <https://www.postgresql.org/docs/current/sql-truncate.html>.

use super::table::{Family, Role, Table};
use super::{Generator, kinds};

impl Generator {
    pub(super) fn truncate(&mut self, lane: usize) -> Option<()> {
        match self.draw.rng.u32(..4) {
            0 => self.truncate_tables(lane, kinds::TRUNCATE, 1, "", |table| !is_parent(table)),
            1 => self
                .truncate_tables(lane, kinds::TRUNCATE_SEVERAL, 3, "", |table| !is_parent(table)),
            2 => self.truncate_tables(lane, kinds::TRUNCATE_CASCADE, 1, " CASCADE", is_parent),
            _ => {
                let counts = |table: &Table| matches!(table.family, Family::Indexed { .. });
                self.truncate_tables(lane, kinds::TRUNCATE_RESTART, 1, " RESTART IDENTITY", counts)
            }
        }
    }

    fn truncate_tables(
        &mut self,
        lane: usize,
        kind: &'static str,
        most: usize,
        how: &str,
        wanted: impl Fn(&Table) -> bool,
    ) -> Option<()> {
        let mut tables = Vec::new();
        for _ in 0..most {
            let at = self.table(lane, true, &wanted)?;
            if !tables.contains(&at) {
                tables.push(at);
            }
        }
        let names: Vec<String> = tables.iter().map(|at| self.world.tables[*at].sql()).collect();
        self.sessions.run(lane, kind, &format!("TRUNCATE {}{how}", names.join(", ")));
        let relatives = tables.iter().filter_map(|at| {
            let table = &self.world.tables[*at];
            table.relative.filter(|_| is_parent(table))
        });
        for at in relatives.collect::<Vec<_>>().into_iter().chain(tables) {
            self.world.tables[at].rows = Default::default();
        }
        Some(())
    }
}

/// Another table refers to it.
fn is_parent(table: &Table) -> bool {
    table.relative.is_some()
        && !table.columns.iter().any(|column| matches!(column.role, Role::Parent))
}
