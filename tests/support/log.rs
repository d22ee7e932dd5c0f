//! The log as a plugin tells it, read by the crates under test and kept as rows.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use change::{Lsn, OldImage, Row, RowChange, TableName, Value};
use decode::pgoutput::{self, Protocol};
use decode::{Event, Relation, test_decoding};
use spool::Spool;
use tokio::runtime::Runtime;
use wal::{CancellationToken, ConnInfo, Connection, Message, Mode, StreamOptions};

use super::postgres::Database;
use super::temp::TempDir;

/// One message and where it says that it is.
pub type Told = (Lsn, Vec<u8>);

/// Everything that the slot has up to `until`. Nothing is confirmed, so it can be read again.
pub fn read(database: &Database, slot: &str, options: &[(&str, &str)], until: Lsn) -> Vec<Told> {
    let info: ConnInfo = database.url().parse().unwrap();
    Runtime::new().unwrap().block_on(async {
        let connection = Connection::connect(&info, Mode::Replication).await.unwrap();
        let stream = connection.start_replication(slot, Lsn::ZERO, options).await.unwrap();
        let (pump, mut receiver, _confirm) = stream.split(StreamOptions::default());
        let stop = CancellationToken::new();
        let pump = tokio::spawn(pump.run(stop.clone()));
        let mut told = Vec::new();
        'reading: while let Some(chunk) = receiver.next().await {
            for message in chunk.messages() {
                match message.unwrap() {
                    Message::Keepalive { wal_end, .. } if wal_end >= until => break 'reading,
                    Message::Keepalive { .. } => {}
                    Message::WalData { start, payload, .. } => told.push((start, payload.to_vec())),
                }
            }
        }
        stop.cancel();
        let ended = pump.await.unwrap();
        ended.unwrap_or_else(|error| panic!("{slot} with {options:?}: {error}"));
        told
    })
}

/// The values of a row by column, None for NULL.
pub type Fields = BTreeMap<String, Option<Vec<u8>>>;

/// A transaction as it was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    pub commit: Lsn,
    /// Its row changes and truncations, each as a digest of all that was told of it, in their order.
    pub changes: Vec<u64>,
}

/// What the log has told by now.
#[derive(Default)]
pub struct Rows {
    /// By table, under its OID or each name that it had, and key.
    pub tables: HashMap<TableName, BTreeMap<Vec<Vec<u8>>, Fields>>,
    /// By the end of the commit record.
    pub transactions: BTreeMap<u64, Transaction>,
    /// Transactions that were held.
    pub released: usize,
    pub aborted: usize,
    open: Option<Transaction>,
}

/// Either decoder.
enum Decoder {
    PgOutput(pgoutput::Decoder),
    TestDecoding(test_decoding::Decoder),
}

/// Reads all of it. `is_key` tells key columns by their names, `known_as` the name under which a table is kept.
pub fn rows(
    protocol: Option<Protocol>,
    told: &[Told],
    is_key: &dyn Fn(&str) -> bool,
    known_as: &dyn Fn(&TableName) -> TableName,
) -> Rows {
    let mut decoder = match protocol {
        Some(protocol) => Decoder::PgOutput(pgoutput::Decoder::new(protocol)),
        None => Decoder::TestDecoding(test_decoding::Decoder::new()),
    };
    let dir = TempDir::new("spool");
    let mut spool = Spool::open(&dir.path().join("spool"), 32 << 10).unwrap();
    let mut rows = Rows::default();
    for (lsn, message) in told {
        let event = match &mut decoder {
            Decoder::PgOutput(decoder) => decoder.decode(message),
            Decoder::TestDecoding(decoder) => decoder.decode(*lsn, message),
        };
        match event.unwrap_or_else(|error| panic!("at {lsn}: {error}: {message:?}")) {
            Event::Hold(part) => spool.hold(part.transaction, part.part, message).unwrap(),
            Event::Abort(part) => {
                rows.aborted += 1;
                spool.abort(part.transaction, part.part);
            }
            Event::Release(release) => {
                rows.released += 1;
                let begin = match &mut decoder {
                    Decoder::PgOutput(decoder) => decoder.begin_release(&release),
                    Decoder::TestDecoding(decoder) => decoder.begin_release(&release),
                };
                rows.take(Event::Begin(begin.unwrap()), is_key, known_as);
                let mut held = spool.release(release.transaction).unwrap();
                while let Some(message) = held.as_mut().and_then(|held| held.next().unwrap()) {
                    let event = match &mut decoder {
                        Decoder::PgOutput(decoder) => decoder.replay(message),
                        Decoder::TestDecoding(decoder) => decoder.replay(message),
                    };
                    rows.take(event.unwrap(), is_key, known_as);
                }
                let commit = match &mut decoder {
                    Decoder::PgOutput(decoder) => decoder.end_release(),
                    Decoder::TestDecoding(decoder) => decoder.end_release(),
                };
                rows.take(Event::Commit(commit.unwrap()), is_key, known_as);
            }
            event => rows.take(event, is_key, known_as),
        }
    }
    assert_eq!(spool.stats().file_bytes, 0, "what was held and never released or aborted");
    rows
}

