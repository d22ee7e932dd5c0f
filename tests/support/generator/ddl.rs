//! Changes of tables, in mid-transaction.
//!
//! Such a change makes no row events, and documents of older rows would be stale: other fields, other forms. So each is
//! followed, in its transaction, by an UPDATE that changes nothing in every row, under REPLICA IDENTITY FULL, which alone
//! gives the large values that such an UPDATE leaves out of the new row.

use super::keys::Locator;
use super::names::{qualified, quoted};
use super::schema::Wanted;
use super::table::{Column, Family, Identity, Role, Table};
use super::values::{BIG_TEXT, ENUM, TEXT, named, quoted as literal, text};
use super::{Change, Generator, kinds};

impl Generator {
    /// One change of a table; nothing if none can be had.
    pub(super) fn alter(&mut self, lane: usize) {
        let steps: &[(u32, Change)] = &[
            (4, Self::add_column),
            (2, Self::drop_column),
            (3, Self::rename_column),
            (4, Self::rewrite),
            (3, Self::widen),
            (2, Self::rename_table),
            (2, Self::set_schema),
            (2, Self::drop_table),
            (4, Self::set_identity),
            (3, Self::set_storage),
            (2, Self::cluster),
            (2, Self::add_value),
        ];
        let step = self.weighted(steps);
        step(self, lane);
    }

