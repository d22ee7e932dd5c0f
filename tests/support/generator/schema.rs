//! Makes tables.

use super::keys::Locator;
use super::names::{self, qualified, quoted};
use super::table::{Column, Family, Identity, KEY_PARTS, REGIONS, Role, Table};
use super::values::{BIG, Type};
use super::{Generator, kinds};

/// What a table is to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    Usual,
    Parent,
    /// Of the parent with this number.
    Child(usize),
    Partitioned,
    Unlogged,
    /// In the schema that is not published.
    Hidden,
}

impl Generator {
    /// The tables that are there from the start.
    pub(super) fn create_tables(&mut self) {
        let columns = super::values::TYPES.len().div_ceil(self.options.tables);
        for _ in 0..self.options.tables {
            self.create_table(Wanted::Usual, columns);
        }
        let parent = self.create_table(Wanted::Parent, 2);
        let child = self.create_table(Wanted::Child(parent), 2);
        self.world.tables[parent].relative = Some(child);
        for wanted in [Wanted::Partitioned, Wanted::Unlogged, Wanted::Hidden] {
            self.create_table(wanted, 4);
        }
    }

    /// A table of its own name with so many plain columns.
    pub(super) fn create_table(&mut self, wanted: Wanted, columns: usize) -> usize {
        let schema = match wanted {
            Wanted::Hidden => self.options.hidden.clone(),
            _ => self.draw.pick(&self.options.schemas.each_ref().map(String::as_str)).to_owned(),
        };
        let name = self.fresh_name();
        let (table, sql) = self.design(wanted, schema, name, columns);
        self.sessions.run(0, kinds::CREATE_TABLE, &sql);
        self.world.add(table)
    }

    /// A table, and the SQL that makes it.
    pub(super) fn design(
        &mut self,
        wanted: Wanted,
        schema: String,
        name: String,
        columns: usize,
    ) -> (Table, String) {
        let family = match wanted {
            Wanted::Usual if self.draw.one_in(3) => Family::Indexed { index: self.fresh_name() },
            Wanted::Partitioned => Family::Partitioned { leaves: Vec::new() },
            _ => Family::Keyed,
        };
        let mut table = Table {
            schema,
            name,
            columns: Vec::new(),
            rows: Default::default(),
            identity: match family {
                Family::Indexed { .. } => Identity::Index,
                _ => Identity::Default,
            },
            family,
            key_reversed: self.draw.rng.bool(),
            published: !matches!(wanted, Wanted::Unlogged | Wanted::Hidden),
            relative: if let Wanted::Child(parent) = wanted { Some(parent) } else { None },
        };
        self.add_columns(&mut table, wanted, columns);
        let sql = self.creation(&mut table, wanted);
        (table, sql)
    }

    /// In any order: the key is not always in front.
    fn add_columns(&mut self, table: &mut Table, wanted: Wanted, plain: usize) {
        let locator = match wanted {
            Wanted::Parent | Wanted::Child(_) | Wanted::Partitioned => Locator::Int,
            _ => *self.draw.pick(&Locator::ALL),
        };
        let mut roles = vec![(locator.sql().to_owned(), Role::Locator(locator))];
        if wanted == Wanted::Usual {
            for _ in 0..self.draw.rng.usize(..3) {
                let (sql, make) = self.draw.pick(&KEY_PARTS.each_ref());
                roles.push(((*sql).to_owned(), Role::KeyPart(*make)));
            }
        }
        match (wanted, &table.family) {
            (Wanted::Partitioned, _) => roles.push(("text".to_owned(), Role::Region)),
            (Wanted::Child(_), _) => roles.push(("integer".to_owned(), Role::Parent)),
            (_, Family::Indexed { .. }) => roles.push(("bigint".to_owned(), Role::Identity)),
            _ => {}
        }
        for _ in 0..plain {
            let ty = self.deal();
            roles.push((ty.sql.to_owned(), Role::Plain(ty)));
        }
        for _ in 0..self.draw.rng.usize(..3) {
            let ty = self.draw.pick(&BIG.iter().collect::<Vec<_>>());
            roles.push((ty.sql.to_owned(), Role::Big(ty)));
        }
        self.draw.rng.shuffle(&mut roles);
        for (sql, role) in roles {
            let mut column = Column { name: String::new(), sql, role };
            column.name = self.fresh_column(table, column.is_key());
            table.columns.push(column);
        }
    }

