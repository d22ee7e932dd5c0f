//! Reading rows: what a plugin wrote, as row operations. `memcpy` of the same bytes stands beside it. See README.md.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    dead_code,
    unreachable_pub,
    reason = "a benchmark"
)]

mod item;

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use item::Messages;

fn group(
    criterion: &mut Criterion,
    plugin: &str,
    messages: &Messages,
    mut read: impl FnMut(&[u8]),
) {
    let name = format!("decode/{plugin}, {} bytes a row", messages.bytes.len() / item::ROWS);
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Bytes(messages.bytes.len() as u64));
    let mut copy = Vec::with_capacity(messages.bytes.len());
    group.bench_function("memcpy", |bencher| {
        bencher.iter(|| {
            copy.clear();
            copy.extend_from_slice(black_box(&messages.bytes));
            black_box(&mut copy);
        });
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| messages.iter().for_each(|message| read(black_box(message))));
    });
    group.finish();
}

fn decode(criterion: &mut Criterion) {
    let mut decoder = item::pgoutput();
    group(criterion, "pgoutput", &item::pgoutput_messages(), |message| {
        black_box(decoder.decode(message).unwrap());
    });
    let mut decoder = item::test_decoding();
    group(criterion, "test_decoding", &item::test_decoding_lines(), |line| {
        black_box(decoder.replay(line).unwrap());
    });
}

criterion_group!(benches, decode);
criterion_main!(benches);