    fn add_column(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, true, |table| table.columns.len() < 30)?;
        let ty = self.deal();
        let table = self.world.tables[at].clone();
        let name = self.fresh_column(&table, false);
        let column = Column { name, sql: ty.sql.to_owned(), role: Role::Plain(ty) };
        let mut sql =
            format!("ALTER TABLE {} ADD COLUMN {} {}", table.sql(), column.quoted(), ty.sql);
        let kind = if self.draw.rng.bool() {
            let value = literal(&(ty.make)(&mut self.draw));
            sql.push_str(&format!(" NOT NULL DEFAULT {value}; "));
            sql.push_str(&format!(
                "ALTER TABLE {} ALTER {} DROP NOT NULL",
                table.sql(),
                column.quoted()
            ));
            kinds::ADD_COLUMN_DEFAULT
        } else {
            kinds::ADD_COLUMN
        };
        self.reshape(lane, at, kind, &sql, |table| table.columns.push(column));
        Some(())
    }

    fn drop_column(&mut self, lane: usize) -> Option<()> {
        let enough = |table: &Table| table.columns.iter().filter(|c| c.is_plain()).count() > 2;
        let at = self.table(lane, true, enough)?;
        let column = self.column(at, Column::is_plain)?;
        let table = &self.world.tables[at];
        let sql =
            format!("ALTER TABLE {} DROP COLUMN {}", table.sql(), table.columns[column].quoted());
        self.reshape(lane, at, kinds::DROP_COLUMN, &sql, |table| {
            table.columns.remove(column);
        });
        Some(())
    }

    fn rename_column(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, true, |_| true)?;
        let column = self.column(at, |_| true)?;
        let table = self.world.tables[at].clone();
        let name = self.fresh_column(&table, table.columns[column].is_key());
        let old = table.columns[column].quoted();
        let sql = format!("ALTER TABLE {} RENAME COLUMN {old} TO {}", table.sql(), quoted(&name));
        self.reshape(lane, at, kinds::RENAME_COLUMN, &sql, |table| {
            table.columns[column].name = name;
        });
        Some(())
    }

    /// A place among the columns.
    fn column(&mut self, at: usize, wanted: impl Fn(&Column) -> bool) -> Option<usize> {
        let columns = &self.world.tables[at].columns;
        let places = (0..columns.len()).filter(|place| wanted(&columns[*place]));
        let places: Vec<usize> = places.collect();
        self.draw.rng.choice(places)
    }

    fn rewrite(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, true, |_| true)?;
        let alone = {
            let table = &self.world.tables[at];
            table.relative.is_none() && !table.is_partitioned()
        };
        let may = |column: &Column| column.is_plain() || (alone && is_int_key(column));
        let place = self.column(at, may)?;
        let table = &self.world.tables[at];
        let column = &table.columns[place];
        let (name, (role, ty)) = (column.quoted(), converted(column));
        // A default would have to be converted too, and not each can.
        let sql = format!(
            "ALTER TABLE {0} ALTER {name} DROP DEFAULT; ALTER TABLE {0} ALTER {name} TYPE {ty} USING {1}",
            table.sql(),
            conversion(&name, ty)
        );
        self.reshape(lane, at, kinds::REWRITE, &sql, |table| {
            let column = &mut table.columns[place];
            (column.role, column.sql) = (role, ty.to_owned());
        });
        Some(())
    }

    /// What is there keeps its form, so no row needs to be told again.
    fn widen(&mut self, lane: usize) -> Option<()> {
        let can =
            |column: &Column| wider(&column.sql).is_some() && !matches!(column.role, Role::Region);
        let at = self.table(lane, true, |table| table.columns.iter().any(can))?;
        let place = self.column(at, can)?;
        let table = &mut self.world.tables[at];
        let name = table.sql();
        let column = &mut table.columns[place];
        let wide = wider(&column.sql)?;
        let sql = format!("ALTER TABLE {name} ALTER {} TYPE {wide}", column.quoted());
        column.sql = wide.to_owned();
        self.sessions.run(lane, kinds::WIDEN, &sql);
        Some(())
    }

    fn rename_table(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, true, |_| true)?;
        let name = self.fresh_name();
        let sql =
            format!("ALTER TABLE {} RENAME TO {}", self.world.tables[at].sql(), quoted(&name));
        self.reshape(lane, at, kinds::RENAME_TABLE, &sql, |table| table.name = name);
        Some(())
    }

    /// With a new name, so that no table is ever again what it was before.
    fn set_schema(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, true, |table| table.published && !table.is_partitioned())?;
        let name = self.fresh_name();
        let table = &self.world.tables[at];
        let schema = self.options.schemas.iter().find(|schema| **schema != table.schema)?.clone();
        let sql = format!(
            "ALTER TABLE {} SET SCHEMA {}; ALTER TABLE {} RENAME TO {}",
            table.sql(),
            quoted(&schema),
            qualified(&schema, &table.name),
            quoted(&name)
        );
        self.reshape(lane, at, kinds::SET_SCHEMA, &sql, |table| {
            (table.schema, table.name) = (schema, name);
        });
        Some(())
    }

    /// Emptied first, by row events: a DROP makes none.
    fn drop_table(&mut self, lane: usize) -> Option<()> {
        let alone =
            |table: &Table| table.relative.is_none() && !table.is_partitioned() && table.published;
        let at = self.table(lane, true, alone)?;
        let old = self.world.tables[at].clone();
        let columns = self.draw.rng.usize(1..6);
        let empty = self.draw.pick(&["TRUNCATE", "DELETE FROM"]);
        let (table, sql) =
            self.design(Wanted::Usual, old.schema.clone(), old.name.clone(), columns);
        let name = old.sql();
        self.sessions.run(
            lane,
            kinds::DROP_TABLE,
            &format!("{empty} {name}; DROP TABLE {name}; {sql}"),
        );
        self.world.tables[at] = table;
        Some(())
    }

    fn set_identity(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, true, |_| true)?;
        let table = &mut self.world.tables[at];
        table.identity = match (table.identity, &table.family) {
            (Identity::Full, Family::Indexed { .. }) => Identity::Index,
            (Identity::Full, _) => Identity::Default,
            _ => Identity::Full,
        };
        let sql = table.set_identity(table.identity);
        self.sessions.run(lane, kinds::IDENTITY, &sql);
        Some(())
    }

    fn set_storage(&mut self, lane: usize) -> Option<()> {
        let at = self.table(lane, true, |table| table.columns.iter().any(Column::is_big))?;
        let place = self.column(at, Column::is_big)?;
        let storage = self.draw.pick(&["EXTERNAL", "EXTENDED", "MAIN"]);
        let table = &self.world.tables[at];
        let column = table.columns[place].quoted();
        let sql = format!("ALTER TABLE {} ALTER {column} SET STORAGE {storage}", table.sql());
        self.sessions.run(lane, kinds::STORAGE, &sql);
        Some(())
    }

    /// Writes the table anew; the rows stay what they are.
    fn cluster(&mut self, lane: usize) -> Option<()> {
        let indexed = |table: &Table| matches!(table.family, Family::Indexed { .. });
        let at = self.table(lane, true, indexed)?;
        let table = &self.world.tables[at];
        let Family::Indexed { index } = &table.family else { return None };
        let sql = format!("CLUSTER {} USING {}", table.sql(), quoted(index));
        self.sessions.run(lane, kinds::CLUSTER, &sql);
        Some(())
    }

    /// One transaction at a time can. Values have it when that is committed.
    pub(super) fn add_value(&mut self, lane: usize) -> Option<()> {
        let adding = self.open.iter().flatten().chain(&self.prepared);
        if adding.clone().any(|other| other.lane != lane && !other.labels.is_empty())
            || self.prepared.iter().any(|other| !other.labels.is_empty())
        {
            return None;
        }
        self.number += 1;
        let label = format!("{}{}", text::short(&mut self.draw, 8), self.number);
        let place = if self.draw.rng.bool() { " BEFORE 'fine'" } else { "" };
        let sql = format!("ALTER TYPE {ENUM} ADD VALUE {}{place}", literal(&label));
        self.sessions.run(lane, kinds::ADD_VALUE, &sql);
        self.open[lane].as_mut()?.labels.push(label);
        Some(())
    }

    /// A change, after which all rows are told again.
    fn reshape(
        &mut self,
        lane: usize,
        at: usize,
        kind: &'static str,
        sql: &str,
        change: impl FnOnce(&mut Table),
    ) {
        let table = &mut self.world.tables[at];
        let before = table.identity;
        if before != Identity::Full {
            self.sessions.run(lane, kinds::IDENTITY, &table.set_identity(Identity::Full));
        }
        self.sessions.run(lane, kind, sql);
        change(table);
        let key = table.locator().0.quoted();
        let touch = format!("UPDATE {} SET {key} = {key}", table.sql());
        self.sessions.run(lane, kinds::TOUCH, &touch);
        if before != Identity::Full {
            self.sessions.run(lane, kinds::IDENTITY, &table.set_identity(before));
        }
    }
}

