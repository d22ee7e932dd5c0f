//! Every target over its seeds, and over a bounded number of mutations of them, on stable Rust.
//!
//! - `WAL2ES_FUZZ_ROUNDS`: so many mutations of each target.
//! - `WAL2ES_FUZZ_SEED`: other mutations than those of every run; a failure names the seed.
//!
//! A failure prints the input and where it belongs: a seed that once failed stays in the tree.

#![allow(clippy::unwrap_used, reason = "a seed that can't be read fails the test")]

use std::fmt::Write as _;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use fastrand::Rng;
use fuzz::Target;

/// Inputs don't grow beyond it, in bytes.
const MAX_LEN: usize = 1 << 16;

/// Memory that may be in use at once: so many bytes, and so many for each byte of the input.
const MEMORY: (u64, u64) = (1 << 20, 512);

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

fn directory(target: &Target) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The seeds with their names, in the order of these.
fn seeds(target: &Target) -> Vec<(String, Vec<u8>)> {
    let directory = directory(target);
    let entries =
        fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

/// Runs one input; `origin` says where it comes from.
fn run(target: &Target, data: &[u8], origin: impl Fn() -> String) -> bool {
    let mut result = Ok(false);
    let memory = allocation_counter::measure(|| {
        result = catch_unwind(AssertUnwindSafe(|| target.run(data)));
    });
    let allowed = MEMORY.0 + MEMORY.1 * data.len() as u64;
    if let Ok(understood) = result
        && memory.bytes_max <= allowed
    {
        return understood;
    }
    let hex = data.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    });
    eprintln!(
        "{} fails with {}, {} bytes:\n{hex}\nKeep it:\n  echo {hex} | xxd -r -p > {}/WHAT_IT_SHOWS",
        target.name,
        origin(),
        data.len(),
        directory(target).display(),
    );
    match result {
        Err(panic) => resume_unwind(panic),
        Ok(_) => panic!("{} bytes in use at once, {allowed} allowed", memory.bytes_max),
    }
}

fn check(target: &Target) {
    let seeds = seeds(target);
    assert!(!seeds.is_empty(), "no seeds in {}", directory(target).display());
    for (name, data) in &seeds {
        let understood = run(target, data, || name.clone());
        let recorded = ["pg15-", "pg18-", "opensearch-"].iter().any(|from| name.starts_with(from));
        assert!(
            understood || !recorded,
            "{name} comes from a real server, and it is not understood"
        );
    }
    let seed = number("WAL2ES_FUZZ_SEED").unwrap_or(1);
    let rounds = number("WAL2ES_FUZZ_ROUNDS").unwrap_or(u64::from(target.rounds));
    let mut rng = Rng::with_seed(seed);
    let mut data = Vec::new();
    // How often what is understood may be changed once more before another seed has its turn.
    let mut steps = 0;
    for round in 0..rounds {
        if steps == 0 || data.len() > MAX_LEN {
            data.clone_from(&seeds[rng.usize(0..seeds.len())].1);
            steps = 16;
        }
        let (_, other) = &seeds[rng.usize(0..seeds.len())];
        target.mutate(&mut rng, &mut data, other);
        let origin = || format!("mutation {round} of WAL2ES_FUZZ_SEED={seed}");
        steps = if run(target, &data, origin) { steps - 1 } else { 0 };
    }
}

#[test]
fn pgoutput_message() {
    check(&fuzz::target::pgoutput_message::TARGET);
}

#[test]
fn pgoutput_stream() {
    check(&fuzz::target::pgoutput_stream::TARGET);
}

#[test]
fn test_decoding_line() {
    check(&fuzz::target::test_decoding_line::TARGET);
}

#[test]
fn text_value() {
    check(&fuzz::target::text_value::TARGET);
}

#[test]
fn copy_row() {
    check(&fuzz::target::copy_row::TARGET);
}

#[test]
fn bulk_response() {
    check(&fuzz::target::bulk_response::TARGET);
}

#[test]
fn spool_file() {
    check(&fuzz::target::spool_file::TARGET);
}

/// Neither a target nor its binary, its test or its seeds are forgotten.
#[test]
fn every_target_is_run() {
    let list = |directory: &str| {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(directory);
        let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let mut names: Vec<_> =
            entries.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let mut names: Vec<_> = fuzz::TARGETS.iter().map(|target| target.name).collect();
    names.sort_unstable();
    assert_eq!(list("targets"), names);
    assert_eq!(list("corpus"), names);
    for name in names {
        assert!(include_str!("corpus.rs").contains(&format!("fn {name}()")), "{name}");
    }
}
