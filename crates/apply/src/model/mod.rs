//! The applier against a model: random transactions, and a server that loses answers, executes requests late or twice, and
//! forgets tombstones; crashes and restarts in between. At the end the index equals the table; meanwhile searches saw
//! nothing but committed states that never went back, and nothing was confirmed that was not there.
//!
//! `WAL2ES_MODEL_SEEDS` says how many seeds are run, `WAL2ES_MODEL_SEED` with which to begin.

#![expect(clippy::print_stdout, reason = "a test says what happened")]

mod cases;
mod http;
mod log;
mod run;
mod server;

use std::time::Duration;

use fastrand::Rng;
use log::Log;
use run::{Outcome, Run, run};
use server::Faults;
use tokio::task::JoinSet;

/// Runs beside each other: each of them waits most of its time.
const AT_ONCE: u64 = 32;

const FAULTS: Faults = Faults {
    lost: 60,
    given_up: 100,
    twice: 40,
    busy: 60,
    refused: 40,
    others: 20,
    forgotten: 100,
};

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_transactions_and_faults() {
    let first = number("WAL2ES_MODEL_SEED", 0);
    let seeds = number("WAL2ES_MODEL_SEEDS", 100);
    let (mut total, mut failed) = (Outcome::default(), Vec::new());
    let mut runs = JoinSet::new();
    for seed in first..first + seeds {
        if seed >= first + AT_ONCE {
            take(runs.join_next().await, &mut total, &mut failed);
        }
        runs.spawn(async move {
            let mut random = Rng::with_seed(seed);
            let log = Log::random(&mut random, 4);
            let run_of = Run { faults: FAULTS, crashes: 40, ..Run::of(log) };
            (seed, tokio::time::timeout(Duration::from_secs(120), run(run_of, random)).await)
        });
    }
    while let Some(ended) = runs.join_next().await {
        take(Some(ended), &mut total, &mut failed);
    }
    println!("{seeds} seeds: {total:?}");
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let happened = total.crashes > seeds && total.executed_late > seeds && total.brought_back > 0;
    assert!(happened || seeds < 100, "the faults have to happen");
}

type Ended = Result<
    (u64, Result<Result<Outcome, String>, tokio::time::error::Elapsed>),
    tokio::task::JoinError,
>;

fn take(ended: Option<Ended>, total: &mut Outcome, failed: &mut Vec<String>) {
    match ended {
        Some(Ok((_, Ok(Ok(outcome))))) => total.add(&outcome),
        Some(Ok((seed, Ok(Err(why))))) => failed.push(format!("seed {seed}: {why}")),
        Some(Ok((seed, Err(_)))) => failed.push(format!("seed {seed}: it does not end")),
        other => failed.push(format!("{other:?}")),
    }
}
