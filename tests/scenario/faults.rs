//! Schedules of faults from seeds: at the end each index equals its table, and meanwhile nobody saw what must not be seen.
//!
//! The tests run a few, always the same ones, and those that once found something. `scripts/torture` runs many.

use std::panic::{AssertUnwindSafe, catch_unwind};

use indicatif::{ProgressBar, ProgressStyle};

use super::Scenario;
use crate::support::number;
use crate::support::shared::{self, FRAGILE_POSTGRES, Pair};
use crate::support::storm::{self, QUEUE, Schedule, Total};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("schedules", schedules),
    Scenario::new("seeds_that_found_something", seeds_that_found_something),
];

/// Of every run of the tests. After the first three: one that kills the search server, one that adds a column, one that adds a
/// table, and two with a trigger queue.
const SEEDS: [u64; 8] = [1, 2, 3, 18, 24, 33, 7, 28];

/// Seeds have so many digits at most: they become names.
const LARGEST: u64 = 1_000_000_000;

/// Each line has the seed of a schedule that once failed, and what it found.
const KEPT: &str = include_str!("../seeds/faults.txt");

/// The few of every run; or as many as the environment asks for, from a seed of it on.
fn schedules() {
    match number("WAL2ES_TEST_SCHEDULES", 0) {
        0 => all(&SEEDS),
        many => all(&drawn(many)),
    }
}

/// So many from a seed of the environment on, or from any; all of them or those with a trigger queue.
fn drawn(many: u64) -> Vec<u64> {
    let first = number("WAL2ES_TEST_SEED", fastrand::u64(..LARGEST));
    let all = std::env::var_os("WAL2ES_TEST_QUEUE").is_none();
    let wanted = |seed: &u64| all || Schedule::of(*seed).way == QUEUE;
    (first..).filter(wanted).take(many.try_into().unwrap()).collect()
}

fn seeds_that_found_something() {
    let seeds = KEPT.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seeds: Vec<u64> =
        seeds.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    all(&seeds);
}

/// One after the other, whatever became of the one before.
fn all(seeds: &[u64]) {
    let mut pair = shared::fragile();
    let (mut total, mut failed) = (Total::default(), Vec::new());
    let bar = bar(seeds.len());
    for seed in seeds {
        let schedule = Schedule::of(*seed);
        match catch_unwind(AssertUnwindSafe(|| storm::run(&mut pair, &schedule))) {
            Ok(one) => total.add(&one),
            Err(_) => {
                eprintln!("{schedule}to have it again: scripts/torture --seed {seed}");
                failed.push(*seed);
                mend(&mut pair);
            }
        }
        bar.set_message(format!("{} failed", failed.len()));
        bar.inc(1);
    }
    bar.finish_and_clear();
    println!("{total}\nseeds that failed: {failed:?}");
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Hidden where there is no terminal.
fn bar(many: usize) -> ProgressBar {
    let style = "{bar:40} {pos}/{len} schedules, {msg}, {elapsed}, {eta} to go";
    let bar = ProgressBar::new(many.try_into().unwrap());
    bar.with_style(ProgressStyle::with_template(style).unwrap())
}

/// Whatever a failed schedule has left stopped runs again.
fn mend(pair: &mut Pair) {
    pair.postgres.start_again(&FRAGILE_POSTGRES);
    pair.search.start_again(&[]);
}
