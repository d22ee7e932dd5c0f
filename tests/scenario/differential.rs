//! One log, read in every way that there is: the rows, and the documents that are made of them, are the same.

use std::collections::BTreeMap;

use change::{Cell, Lsn, OldImage, Row, Table, TableName};
use decode::pgoutput::{Protocol, Streaming};
use decode::test_decoding;
use document::{IndexSpec, Plan, Scratch};
use snapshot::Keeper;
use snapshot::catalog;
use snapshot::copy::Copy;
use tokio::runtime::Runtime;
use wal::ConnInfo;

use super::Scenario;
use crate::support::generator::{Generator, Options};
use crate::support::log::{self, Fields, Rows};
use crate::support::number;
use crate::support::postgres::Database;
use crate::support::seed::Seed;
use crate::support::servers::Server;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("on_postgres_18", || read_in_all_ways("postgres-18")),
    Scenario::new("on_postgres_15", || read_in_all_ways("postgres-15")),
];

/// How often the generator takes a step.
const STEPS: u64 = 2_000;

fn read_in_all_ways(kind: &str) {
    let mut seed = Seed::new();
    let server = Server::start(kind, &["--set", "max_prepared_transactions=10", "--set", "fsync=off"]);
    let database = Database::create(server.fact("port").parse().unwrap(), "differential");
    let mut generator = Generator::new(seed.rng.u64(..), Options::new("differential"));
    generator.prepare(&database);
    let mut sql = database.session();
    for plugin in ["pgoutput", "test_decoding"] {
        let make = "SELECT FROM pg_create_logical_replication_slot($1, $1)";
        sql.execute(make, &[&plugin]).unwrap();
    }
    generator.run(usize::try_from(number("WAL2ES_TEST_STEPS", STEPS)).unwrap());
    generator.finish();
    let end = "SELECT pg_current_wal_flush_lsn()::text FROM pg_switch_wal()";
    let until: Lsn = sql.query_one(end, &[]).unwrap().get::<_, &str>(0).parse().unwrap();

    let newest = Protocol::negotiate(if kind == "postgres-15" { 150_000 } else { 180_000 }, false);
    let streaming = Protocol::negotiate(if kind == "postgres-15" { 150_000 } else { 180_000 }, true);
    let plain = Protocol::new(1, Streaming::Off).unwrap();
    let second = Protocol::new(2, Streaming::On).unwrap();
    let read = |protocol: Protocol, memory: &str| {
        let set = format!("ALTER DATABASE differential SET logical_decoding_work_mem = '{memory}'");
        database.session().batch_execute(&set).unwrap();
        let mut options = protocol.options();
        options.extend([("publication_names", "differential"), ("messages", "true")]);
        let told = log::read(&database, "pgoutput", &options, until);
        log::rows(Some(protocol), &told, &|name| generator.is_key(name), &TableName::clone)
    };
    let expected = read(plain, "64MB");
    let transactions = expected.transactions.len();
    assert!(transactions > 50 && expected.released == 0, "{transactions} transactions");
    let mut released = Vec::new();
    for (protocol, memory) in [
        (plain, "64kB"),
        (second, "64kB"),
        (second, "300kB"),
        (newest, "64kB"),
        (streaming, "64kB"),
        (streaming, "1MB"),
    ] {
        let found = read(protocol, memory);
        expect_same(&expected, &found, &format!("{protocol:?} with {memory}"));
        released.push(found.released);
    }
    assert!(released[1] > 0 && released[4] > 0, "nothing was streamed: {released:?}");

    // With less, Postgres 18 ends in a segmentation fault when it tells test_decoding of a transaction that it threw away.
    sql.batch_execute("ALTER DATABASE differential SET logical_decoding_work_mem = '1GB'").unwrap();
    let text = log::read(&database, "test_decoding", &test_decoding::options(), until);
    let tables = generator.tables();
    let root = |name: &TableName| {
        let of = |leaf: &String| *leaf == name.quoted() || *leaf == name.to_string();
        match tables.iter().find(|table| table.leaves.iter().any(of)) {
            Some(table) => TableName::new(&table.schema, &table.name),
            None => name.clone(),
        }
    };
    let text = log::rows(None, &text, &|name| generator.is_key(name), &root);
    // One that has nothing but a logical message may come without BEGIN and COMMIT.
    for (end, transaction) in expected.changing() {
        let same = text.transactions.get(end);
        let same = same.unwrap_or_else(|| panic!("test_decoding has no commit that ends at {end:X}"));
        // Any place within the commit record will do.
        assert!(transaction.commit <= same.commit && same.commit.get() < *end);
    }

    let copied = copied(&database);
    assert!(copied.values().map(|(_, rows)| rows.len()).sum::<usize>() > 100);
    for (table, documents) in copied.values() {
        for (way, rows) in [("pgoutput", &expected), ("test_decoding", &text)] {
            expect_documents(way, table, documents, rows);
        }
    }
}

