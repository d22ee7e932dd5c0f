//! What a row costs between the socket and the request: decoding alone, and decoding, making the document and writing
//! it into a bulk body. See README.md beside this file.

#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark of its own making")]

use std::hint::black_box;

use apply::{Batch, Limits, Origin, Version, Write};
use change::{
    Column, CommitLsn, Lsn, OldImage, PgType, ReplicaIdentity, RowChange, Table, TableName,
};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use decode::pgoutput::{Decoder, Event};
use document::{IndexSpec, Plan, Scratch};

const ROWS: usize = 1000;

/// The row of the benchmarks: seven columns, 235 bytes as pgoutput sends it.
fn columns() -> Vec<(&'static str, PgType, u32, &'static str)> {
    let text = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. It has seen many foxes \
                come and go, and this one";
    vec![
        ("id", PgType::Int8, 20, "1234567"),
        ("name", PgType::Text, 25, "Nuku\u{2bb}alofa"),
        ("description", PgType::Text, 25, text),
        ("price", PgType::Numeric, 1700, "1234.50"),
        ("active", PgType::Bool, 16, "t"),
        ("at", PgType::TimestampTz, 1184, "2024-02-29 12:34:56.789012+00"),
        ("stars", PgType::Float8, 701, "4.25"),
    ]
}

fn insert() -> Vec<u8> {
    let mut message = b"I\0\0\x40\0N\0\x07".to_vec();
    for (_, _, _, value) in columns() {
        message.push(b't');
        message.extend_from_slice(&u32::try_from(value.len()).unwrap().to_be_bytes());
        message.extend_from_slice(value.as_bytes());
    }
    message
}

/// A decoder in the middle of a transaction.
fn decoder() -> Decoder {
    let mut relation = b"R\0\0\x40\0public\0item\0d\0\x07".to_vec();
    for (name, _, oid, _) in columns() {
        relation.push(u8::from(name == "id"));
        relation.extend_from_slice(name.as_bytes());
        relation.push(0);
        relation.extend_from_slice(&oid.to_be_bytes());
        relation.extend_from_slice(&(-1i32).to_be_bytes());
    }
    let mut decoder = Decoder::new();
    decoder.decode(&relation).unwrap();
    decoder.decode(b"B\0\0\0\0\x01\x53\xCA\xC8\0\0\0\0\0\0\0\0\0\0\0\x01").unwrap();
    decoder
}

fn plan() -> Plan {
    let columns = columns().into_iter().map(|(name, ty, type_oid, _)| Column {
        name: name.into(),
        ty,
        type_name: String::new(),
        type_oid,
        type_modifier: -1,
        not_null: true,
        in_identity: name == "id",
        toastable: false,
    });
    let table = Table {
        oid: 0x4000,
        name: TableName::new("public", "item"),
        columns: columns.collect(),
        primary_key: vec!["id".into()],
        identity: ReplicaIdentity::Default,
        row_filter: None,
        partitioned: false,
    };
    Plan::new(&table, &IndexSpec::default()).unwrap()
}

fn rows(criterion: &mut Criterion) {
    let message = insert();
    let mut group = criterion.benchmark_group(format!("{}-byte row", message.len()));
    group.throughput(Throughput::Bytes((message.len() * ROWS) as u64));
    let mut decode_only = decoder();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            for _ in 0..ROWS {
                black_box(decode_only.decode(black_box(&message)).unwrap());
            }
        });
    });
    let (mut whole, plan) = (decoder(), plan());
    let (mut id, mut scratch) = (Vec::new(), Scratch::default());
    let mut batch = Batch::new(Limits { bytes: usize::MAX, rows: usize::MAX });
    let commit = CommitLsn(Lsn::new(0x153_CAC8));
    group.bench_function("decode, document, bulk body", |bencher| {
        bencher.iter(|| {
            batch.clear();
            for ordinal in 0..ROWS as u64 {
                let Event::Row(op) = whole.decode(black_box(&message)).unwrap() else { continue };
                let RowChange::Insert { new } = op.change else { continue };
                id.clear();
                plan.write_id(&new, &mut id).unwrap();
                let write = Write {
                    index: 0,
                    index_name: "item-g1",
                    id: &id,
                    version: Version::streamed(commit, ordinal),
                    origin: Origin::Live,
                };
                let source = |out: &mut Vec<u8>| {
                    plan.write_source(&new, OldImage::Absent, &mut scratch, out)
                };
                batch.index(&write, source).unwrap();
                batch.commit(Lsn::new(0x153_CAF8));
            }
            black_box(batch.is_full());
        });
    });
    group.finish();
}

criterion_group!(benches, rows);
criterion_main!(benches);
