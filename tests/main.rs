//! The integration tests: the built binary between a real Postgres and a real search server.
//!
//! `cargo test --test integration` runs all of them; a name or a part of one selects, `--list` lists. The servers come
//! from `scripts/servers`, which fetches what is missing; without them tests fail, they are not skipped.
//!
//! | variable | is |
//! |---|---|
//! | `WAL2ES_TEST_POSTGRES` | `postgres-18` (default) or `postgres-15` |
//! | `WAL2ES_TEST_SEARCH` | `opensearch` (default), `elasticsearch-8` or `elasticsearch-9` |
//! | `WAL2ES_TEST_PLUGIN` | `pgoutput` (default), `streaming` or `test_decoding`: how the log is read |
//! | `WAL2ES_TEST_SEED` | the seed that a failed test printed |
//! | `WAL2ES_TEST_KILLS` | how often the connector is killed (100 in a full run) |
//! | `WAL2ES_TEST_SCHEDULES` | how many schedules of faults, in place of the few that are always the same |
//! | `WAL2ES_TEST_QUEUE` | set: of those schedules the ones with a trigger queue |
//! | `WAL2ES_TEST_ROWS` | rows of the large table and the large transaction |
//! | `WAL2ES_TEST_LONG` | set: those that take minutes too, of three search nodes and of two million deletes |
//! | `WAL2ES_TEST_BINARY` | another `wal2es` than the one built with the tests |

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking and prints what it measured"
)]

mod scenario;
mod support;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use scenario::Scenario;
use support::shared;

/// Each test waits most of its time for servers that share two cores with it.
const THREADS: usize = 2;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(THREADS);
    let trials =
        scenario::all().into_iter().map(|(file, scenario)| trial(file, scenario)).collect();
    let conclusion = libtest_mimic::run(&arguments, trials);
    shared::stop();
    conclusion.exit_code()
}

fn trial(file: &str, scenario: &'static Scenario) -> Trial {
    Trial::test(scenario.title(file), || {
        (scenario.run)();
        Ok(())
    })
}
