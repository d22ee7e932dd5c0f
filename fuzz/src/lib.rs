//! Properties that no input may break, one module for each kind of input: [`target`].
//!
//! The same functions run in two ways: under [cargo-fuzz](https://rust-fuzz.github.io/book/cargo-fuzz.html) (the
//! binaries in `targets/`), and on stable Rust over the seeds in `corpus/` and mutations of them (`tests/corpus.rs`).
//! A property that does not hold is a panic.

pub mod frames;
#[cfg(feature = "libfuzzer")]
pub mod libfuzzer;
mod mutate;
pub mod target;

pub use mutate::{bytes, framed};
pub use target::{TARGETS, Target};
