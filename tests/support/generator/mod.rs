//! A workload made by chance from a seed: DDL and DML over all types, in several sessions with open transactions.
//!
//! It is for readers of the log: whichever way they read it, the rows that they end with must be those of the tables. So
//! it is full of what is hard to read and keeps one promise: a reader that applies each committed row event to the row's
//! key, in commit order, has the tables' rows at the end, with nothing to be read again. `ddl` says how.
//!
//! The same seed against the same server sends the same SQL: one thread drives all sessions, and none ever waits for
//! another, because each transaction first claims what it touches (`transaction`).

mod ddl;
mod dml;
mod key_changes;
mod keys;
pub mod kinds;
mod names;
pub mod replay;
mod rows;
mod schema;
mod sessions;
mod steps;
mod table;
mod transaction;
mod truncate;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use self::names::quoted;
use self::sessions::{SESSIONS, Sessions};
use self::table::{Family, Table};
use self::transaction::{Transaction, World};
use self::values::{Draw, Type};
use crate::support::postgres::Database;

/// Done by a session in its open transaction.
type Step = fn(&mut Generator, usize);
/// The same; None where it can't be done now.
type Change = fn(&mut Generator, usize) -> Option<()>;

/// What is made where, and how much of it.
#[derive(Clone)]
pub struct Options {
    /// Of all tables in `schemas`, via the partition root.
    pub publication: String,
    /// Both published; unlogged tables are in them too.
    pub schemas: [String; 2],
    /// Not published.
    pub hidden: String,
    /// Tables made at the start, besides five with a purpose.
    pub tables: usize,
    /// Rows of a large COPY; 3,000 are enough to be streamed under `logical_decoding_work_mem = 64kB`.
    pub many: usize,
}

impl Options {
    /// The usual, with a publication of this name.
    pub fn new(publication: &str) -> Self {
        Options {
            publication: publication.to_owned(),
            schemas: ["work".to_owned(), "we\"ird.sch]: ema".to_owned()],
            hidden: "hidden".to_owned(),
            tables: 10,
            many: 3_000,
        }
    }
}

/// A table as it is at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableInfo {
    pub schema: String,
    pub name: String,
    /// The columns that tell rows apart, always in the replica identity, in the order of their index.
    pub key: Vec<String>,
    /// Whether its changes are in the publication. Those of others are in the log nonetheless, unless it is unlogged.
    pub published: bool,
    /// The leaves under which test_decoding shows its rows, as SQL writes them.
    pub leaves: Vec<String>,
}

impl TableInfo {
    /// Its name as SQL writes it.
    pub fn sql(&self) -> String {
        names::qualified(&self.schema, &self.name)
    }
}

/// Makes the workload.
pub struct Generator {
    options: Options,
    draw: Draw,
    sessions: Sessions,
    world: World,
    open: [Option<Transaction>; SESSIONS],
    prepared: Vec<Transaction>,
    /// Makes names and transactions differ.
    number: u32,
    next_row: u64,
    /// Names that were ever given to a table or an index.
    names: BTreeSet<String>,
    /// Names that were ever given to a key column.
    keys: BTreeSet<String>,
    /// Types whose turn is still to come.
    deck: Vec<&'static Type>,
    xml: Option<&'static Type>,
    two_phase: bool,
}

impl Generator {
    pub fn new(seed: u64, options: Options) -> Self {
        Generator {
            options,
            draw: Draw::new(seed),
            sessions: Sessions::default(),
            world: World::default(),
            open: [const { None }; SESSIONS],
            prepared: Vec::new(),
            number: 0,
            next_row: 0,
            names: BTreeSet::new(),
            keys: BTreeSet::new(),
            deck: Vec::new(),
            xml: None,
            two_phase: false,
        }
    }

    /// Connects, and makes types, schemas, tables and the publication in an empty database. Readers make their slots
    /// after this.
    pub fn prepare(&mut self, database: &Database) {
        self.sessions.connect(database);
        self.two_phase = self.sessions.ask("SHOW max_prepared_transactions") != "0";
        self.xml = self.sessions.can("SELECT '<a/>'::xml").then_some(values::XML);
        let [first, second] = self.options.schemas.each_ref().map(|name| quoted(name));
        let schemas = format!(
            "CREATE SCHEMA {first}; CREATE SCHEMA {second}; CREATE SCHEMA {}; \
             CREATE PUBLICATION {} FOR TABLES IN SCHEMA {first}, {second} \
             WITH (publish_via_partition_root = true)",
            quoted(&self.options.hidden),
            quoted(&self.options.publication),
        );
        self.sessions.run(0, kinds::PREPARE, &format!("{}{schemas}", values::PREPARE));
        for session in 0..SESSIONS {
            self.sessions.run(
                session,
                kinds::TEMPORARY,
                "CREATE TEMPORARY TABLE scratch (text text)",
            );
        }
        self.create_tables();
    }

    /// What exists now, published or not. Of use after `run` or `finish`.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.world.tables.iter().map(info).collect()
    }

    /// Whether columns of this name are key columns, in whatever table and at whatever time. Keys are renamed too, and
    /// under REPLICA IDENTITY FULL the stream does not tell which columns they are.
    pub fn is_key(&self, column: &str) -> bool {
        self.keys.contains(column)
    }

    /// Everything that was sent, with the number of its session.
    pub fn log(&self) -> &[String] {
        self.sessions.log()
    }

    /// How often each kind of statement was sent: `kinds::ALL`.
    pub fn counts(&self) -> &BTreeMap<&'static str, usize> {
        self.sessions.counts()
    }
}

fn info(table: &Table) -> TableInfo {
    let leaves = match &table.family {
        Family::Partitioned { leaves } => leaves.clone(),
        _ => Vec::new(),
    };
    TableInfo {
        schema: table.schema.clone(),
        name: table.name.clone(),
        key: table.key().into_iter().map(|column| column.name.clone()).collect(),
        published: table.published,
        leaves,
    }
}