fn is_int_key(column: &Column) -> bool {
    matches!(column.role, Role::Locator(Locator::Int)) && column.sql == "integer"
}

/// What a column becomes, and its SQL type.
fn converted(column: &Column) -> (Role, &'static str) {
    let plain = |sql| (Role::Plain(named(sql)), sql);
    match column.role {
        Role::Locator(_) => (column.role, "bigint"),
        Role::Big(_) => (Role::Big(BIG_TEXT), "text"),
        _ => match column.sql.as_str() {
            "smallint" => plain("integer"),
            "integer" => plain("bigint"),
            "bigint" | "real" | "double precision" => plain("numeric"),
            "text" => plain("jsonb"),
            _ => (Role::Plain(TEXT), "text"),
        },
    }
}

fn conversion(column: &str, to: &str) -> String {
    match to {
        "jsonb" => format!("to_jsonb({column})"),
        _ => format!("{column}::{to}"),
    }
}

/// <https://www.postgresql.org/docs/current/sql-altertable.html>: such a change needs no new file.
fn wider(sql: &str) -> Option<&'static str> {
    match sql {
        "varchar(20)" => Some("varchar(40)"),
        "varchar(40)" | "text" => Some("varchar"),
        "varchar" | "varchar(30000)" => Some("text"),
        "timestamp(3)" => Some("timestamp"),
        "numeric(10,3)" => Some("numeric(12,3)"),
        _ => None,
    }
}
