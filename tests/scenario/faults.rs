//! Schedules of faults from seeds: at the end each index equals its table, and meanwhile nobody saw what must not be seen.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::Scenario;
use crate::support::shared::{self, FRAGILE_POSTGRES, Pair};
use crate::support::storm::{self, Schedule, Total};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("schedules", schedules),
    Scenario::new("seeds_that_found_something", seeds_that_found_something),
];

/// Of every run of the tests. Among them each kind of fault.
const SEEDS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

/// Each line has the seed of a schedule that once failed, and what it found.
const KEPT: &str = include_str!("../seeds/faults.txt");

/// The few of every run, or those that `scripts/torture` asks for.
fn schedules() {
    all(&SEEDS);
}

fn seeds_that_found_something() {
    let seeds = KEPT.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let seeds: Vec<u64> =
        seeds.map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
    all(&seeds);
}

fn all(seeds: &[u64]) {
    let mut pair = shared::fragile();
    let mut total = Total::default();
    let mut failed = Vec::new();
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
    }
    println!("{total}");
    assert!(failed.is_empty(), "failed: {failed:?}");
}

/// Whatever a failed schedule has left stopped runs again.
fn mend(pair: &mut Pair) {
    pair.postgres.start_again(&FRAGILE_POSTGRES);
    pair.search.start_again(&[]);
}
