//! Deliveries against answers that a real server can't be made to give at will.

use std::convert::Infallible;

use change::{CommitLsn, Lsn};

use super::super::batch::{Batch, Limits, Origin, Write};
use super::*;
use crate::stub::{Reply, Stub};
use crate::{Kind, Version};

/// Counts how often the indices were checked, and finds them as they were.
#[derive(Default)]
struct Checks(std::sync::atomic::AtomicUsize);

impl Guard for Checks {
    async fn check(&self) -> Result<(), Error> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
    }

    fn table_of(&self, index: &str) -> Option<String> {
        (index == "p-g1").then(|| "public.p".to_owned())
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
    let (target, checks) = (stub.target().await, Checks::default());
    let result = deliver(&target, &checks, sealed).await;
    (result, checks.0.into_inner())
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
    assert_eq!(result.unwrap(), Delivered { superseded: 0, retries: 1, ..Delivered::default() });
    assert_eq!(checks, 1, "the indices are looked at before anything is sent again");
}

#[tokio::test]
async fn a_key_that_comes_twice_may_meet_its_own_later_version_when_sent_again() {
    let later = conflict(version(808));
    let stub = Stub::start(vec![Reply::Cut, outcomes(&[(409, &later), (409, &later)])]).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a"], Origin::Live)).await;
    assert_eq!(result.unwrap().superseded, 1);
    // Also when only its first operation failed.
    let script = vec![outcomes(&[(429, "busy"), (201, "")]), outcomes(&[(409, &later)])];
    let stub = Stub::start(script).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a"], Origin::Live)).await;
    assert_eq!(result.unwrap().superseded, 1);
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
async fn a_refused_document_stops_and_is_named() {
    let script = vec![outcomes(&[(201, ""), (400, "failed to parse")])];
    let stub = Stub::start(script).await;
    let (result, _) = delivered(&stub, &batch(&["a", "b"], Origin::Live)).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Stop);
    assert!(error.to_string().contains("document \"b\" of the commit at 0/328"), "{error}");
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
    assert!(result.unwrap_err().to_string().contains("larger than the target takes"));
}

#[tokio::test]
async fn two_rows_of_a_copy_with_one_id_stop() {
    let stub = Stub::start(vec![outcomes(&[(201, ""), (409, &conflict(version(800)))])]).await;
    let (result, _) = delivered(&stub, &batch(&["a", "a"], Origin::Copy)).await;
    assert!(result.unwrap_err().to_string().contains("two rows have the same id"));
}

#[tokio::test]
async fn a_refusal_names_table_document_and_cause() {
    let answer = r#"{"errors":true,"items":[{"index":{"status":400,"error":{
        "type":"mapper_parsing_exception","reason":"failed to parse","caused_by":{"type":"t","reason":"too long"}}}}]}"#;
    let stub = Stub::start(vec![Reply::Answer(200, answer.to_owned())]).await;
    let (result, _) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
    let error = result.unwrap_err();
    assert_eq!(error.kind(), Kind::Stop);
    assert_eq!(
        error.to_string(),
        "public.p (index p-g1): the target refuses document \"a\" of the commit at 0/320: \
         400 mapper_parsing_exception: failed to parse (too long)"
    );
}
