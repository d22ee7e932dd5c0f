//! Answers that a real server can't be made to give at will, from a stub that follows a script.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use change::{CommitLsn, Lsn};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::super::batch::{Batch, Limits, Origin, Write};
use super::*;
use crate::target::TargetConfig;
use crate::{Kind, Version};

/// What the stub does with one bulk request.
enum Reply {
    Answer(u16, String),
    /// Reads the request and cuts the connection.
    Cut,
}

/// A search server that answers `GET /` and then follows the script. Keeps the bodies of the bulk requests.
struct Stub {
    url: String,
    bodies: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    async fn start(script: Vec<Reply>) -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bodies = Arc::new(Mutex::new(Vec::new()));
        let (script, seen) = (Arc::new(Mutex::new(VecDeque::from(script))), bodies.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), seen.clone()));
            }
        });
        Stub { url, bodies }
    }

    async fn target(&self) -> Target {
        let config =
            TargetConfig { urls: vec![self.url.clone()], credentials: None, ca_file: None };
        Target::connect(&config).await.unwrap()
    }

    fn ids(&self, request: usize) -> Vec<String> {
        let bodies = self.bodies.lock().unwrap();
        let actions = bodies[request].lines().filter(|line| line.contains("\"_id\""));
        actions.map(|line| line.split('"').nth(9).unwrap().to_owned()).collect()
    }
}

async fn serve(
    mut stream: TcpStream,
    script: Arc<Mutex<VecDeque<Reply>>>,
    bodies: Arc<Mutex<Vec<String>>>,
) {
    while let Some((head, body)) = read_request(&mut stream).await {
        let reply = if head.starts_with("GET / ") {
            let root =
                r#"{"cluster_uuid":"c","version":{"number":"3.6.0","distribution":"opensearch"}}"#;
            Reply::Answer(200, root.to_owned())
        } else {
            bodies.lock().unwrap().push(body);
            script.lock().unwrap().pop_front().expect("one more reply in the script")
        };
        let Reply::Answer(status, body) = reply else { return };
        let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(answer.as_bytes()).await.unwrap();
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break String::from_utf8(bytes.drain(..end + 4).collect()).unwrap();
        }
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    while bytes.len() < length {
        (stream.read_buf(&mut bytes).await.ok()? > 0).then_some(())?;
    }
    Some((head, String::from_utf8(bytes).unwrap()))
}

/// Counts how often the indices were checked, and finds them as they were.
#[derive(Default)]
struct Checks(std::sync::atomic::AtomicUsize);

impl Guard for Checks {
    async fn check(&self) -> Result<(), Error> {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Ok(())
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
    assert_eq!(result.unwrap(), Delivered { superseded: 0, retries: 1 });
    assert_eq!((stub.ids(0).len(), stub.ids(1)), (3, vec!["b".to_owned()]));
    assert_eq!(checks, 0, "the outcome was known");
}

#[tokio::test]
async fn after_a_lost_answer_the_own_version_counts_as_success() {
    let own = conflict(version(800));
    let stub = Stub::start(vec![Reply::Cut, outcomes(&[(409, &own)])]).await;
    let (result, checks) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
    assert_eq!(result.unwrap(), Delivered { superseded: 0, retries: 1 });
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
    for current in [version(800), version(9000)] {
        let stub = Stub::start(vec![outcomes(&[(409, &conflict(current))])]).await;
        let (result, _) = delivered(&stub, &batch(&["a"], Origin::Live)).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Stop);
        assert!(error.to_string().contains("p-g1: document \"a\" is at version"), "{error}");
    }
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