fn expect_same(expected: &Rows, found: &Rows, way: &str) {
    // Streamed, a transaction may have nothing left in the end; else the server leaves it out.
    let changing = |rows: &Rows| rows.changing().map(|(end, _)| *end).collect::<Vec<_>>();
    assert_eq!(changing(found), changing(expected), "{way}: transactions");
    for (end, transaction) in expected.changing() {
        let same = &found.transactions[end];
        assert_eq!(same.commit, transaction.commit, "{way}");
        // The same changes in the same order: so their ordinals, and with them the versions, are the same.
        assert!(
            same.changes == transaction.changes,
            "{way}: the transaction that ends at {end:X} has {} changes, {} of them in place; expected {}",
            same.changes.len(),
            same.changes.iter().zip(&transaction.changes).filter(|(a, b)| a == b).count(),
            transaction.changes.len(),
        );
    }
    assert!(found.tables == expected.tables, "{way}: rows");
}

/// Documents by their id.
type Documents = BTreeMap<Vec<u8>, Vec<u8>>;

/// Of all columns but those whose names no search server takes for fields.
fn plan(table: &Table) -> Plan {
    let odd = |name: &str| name.contains('.') || name.trim().is_empty() || name.starts_with('_');
    let columns = table.columns.iter().map(|column| column.name.clone());
    let spec = IndexSpec { exclude: columns.filter(|name| odd(name)).collect(), ..IndexSpec::default() };
    Plan::new(table, &spec).unwrap_or_else(|error| panic!("{error}"))
}

/// The documents of all published tables, by COPY.
fn copied(database: &Database) -> BTreeMap<TableName, (Table, Documents)> {
    let info: ConnInfo = database.url().parse().unwrap();
    Runtime::new().unwrap().block_on(async {
        let (client, driver) = wal::sql::connect(&info).await.unwrap();
        let driver = tokio::spawn(driver);
        let version = client.query_one("SELECT current_setting('server_version_num')::int", &[]);
        let version = version.await.unwrap().get::<_, i32>(0).unsigned_abs();
        let tables = catalog::published_tables(&client, "differential", version).await.unwrap();
        let keeper = Keeper::connect(&info).await.unwrap();
        let snapshot = keeper.snapshot("differential_copy", "pgoutput").await.unwrap();
        let mut session = snapshot.session(&info).await.unwrap();
        let mut copied = BTreeMap::new();
        for table in tables {
            let table = with_key(table);
            let (plan, mut documents) = (plan(&table), Documents::new());
            let whole = snapshot::Range::whole(&table);
            let mut copy = Copy::start(&mut session, &table, &whole).await.unwrap();
            while let Some(chunk) = copy.next_chunk().await.unwrap() {
                for message in chunk.messages() {
                    let (id, source) = document(&plan, &copy.read(message).unwrap());
                    assert!(documents.insert(id, source).is_none(), "{}: an id twice", table.name);
                }
            }
            copied.insert(table.name.clone(), (table, documents));
        }
        snapshot.end().await;
        drop(client);
        driver.await.unwrap().unwrap();
        copied
    })
}

/// A plan wants a primary key; some of the tables have only a replica identity, or all of the row.
fn with_key(mut table: Table) -> Table {
    if table.primary_key.is_empty() {
        let key = table.columns.iter().filter(|column| column.not_null && column.in_identity);
        table.primary_key = key.map(|column| column.name.clone()).collect();
    }
    for column in &mut table.columns {
        column.in_identity |= table.primary_key.contains(&column.name);
    }
    table
}

fn document(plan: &Plan, row: &Row<'_>) -> (Vec<u8>, Vec<u8>) {
    let (mut id, mut source) = (Vec::new(), Vec::new());
    plan.write_id(row, &mut id).unwrap();
    plan.write_source(row, OldImage::Absent, &mut Scratch::default(), &mut source).unwrap();
    (id, source)
}

/// The rows that the log has told make the documents that COPY makes.
fn expect_documents(way: &str, table: &Table, expected: &Documents, rows: &Rows) {
    let name = &table.name;
    let none = BTreeMap::new();
    let told = rows.tables.get(&log::of_oid(table.oid)).or_else(|| rows.tables.get(name)).unwrap_or(&none);
    let plan = plan(table);
    let found: Documents = told.values().map(|fields| made(&plan, table, fields)).collect();
    for (id, source) in expected {
        let id = String::from_utf8_lossy(id);
        let found = found.get(id.as_bytes());
        let found = found.unwrap_or_else(|| panic!("{way}: {name} has no {id}"));
        assert!(
            found == source,
            "{way}: {name}, {id}:\n{}\nexpected\n{}",
            String::from_utf8_lossy(found),
            String::from_utf8_lossy(source)
        );
    }
    assert_eq!(found.len(), expected.len(), "{way}: {name} has rows too many");
}

fn made(plan: &Plan, table: &Table, fields: &Fields) -> (Vec<u8>, Vec<u8>) {
    let (mut data, mut cells) = (Vec::new(), Vec::new());
    for column in &table.columns {
        let value = fields.get(&column.name);
        let value = value.unwrap_or_else(|| panic!("{}: {:?} was not told", table.name, column.name));
        cells.push(match value {
            Some(text) => Cell::text(data.len(), text.len()).unwrap(),
            None => Cell::NULL,
        });
        data.extend_from_slice(value.as_deref().unwrap_or_default());
    }
    document(plan, &Row::new(&data, &cells))
}
