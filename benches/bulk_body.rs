//! The whole way of a row between the socket and the request: decoding, making the document, writing it into a bulk
//! body. See README.md.

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
use item::{Body, ROWS};

fn bulk_body(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode, document, bulk body");
    let (messages, mut decoder, mut body) =
        (item::pgoutput_messages(), item::pgoutput(), Body::new());
    group.throughput(Throughput::Elements(ROWS as u64));
    group.bench_function(
        format!("pgoutput, {} bytes a row", messages.bytes.len() / ROWS),
        |bencher| {
            bencher.iter(|| {
                body.begin();
                for (message, ordinal) in messages.iter().zip(0..) {
                    body.take(&decoder.decode(black_box(message)).unwrap(), ordinal);
                }
                black_box(body.end());
            });
        },
    );
    let (lines, mut decoder) = (item::test_decoding_lines(), item::test_decoding());
    group.bench_function(
        format!("test_decoding, {} bytes a row", lines.bytes.len() / ROWS),
        |bencher| {
            bencher.iter(|| {
                body.begin();
                for (line, ordinal) in lines.iter().zip(0..) {
                    body.take(&decoder.replay(black_box(line)).unwrap(), ordinal);
                }
                black_box(body.end());
            });
        },
    );
    group.finish();
}

criterion_group!(benches, bulk_body);
criterion_main!(benches);
