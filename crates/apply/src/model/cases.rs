//! The cases that other ways of making versions and of replaying get wrong, each by itself and under every fault.

use change::CommitLsn;

use super::*;
use crate::version::Version;
use log::{Change, Transaction};

fn at(commit: u64, changes: Vec<Change>) -> Transaction {
    let (commit, end) = (CommitLsn(change::Lsn::new(commit)), change::Lsn::new(commit + 8));
    Transaction { commit, end, changes }
}

/// Undisturbed once, and then with all that can happen.
async fn holds(log: &Log) {
    run(Run::of(log.clone()), Rng::with_seed(1)).await.unwrap();
    for seed in 0..20 {
        let disturbed = Run { faults: FAULTS, crashes: 200, ..Run::of(log.clone()) };
        if let Err(why) = run(disturbed, Rng::with_seed(seed)).await {
            panic!("seed {seed}: {why}");
        }
    }
}

/// X1: the insert was written to the log before the delete of the same key, which it waited for, and commits after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x1_an_insert_that_waited_for_the_delete_of_its_key() {
    let copied = change::Lsn::new(800);
    let log = Log::new(
        copied,
        &[("a", 1)],
        vec![at(0x1008, vec![Change::Delete("a")]), at(0x1010, vec![Change::Write("a", 5)])],
    );
    assert_eq!(log.end().rows["a"].1, 5);
    holds(&log).await;
}

/// X2: the first transaction of the stream commits at the very position of the copy, which does not have it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x2_the_first_commit_is_at_the_position_of_the_copy() {
    let copied = change::Lsn::new(800);
    let log = Log::new(
        copied,
        &[("a", 1), ("b", 1)],
        vec![at(800, vec![Change::Write("a", 2), Change::Delete("b")])],
    );
    holds(&log).await;
}

/// X8: rows of one COPY have one position in the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x8_rows_that_were_logged_at_one_position() {
    let rows = ["a", "b", "c", "d", "e", "f"].map(|key| Change::Write(key, 7));
    let log = Log::new(change::Lsn::new(800), &[], vec![at(0x1000, rows.into())]);
    assert_eq!(log.end().rows.len(), 6);
    holds(&log).await;
}

/// X10: a standby was promoted that lacked some of what is in the index; its commits are at lower positions than those.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn x10_a_source_that_has_gone_back_is_noticed() {
    let copied = change::Lsn::new(800);
    let before = Log::new(copied, &[], vec![at(0x2000, vec![Change::Write("a", 1)])]);
    let after = Log::new(copied, &[], vec![at(0x1000, vec![Change::Write("a", 2)])]);
    let http = run::serve(&before).await;
    run::follow(&before, &http, copied).await.unwrap();
    // Its own log ends before what the index has: nothing of it is a replay.
    let error = run::follow(&after, &http, copied).await.unwrap_err();
    assert_eq!(error.kind(), crate::Kind::Stop);
    let version = Version::streamed(CommitLsn(change::Lsn::new(0x2000)), 0);
    assert!(error.to_string().contains(&version.get().to_string()), "{error}");
}