impl Rows {
    /// The transactions that changed rows, by the ends of their commit records.
    pub fn changing(&self) -> impl Iterator<Item = (&u64, &Transaction)> {
        self.transactions.iter().filter(|(_, transaction)| !transaction.changes.is_empty())
    }

    fn take(
        &mut self,
        event: Event<'_>,
        is_key: &dyn Fn(&str) -> bool,
        known_as: &dyn Fn(&TableName) -> TableName,
    ) {
        match event {
            Event::Begin(begin) => {
                self.open = Some(Transaction { commit: begin.commit.0, changes: Vec::new() });
            }
            Event::Commit(commit) => {
                let transaction = self.open.take().unwrap();
                assert_eq!(transaction.commit, commit.commit.0);
                self.transactions.insert(commit.end.get(), transaction);
            }
            Event::Row(op, relation) => {
                let mut digest = DefaultHasher::new();
                let name = kept_as(relation.oid, &relation.name, known_as);
                format!("{name} {:?}", op.change).hash(&mut digest);
                self.open.as_mut().unwrap().changes.push(digest.finish());
                let table = self.tables.entry(name).or_default();
                change(table, op.change, relation, is_key);
            }
            Event::Truncate(truncate) => {
                let mut digest = DefaultHasher::new();
                for table in &truncate.tables {
                    let name = kept_as(table.oid, &table.name, known_as);
                    name.hash(&mut digest);
                    self.tables.remove(&name);
                }
                self.open.as_mut().unwrap().changes.push(digest.finish());
            }
            _ => {}
        }
    }
}

/// By its OID where that is told: Postgres goes on to tell a partitioned table under its old name after it was renamed, as
/// long as its partitions stay as they are.
fn kept_as(
    oid: Option<u32>,
    name: &TableName,
    known_as: &dyn Fn(&TableName) -> TableName,
) -> TableName {
    oid.map_or_else(|| known_as(name), of_oid)
}

/// The name under which rows of a table are kept whose OID was told.
pub fn of_oid(oid: u32) -> TableName {
    TableName::new("", oid.to_string())
}

fn change(
    table: &mut BTreeMap<Vec<Vec<u8>>, Fields>,
    change: RowChange<'_>,
    relation: &Relation,
    is_key: &dyn Fn(&str) -> bool,
) {
    let (old, new) = match change {
        RowChange::Insert { new } => (OldImage::Absent, Some(new)),
        RowChange::Update { old, new } => (old, Some(new)),
        RowChange::Delete { old } => (old, None),
    };
    let old = old.row();
    let Some(known) = old.or(new) else { return };
    let before = match known.values().next() {
        Some(_) => table.remove(&key(relation, known, new, is_key)),
        None => None,
    };
    let Some(new) = new else { return };
    let mut fields = Fields::new();
    for (at, column) in relation.columns.iter().enumerate() {
        let value = match (new.get(at), old.map(|old| old.get(at))) {
            (Value::Text(text), _) => Some(text.to_vec()),
            (Value::Null, _) => None,
            (Value::Unchanged, Some(Value::Text(text))) => Some(text.to_vec()),
            (Value::Unchanged, _) => before
                .as_ref()
                .and_then(|before| before.get(&column.name))
                .unwrap_or_else(|| panic!("{}: nobody knows {:?}", relation.name, column.name))
                .clone(),
        };
        fields.insert(column.name.clone(), value);
    }
    let columns = relation.columns.iter().filter(|column| is_key(&column.name));
    let key = columns.map(|column| fields[&column.name].clone().unwrap()).collect();
    table.insert(key, fields);
}

/// The key of the row that `known` tells of; what an old row does not tell did not change.
fn key(
    relation: &Relation,
    known: Row<'_>,
    new: Option<Row<'_>>,
    is_key: &dyn Fn(&str) -> bool,
) -> Vec<Vec<u8>> {
    let columns = relation.columns.iter().enumerate().filter(|(_, column)| is_key(&column.name));
    let text = |(at, column): (usize, &decode::RelationColumn)| match (
        known.get(at),
        new.map(|new| new.get(at)),
    ) {
        (Value::Text(text), _) | (_, Some(Value::Text(text))) => text.to_vec(),
        other => panic!("{}: no value of the key {:?}: {other:?}", relation.name, column.name),
    };
    columns.map(text).collect()
}
