//! Deletes that are sent again, and what is kept of them.

use std::time::Duration;

use super::super::tests::*;
use super::*;
use crate::stub::{Reply, Stub};

fn delete(applier: &mut Applier, commit: u64, id: &str) {
    begin(applier, commit);
    let change = applier.next_change();
    applier.delete(0, id.as_bytes(), change);
    applier.commit(Lsn::new(commit + 48));
}

/// The ids of the deletes that were sent again.
fn again(stub: &Stub) -> Vec<String> {
    let again = |bulk: &String| {
        bulk.contains("external_gte").then(|| bulk.split('"').nth(9).unwrap().to_owned())
    };
    stub.bulks().iter().filter_map(again).collect()
}

async fn until(applier: &mut Applier, done: impl Fn(&Applier) -> bool) {
    let ends = async {
        while !done(applier) {
            applier.step().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), ends).await.unwrap();
}

#[tokio::test]
async fn after_a_lost_answer_a_delete_is_sent_again_and_kept() {
    let stub = Stub::start(vec![Reply::Cut]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    applier.indices.suspects(|suspects| suspects.set_limit(LIMIT));
    transaction(&mut applier, 800, "a");
    applier.drain().await.unwrap();
    transaction(&mut applier, 808, "b");
    delete(&mut applier, 900, "a");
    delete(&mut applier, 1000, "b");
    applier.drain().await.unwrap();
    assert_eq!(applier.suspects(), 1);
    let kept = applier.current_state().suspects;
    assert_eq!(kept.len(), 1);
    let requests = stub.requests();
    let of_document = format!("PUT /wal2es-state/_doc/{}", kept[0].id);
    let first = |what: &str| requests.iter().position(|request| request == what).unwrap();
    assert!(first(&of_document) < first("PUT /wal2es-state/_doc/1.d.s"), "{requests:?}");

    until(&mut applier, |applier| applier.suspects() == 0).await;
    let sent = again(&stub);
    assert!(sent.len() > 5 && sent.iter().all(|id| id == "a"), "{sent:?}");
    until(&mut applier, |applier| applier.current_state().suspects.is_empty()).await;
    assert!(stub.requests().contains(&of_document.replace("PUT", "DELETE")));
}

#[tokio::test]
async fn a_document_that_had_come_back_is_hidden_again() {
    let stub = Stub::start(vec![Reply::Cut]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    applier.indices.suspects(|suspects| suspects.set_limit(LIMIT));
    transaction(&mut applier, 800, "a");
    delete(&mut applier, 900, "a");
    applier.drain().await.unwrap();
    let refreshes = || stub.requests().iter().filter(|request| *request == REFRESH).count();
    let before = refreshes();
    until(&mut applier, |_| !again(&stub).is_empty()).await;
    // The stub says of every item that something was there.
    until(&mut applier, |_| refreshes() > before).await;
}

#[tokio::test]
async fn nothing_is_sent_before_the_state_says_that_it_may_have_been() {
    let stub = Stub::start(vec![]).await;
    let mut applier = applier(&stub, ROOMY, 100).await;
    applier.state.sent_below = Lsn::new(800);
    applier.drain().await.unwrap();
    let before = stub.requests().len();
    transaction(&mut applier, 800, "a");
    applier.drain().await.unwrap();
    let requests = stub.requests().split_off(before);
    let first = |what: &str| requests.iter().position(|request| request.starts_with(what)).unwrap();
    assert!(first("PUT /wal2es-state/_doc/") < first(BULK), "{requests:?}");
    assert!(applier.current_state().sent_below > Lsn::new(800));
}
