//! What the scenarios are made of.

pub mod case;
pub mod cluster;
pub mod connector;
pub mod copies;
pub mod fault;
pub mod generator;
pub mod held;
pub mod http;
pub mod log;
pub mod oracle;
pub mod outbox;
pub mod postgres;
pub mod sampler;
pub mod search;
pub mod seed;
pub mod servers;
pub mod shared;
pub mod spoil;
pub mod storm;
pub mod temp;
pub mod workload;

use std::time::{Duration, Instant};

/// Long enough for anything that happens at all, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Looks until there is something, or fails when it takes too long.
pub fn wait_for<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(began.elapsed() < patience, "{what}: not within {patience:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A number from the environment.
pub fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")),
        Err(_) => default,
    }
}