    /// The next type: each has its turn.
    pub(super) fn deal(&mut self) -> &'static Type {
        if self.deck.is_empty() {
            self.deck = super::values::TYPES.iter().chain(self.xml).collect();
            self.draw.rng.shuffle(&mut self.deck);
        }
        self.deck.pop().unwrap()
    }

    /// A name that no table or index had before.
    pub(super) fn fresh_name(&mut self) -> String {
        self.number += 1;
        let name = names::fresh(&mut self.draw, self.number, |name| self.names.contains(name));
        self.names.insert(name.clone());
        name
    }

    /// A name that the table does not have. One of a key column is never that of another column, in any table.
    pub(super) fn fresh_column(&mut self, table: &Table, key: bool) -> String {
        self.number += 1;
        let taken = |name: &str| key || table.has_column(name);
        let name = names::fresh(&mut self.draw, self.number, taken);
        if key {
            self.keys.insert(name.clone());
        }
        name
    }

    fn creation(&mut self, table: &mut Table, wanted: Wanted) -> String {
        let name = table.sql();
        let columns: Vec<String> =
            table.columns.iter().map(|column| self.definition(column)).collect();
        let columns = columns.join(", ");
        let key: Vec<String> = table.key().into_iter().map(Column::quoted).collect();
        let key = key.join(", ");
        match &table.family {
            Family::Keyed => {
                let unlogged = if wanted == Wanted::Unlogged { "UNLOGGED" } else { "" };
                format!("CREATE {unlogged} TABLE {name} ({columns}, PRIMARY KEY ({key}))")
            }
            Family::Indexed { index } => format!(
                "CREATE TABLE {name} ({columns}); CREATE UNIQUE INDEX {} ON {name} ({key}); {}",
                quoted(index),
                table.set_identity(Identity::Index)
            ),
            Family::Partitioned { .. } => {
                let region =
                    table.columns.iter().find(|column| matches!(column.role, Role::Region));
                let root = format!(
                    "CREATE TABLE {name} ({columns}, PRIMARY KEY ({key})) PARTITION BY LIST ({})",
                    region.unwrap().quoted()
                );
                format!("{root}; {}", self.partitions(table))
            }
        }
    }

    fn definition(&self, column: &Column) -> String {
        let more = match column.role {
            Role::Identity => "GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY".to_owned(),
            Role::Parent => {
                let parent = self.world.tables.last().unwrap();
                format!("REFERENCES {} ON UPDATE CASCADE ON DELETE SET NULL", parent.sql())
            }
            _ if column.is_key() => "NOT NULL".to_owned(),
            _ => String::new(),
        };
        format!("{} {} {more}", column.quoted(), column.sql)
    }

    /// One by one: a usual one, one whose columns have another order, one of two parts, the default.
    fn partitions(&mut self, table: &mut Table) -> String {
        let mut leaf = || {
            let name = self.fresh_name();
            qualified(&table.schema, &name)
        };
        let (usual, other, rest) = (leaf(), leaf(), leaf());
        let (middle, first, second) = (leaf(), leaf(), leaf());
        let root = table.sql();
        let value = |at: usize| super::values::quoted(REGIONS[at]);
        let reversed: Vec<String> =
            table.columns.iter().rev().map(|column| self.definition(column)).collect();
        let sql = format!(
            "CREATE TABLE {usual} PARTITION OF {root} FOR VALUES IN ({north}); \
             CREATE TABLE {other} (gone int, {columns}); ALTER TABLE {other} DROP COLUMN gone; \
             ALTER TABLE {root} ATTACH PARTITION {other} FOR VALUES IN ({south}); \
             CREATE TABLE {middle} PARTITION OF {root} FOR VALUES IN ({east}) PARTITION BY HASH ({locator}); \
             CREATE TABLE {first} PARTITION OF {middle} FOR VALUES WITH (MODULUS 2, REMAINDER 0); \
             CREATE TABLE {second} PARTITION OF {middle} FOR VALUES WITH (MODULUS 2, REMAINDER 1); \
             CREATE TABLE {rest} PARTITION OF {root} DEFAULT",
            north = value(0),
            south = value(1),
            east = value(2),
            columns = reversed.join(", "),
            locator = table.locator().0.quoted(),
        );
        table.family = Family::Partitioned { leaves: vec![usual, other, first, second, rest] };
        sql
    }
}
