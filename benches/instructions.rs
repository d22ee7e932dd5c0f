//! Does one thing with so many thousands of rows, for an instruction counter to count: `benches/instructions` runs it.
//!
//! `instructions STAGE THOUSANDS`: STAGE is `pgoutput` or `test_decoding`, alone or with `-bulk` behind it.

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

use item::Body;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    // Without arguments it was started by `cargo bench` or `cargo test`, and has nothing to do.
    let (Some(stage), Some(thousands)) = (arguments.next(), arguments.next()) else { return };
    let thousands: usize = thousands.parse().unwrap();
    let (plugin, with_body) = match stage.strip_suffix("-bulk") {
        Some(plugin) => (plugin, true),
        None => (stage.as_str(), false),
    };
    let mut body = Body::new();
    let (mut pgoutput, mut test_decoding) = (item::pgoutput(), item::test_decoding());
    let messages = match plugin {
        "pgoutput" => item::pgoutput_messages(),
        "test_decoding" => item::test_decoding_lines(),
        other => panic!("no stage {other}"),
    };
    for _ in 0..thousands {
        body.begin();
        for (message, ordinal) in messages.iter().zip(0..) {
            let event = match plugin {
                "pgoutput" => pgoutput.decode(black_box(message)).unwrap(),
                _ => test_decoding.replay(black_box(message)).unwrap(),
            };
            if with_body { body.take(&event, ordinal) } else { drop(black_box(event)) }
        }
        black_box(body.end());
    }
}
