//! The generated workload: what it promises to those who read it.

use std::io::Read as _;

use ::postgres::Client;

use super::Scenario;
use crate::support::generator::replay::{Fields, Replay, Rows};
use crate::support::generator::{Generator, Options, TableInfo, kinds};
use crate::support::postgres::Database;
use crate::support::seed::Seed;
use crate::support::servers::Server;
use crate::support::shared::postgres_kind;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("does_everything", does_everything),
    Scenario::new("same_seed_same_sql", same_seed_same_sql),
    Scenario::new("the_log_tells_all_rows", the_log_tells_all_rows),
];

/// Of its own: the others allow no prepared transactions.
fn server() -> Server {
    let settings = ["max_prepared_transactions=10", "logical_decoding_work_mem=64kB", "fsync=off"];
    let options: Vec<&str> = settings.into_iter().flat_map(|setting| ["--set", setting]).collect();
    Server::start(&postgres_kind(), &options)
}

fn prepared(server: &Server, name: &str, seed: u64) -> (Database, Generator) {
    let database = Database::create(server.fact("port").parse().unwrap(), name);
    let mut generator = Generator::new(seed, Options::new(name));
    generator.prepare(&database);
    (database, generator)
}

/// Every kind of statement occurs, and what it says there is at the end is there.
fn does_everything() {
    let mut seed = Seed::new();
    let server = server();
    let (database, mut generator) = prepared(&server, "everything", seed.rng.u64(..));
    let missing = |generator: &Generator| -> Vec<&str> {
        let counts = generator.counts();
        kinds::ALL.iter().filter(|kind| !counts.contains_key(*kind)).copied().collect()
    };
    for _ in 0..50 {
        generator.run(100);
        if missing(&generator).is_empty() {
            break;
        }
    }
    assert_eq!(missing(&generator), [""; 0]);
    let mut sql = database.session();
    let (mut tables, mut rows) = (0, 0);
    for table in generator.tables() {
        tables += 1;
        rows += copied(&mut sql, &table, &generator).len();
    }
    assert!(tables >= 15 && rows > 0, "{tables} tables, {rows} rows");
}

fn same_seed_same_sql() {
    let mut seed = Seed::new();
    let server = server();
    let number = seed.rng.u64(..);
    let run = |number: u64| {
        let (_, mut generator) = prepared(&server, "again", number);
        generator.run(300);
        (generator.log().to_vec(), generator.tables())
    };
    let (log, tables) = run(number);
    let (again, tables_again) = run(number);
    for (one, other) in log.iter().zip(&again) {
        assert_eq!(one, other);
    }
    assert_eq!((log.len(), &tables), (again.len(), &tables_again));
    assert!(run(number ^ 1).0 != log, "another seed, the same SQL");
}

/// Whoever applies the row events of the log, and nothing else, has the tables' rows.
fn the_log_tells_all_rows() {
    let mut seed = Seed::new();
    let server = server();
    let (database, mut generator) = prepared(&server, "told", seed.rng.u64(..));
    let mut sql = database.session();
    let make = "SELECT FROM pg_create_logical_replication_slot('told', 'pgoutput')";
    sql.execute(make, &[]).unwrap();
    let (mut replay, mut streamed) = (Replay::default(), 0);
    for _ in 0..4 {
        generator.run(250);
        streamed += in_stream(&mut sql);
        let read = "SELECT data FROM pg_logical_slot_get_binary_changes('told', NULL, NULL, \
                    'proto_version', '1', 'publication_names', 'told')";
        for row in sql.query(read, &[]).unwrap() {
            replay.apply(row.get(0), &|column| generator.is_key(column));
        }
        let mut rows = 0;
        for table in generator.tables().iter().filter(|table| table.published) {
            rows += expect_told(&mut sql, table, &generator, &replay);
        }
        assert!(rows > 0);
    }
    assert!(replay.filled > 0, "no UPDATE left out a large value");
    assert!(streamed > 0, "no transaction was large enough to be streamed");
}

/// How often the server would begin to stream a transaction before its end.
fn in_stream(sql: &mut Client) -> i64 {
    let read = "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('told', NULL, NULL, \
                'proto_version', '2', 'publication_names', 'told', 'streaming', 'on') \
                WHERE get_byte(data, 0) = ascii('S')";
    sql.query_one(read, &[]).unwrap().get(0)
}

/// The number of rows.
fn expect_told(sql: &mut Client, table: &TableInfo, generator: &Generator, replay: &Replay) -> usize {
    let copied = copied(sql, table, generator);
    let name = (table.schema.clone(), table.name.clone());
    let query = "SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = $1 AND relname = $2";
    let oid: u32 = sql.query_one(query, &[&name.0, &name.1]).unwrap().get(0);
    let told = replay.tables.get(&oid).cloned().unwrap_or_default();
    for (key, fields) in &copied {
        let told = told.get(key).unwrap_or_else(|| panic!("{name:?}: {key:?} was not told"));
        assert_eq!(told, fields, "{name:?}, {key:?}");
    }
    assert_eq!(told.len(), copied.len(), "{name:?} has rows no more");
    copied.len()
}

/// The rows of a table by COPY.
fn copied(sql: &mut Client, table: &TableInfo, generator: &Generator) -> Rows {
    let columns = "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass \
                   AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
    let columns = sql.query(columns, &[&table.sql()]).unwrap();
    let columns: Vec<String> = columns.iter().map(|row| row.get(0)).collect();
    assert!(table.key.iter().all(|key| columns.contains(key)), "{table:?}: {columns:?}");
    let mut text = String::new();
    let copy = format!("COPY (SELECT * FROM {}) TO STDOUT", table.sql());
    sql.copy_out(&copy).unwrap().read_to_string(&mut text).unwrap();
    let mut rows = Rows::new();
    for line in text.split_terminator('\n') {
        let values = line.split('\t').map(unescaped);
        let fields: Fields = columns.iter().cloned().zip(values).collect();
        let key = columns.iter().filter(|name| generator.is_key(name));
        let key = key.map(|name| fields[name].clone()).collect();
        assert!(rows.insert(key, fields).is_none(), "{table:?}: a key twice");
    }
    rows
}

/// A field of COPY's text format.
fn unescaped(field: &str) -> Option<String> {
    let mut text = String::new();
    let mut rest = field.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            text.push(c);
            continue;
        }
        text.push(match rest.next()? {
            'N' => return None,
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            c => c,
        });
    }
    Some(text)
}
