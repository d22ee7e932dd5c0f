//! Deliveries against answers that a real server can't be made to give at will.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use change::{CommitLsn, Lsn};

use super::super::batch::{Batch, Limits, Origin, Write};
use super::*;
use crate::indices::Indices;
use crate::letters::Letters;
use crate::stub::{Reply, Stub};
use crate::{Kind, Version};

/// Counts how often the indices were checked, and finds them as they were.
struct Checks {
    count: AtomicUsize,
    letters: Letters,
}

impl Guard for Checks {
    async fn check(&self) -> Result<(), Error> {
        self.count.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn table_of(&self, index: &str) -> Option<String> {
        (index == "p-g1").then(|| "public.p".to_owned())
    }

    fn letters(&self) -> &Letters {
        &self.letters
    }
}

fn version(commit: u64) -> Version {
    Version::streamed(CommitLsn(Lsn::new(commit)), 0)
}

/// One transaction for each id, the first commits at 800.
fn batch(ids: &[&str], origin: Origin) -> Sealed {
    let mut batch = Batch::new(Limits { bytes: 1 << 20, rows: 100 });
    for (id, commit) in ids.iter().zip((800..).step_by(8)) {
        let version = version(commit);
        let write = Write { index: 0, index_name: "p-g1", id: id.as_bytes(), version, origin };
        let Ok(()) = batch.index(&write, |out| {
            out.extend_from_slice(b"{}");
            Ok::<_, Infallible>(())
        });
        batch.commit(Lsn::new(commit + 4));
    }
    batch.seal(false).unwrap()
}

/// An answer with one outcome for each item: a status, with a reason when it is an error.
fn outcomes(items: &[(u16, &str)]) -> Reply {
    let errors = items.iter().any(|(_, reason)| !reason.is_empty());
    let items: Vec<String> = items
        .iter()
        .map(|(status, reason)| match *reason {
            "" => format!(r#"{{"index":{{"status":{status},"result":"created"}}}}"#),
            reason => format!(
                r#"{{"index":{{"status":{status},"error":{{"type":"t","reason":"{reason}"}}}}}}"#
            ),
        })
        .collect();
    Reply::Answer(200, format!(r#"{{"errors":{errors},"items":[{}]}}"#, items.join(",")))
}

fn conflict(with: Version) -> String {
    format!(
        "[x]: version conflict, current version [{with}] is higher or equal to the one provided [1]"
    )
}

async fn delivered(stub: &Stub, sealed: &Sealed) -> (Result<Delivered, Error>, usize) {
    delivered_with(stub, sealed, 10).await
}

/// With room for so many dead letters.
async fn delivered_with(
    stub: &Stub,
    sealed: &Sealed,
    cap: usize,
) -> (Result<Delivered, Error>, usize) {
    let target = Arc::new(stub.target().await);
    let letters = Letters::new(target.clone(), Indices::default(), cap);
    let checks = Checks { count: AtomicUsize::new(0), letters };
    let result = deliver(&target, &checks, sealed).await;
    (result, checks.count.into_inner())
}

#[tokio::test]
async fn only_what_failed_is_sent_again() {
    let script = vec![outcomes(&[(201, ""), (429, "busy"), (201, "")]), outcomes(&[(201, "")])];
    let stub = Stub::start(script).await;
    let (result, checks) = delivered(&stub, &batch(&["a", "b", "c"], Origin::Live)).await;
    assert_eq!(result.unwrap(), Delivered { superseded: 0, retries: 1, ..Delivered::default() });
    assert_eq!((stub.ids(0).len(), stub.ids(1)), (3, vec!["b".to_owned()]));
    assert_eq!(checks, 0, "the outcome was known");
}

#[tokio::test]
async fn after_a_lost_answer_the_own_version_counts_as_success() {
    let own = conflict(version(800));
    let stub = Stub::start(vec![Reply::Cut, outcomes(&[(409, &own)])]).await;
    let (result, checks) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
    assert_eq!(result.unwrap(), Delivered { retries: 1, unsynced: true, ..Delivered::default() });
    assert_eq!(checks, 1, "the indices are looked at before anything is sent again");
}

#[tokio::test]
async fn a_key_that_comes_twice_may_meet_its_own_later_version_when_sent_again() {
    let later = conflict(version(808));
    let stub = Stub::start(vec![Reply::Cut, outcomes(&[(409, &later), (409, &later)])]).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a"], Origin::Live)).await;
    assert_eq!(result.unwrap().superseded, 1);
}

/// A deletion leaves nothing behind that an older document would meet for ever.
#[tokio::test]
async fn what_failed_is_not_sent_after_a_later_operation_of_its_key() {
    let script = vec![outcomes(&[(429, "busy"), (201, ""), (429, "busy")]), outcomes(&[(201, "")])];
    let stub = Stub::start(script).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a", "b"], Origin::Live)).await;
    assert_eq!(result.unwrap(), Delivered { superseded: 1, retries: 1, ..Delivered::default() });
    assert_eq!(stub.ids(1), ["b"]);
    // While the later one is to come again too, both do.
    let script = vec![outcomes(&[(429, "busy"), (429, "busy")]), outcomes(&[(201, ""), (201, "")])];
    let stub = Stub::start(script).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a"], Origin::Live)).await;
    assert_eq!(result.unwrap(), Delivered { retries: 1, ..Delivered::default() });
    assert_eq!(stub.ids(1), ["a", "a"]);
}

#[tokio::test]
async fn a_foreign_version_stops() {
    let stub = Stub::start(vec![outcomes(&[(409, &conflict(version(9000)))])]).await;
    let (result, _) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Stop);
    assert!(error.to_string().contains("(index p-g1): document \"a\" is at version"), "{error}");
}

#[tokio::test]
async fn a_refused_document_goes_and_leaves_a_letter() {
    let stub = Stub::start(vec![outcomes(&[(201, ""), (400, "failed to parse"), (201, "")])]).await;
    let (result, _) = delivered(&stub, &batch(&["a", "b", "c"], Origin::Live)).await;
    assert_eq!(result.unwrap().refused.len(), 1);
    let deletion = format!(
        r#"{{"delete":{{"_index":"p-g1","_id":"b","version":{},"version_type":"external_gte"}}}}"#,
        version(808)
    );
    assert_eq!(stub.bulk(1).trim_end(), deletion);
    let letter = stub.bulk(2);
    for said in [
        "wal2es-dead-letters",
        r#""id":"b""#,
        r#""lsn":"0/328""#,
        r#""document":"{}""#,
        "failed to parse",
    ] {
        assert!(letter.contains(said), "{said}: {letter}");
    }
}

#[tokio::test]
async fn what_is_put_right_in_the_same_batch_leaves_none() {
    let script = vec![outcomes(&[(400, "bad"), (201, "")])];
    let stub = Stub::start(script).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a"], Origin::Live)).await;
    assert_eq!(result.unwrap().refused, []);
    assert_eq!(stub.bulks().len(), 1);
    // Only the last one counts.
    let stub = Stub::start(vec![outcomes(&[(400, "bad"), (400, "worse")])]).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a"], Origin::Live)).await;
    assert_eq!((result.unwrap().refused.len(), stub.ids(1).len()), (1, 1));
    assert!(stub.bulk(2).contains("worse"));
}

#[tokio::test]
async fn a_letter_that_is_too_large_goes_without_its_document() {
    let deleted = outcomes(&[(200, "")]);
    let too_large = Reply::Answer(413, String::new());
    let stub = Stub::start(vec![outcomes(&[(400, "bad")]), deleted, too_large]).await;
    let (result, _) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
    assert_eq!(result.unwrap().refused.len(), 1);
    let letters = [2, 3].map(|request| stub.bulk(request));
    assert!(letters[0].contains(r#""document":"{}""#), "{}", letters[0]);
    assert!(letters[1].contains(r#""document":null"#), "{}", letters[1]);
}

#[tokio::test]
async fn more_letters_than_there_may_be_stop() {
    let stub = Stub::start(vec![outcomes(&[(400, "bad"), (400, "bad")])]).await;
    let (result, _) = delivered_with(&stub, &batch(&["a", "b"], Origin::Live), 1).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Stop);
    assert!(error.to_string().contains("2 rows have no document"), "{error}");
}

#[tokio::test]
async fn answers_that_are_none_leave_the_outcome_unknown() {
    for bad in [
        Reply::Answer(200, "<html>a proxy</html>".to_owned()),
        outcomes(&[]),
        Reply::Answer(503, String::new()),
        Reply::Answer(504, "{}".to_owned()),
    ] {
        let own = conflict(version(800));
        let stub = Stub::start(vec![bad, outcomes(&[(409, &own)])]).await;
        let (result, checks) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
        assert_eq!((result.unwrap().retries, checks), (1, 1));
    }
}

#[tokio::test]
async fn the_server_as_a_whole_may_be_busy() {
    let busy = Reply::Answer(429, r#"{"error":{"type":"circuit_breaking_exception"}}"#.to_owned());
    let stub = Stub::start(vec![busy, outcomes(&[(201, "")])]).await;
    let (result, _) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
    assert_eq!(result.unwrap().retries, 1);
}

#[tokio::test]
async fn a_request_that_is_too_large_is_split_in_order() {
    let too_large = || Reply::Answer(413, String::new());
    let script = vec![
        too_large(),
        too_large(),
        outcomes(&[(201, "")]),
        outcomes(&[(201, "")]),
        outcomes(&[(201, ""), (201, "")]),
    ];
    let stub = Stub::start(script).await;
    let (result, _) = delivered(&stub, &batch(&["a", "b", "c", "d"], Origin::Live)).await;
    result.unwrap();
    let sent: Vec<Vec<String>> = (2..5).map(|request| stub.ids(request)).collect();
    assert_eq!(sent, [vec!["a"], vec!["b"], vec!["c", "d"]]);

    let stub = Stub::start(vec![too_large()]).await;
    let (result, _) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
    assert_eq!(result.unwrap().refused.len(), 1);
    assert!(stub.bulk(2).contains("more than the target takes"));
}

#[tokio::test]
async fn two_rows_of_a_copy_with_one_id_stop() {
    let stub = Stub::start(vec![outcomes(&[(201, ""), (409, &conflict(version(800)))])]).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a"], Origin::Copy)).await;
    assert!(result.unwrap_err().to_string().contains("two rows have the same id"));
}
