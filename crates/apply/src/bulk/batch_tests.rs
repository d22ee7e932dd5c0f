use std::convert::Infallible;

use change::CommitLsn;

use super::*;

const ROOMY: Limits = Limits { bytes: 1 << 20, rows: 1000 };

fn version(commit: u64) -> Version {
    Version::streamed(CommitLsn(Lsn::new(commit)), 0)
}

fn write(id: &str, commit: u64) -> Write<'_> {
    let id = id.as_bytes();
    Write { index: 0, index_name: "p-g1", id, version: version(commit), origin: Origin::Live }
}

fn index(batch: &mut Batch, id: &str, commit: u64, source: &str) {
    let Ok(()) = batch.index(&write(id, commit), |out| {
        out.extend_from_slice(source.as_bytes());
        Ok::<_, Infallible>(())
    });
}

/// Each operation as `index 7 {…}` or `delete 7`, with `gte` where equal versions are allowed.
fn read(sealed: &Sealed) -> Vec<String> {
    let body = std::str::from_utf8(&sealed.body).unwrap();
    let mut read = Vec::new();
    let mut lines = body.lines();
    while let Some(line) = lines.next() {
        let action: serde_json::Value = serde_json::from_str(line).unwrap();
        let (verb, meta) = action.as_object().unwrap().iter().next().unwrap();
        assert_eq!(meta["_index"], "p-g1");
        let gte = if meta["version_type"] == "external_gte" { " gte" } else { "" };
        let id = meta["_id"].as_str().unwrap();
        let source = if verb == "index" { lines.next().unwrap() } else { "" };
        read.push(format!("{verb} {id}{gte} {source}").trim_end().to_owned());
    }
    let from_ops: usize = sealed.ops.iter().map(|op| op.lines(&sealed.body).len()).sum();
    assert_eq!(from_ops, sealed.body.len(), "every byte of the body belongs to an operation");
    read
}

#[test]
fn operations_are_written_as_the_bulk_page_says() {
    let mut batch = Batch::new(ROOMY);
    index(&mut batch, "a\"b\\", 800, r#"{"x":1}"#);
    batch.delete(&write("2", 800));
    batch.commit(Lsn::new(848));
    let sealed = batch.seal(false).unwrap();
    let v = version(800);
    let expected = format!(
        concat!(
            r#"{{"index":{{"_index":"p-g1","_id":"a\"b\\","version":{v},"version_type":"external"}}}}"#,
            "\n{{\"x\":1}}\n",
            r#"{{"delete":{{"_index":"p-g1","_id":"2","version":{v},"version_type":"external"}}}}"#,
            "\n"
        ),
        v = v
    );
    assert_eq!(std::str::from_utf8(&sealed.body).unwrap(), expected);
    assert_eq!((sealed.end, sealed.mid_transaction), (Some(Lsn::new(848)), false));
    assert!(batch.is_empty());
}

#[test]
fn within_a_transaction_the_last_operation_of_a_key_counts() {
    let mut batch = Batch::new(ROOMY);
    // Keys 1 and 2 swapped by way of 3.
    batch.delete(&write("1", 800));
    index(&mut batch, "3", 800, "{}");
    batch.delete(&write("2", 800));
    index(&mut batch, "1", 800, r#"{"was":2}"#);
    batch.delete(&write("3", 800));
    index(&mut batch, "2", 800, r#"{"was":1}"#);
    batch.commit(Lsn::new(848));
    let sealed = batch.seal(false).unwrap();
    assert_eq!(read(&sealed), [r#"index 1 {"was":2}"#, "delete 3", r#"index 2 {"was":1}"#]);
}

#[test]
fn operations_of_different_transactions_all_stay() {
    let mut batch = Batch::new(ROOMY);
    for commit in [800, 900] {
        index(&mut batch, "1", commit, "{}");
        batch.delete(&write("1", commit));
        index(&mut batch, "1", commit, &format!("{commit}"));
        batch.commit(Lsn::new(commit + 48));
    }
    let sealed = batch.seal(false).unwrap();
    assert_eq!(read(&sealed), ["index 1 800", "index 1 900"]);
    assert_eq!(sealed.end, Some(Lsn::new(948)));
}

#[test]
fn the_beginning_of_a_transaction_stays_behind() {
    let mut batch = Batch::new(Limits { rows: 3, ..ROOMY });
    index(&mut batch, "1", 800, "{}");
    batch.commit(Lsn::new(848));
    index(&mut batch, "2", 900, "{}");
    assert!(!batch.is_full());
    index(&mut batch, "3", 900, "{}");
    assert!(batch.is_full());
    let sealed = batch.seal(false).unwrap();
    assert_eq!(read(&sealed), ["index 1 {}"]);
    assert_eq!((sealed.end, sealed.mid_transaction), (Some(Lsn::new(848)), false));
    // What stayed behind still knows its keys.
    batch.delete(&write("2", 900));
    batch.commit(Lsn::new(948));
    let sealed = batch.seal(false).unwrap();
    assert_eq!(read(&sealed), ["index 3 {}", "delete 2"]);
}

#[test]
fn a_transaction_larger_than_a_request_is_split_and_a_key_that_comes_again_may_be_equal() {
    let mut batch = Batch::new(Limits { rows: 2, ..ROOMY });
    index(&mut batch, "1", 800, "{}");
    assert!(batch.seal(false).is_none(), "neither complete nor full");
    index(&mut batch, "2", 800, "{}");
    let first = batch.seal(false).unwrap();
    assert_eq!((first.end, first.mid_transaction), (None, true));
    index(&mut batch, "1", 800, r#"{"again":1}"#);
    index(&mut batch, "3", 800, "{}");
    batch.commit(Lsn::new(848));
    let second = batch.seal(false).unwrap();
    assert_eq!(read(&second), [r#"index 1 gte {"again":1}"#, "index 3 {}"]);
    assert_eq!((second.end, second.mid_transaction), (Some(Lsn::new(848)), false));
    // The next transaction has another version.
    index(&mut batch, "1", 900, "{}");
    batch.commit(Lsn::new(948));
    assert_eq!(read(&batch.seal(false).unwrap()), ["index 1 {}"]);
}

#[test]
fn a_new_segment_has_a_version_of_its_own() {
    let mut batch = Batch::new(Limits { rows: 1, ..ROOMY });
    index(&mut batch, "1", 800, "{}");
    batch.seal(false).unwrap();
    let commit = CommitLsn(Lsn::new(800));
    let next = Write { version: Version::streamed(commit, 65_536), ..write("1", 800) };
    batch.delete(&next);
    assert_eq!(read(&batch.seal(false).unwrap()), ["delete 1"]);
}

#[test]
fn a_replay_may_meet_its_own_versions() {
    let mut batch = Batch::new(ROOMY);
    batch.delete(&Write { origin: Origin::Replay, ..write("1", 800) });
    batch.commit(Lsn::new(848));
    assert_eq!(read(&batch.seal(false).unwrap()), ["delete 1 gte"]);
}

#[test]
fn what_can_not_be_written_leaves_no_trace() {
    let mut batch = Batch::new(ROOMY);
    index(&mut batch, "1", 800, "{}");
    let failed = batch.index(&write("2", 800), |out| {
        out.extend_from_slice(b"half");
        Err("no")
    });
    assert_eq!(failed, Err("no"));
    batch.commit(Lsn::new(848));
    assert_eq!(read(&batch.seal(false).unwrap()), ["index 1 {}"]);
}

#[test]
fn nothing_to_do_moves_on_only_when_nothing_waits() {
    let mut batch = Batch::new(ROOMY);
    batch.idle(Lsn::new(100));
    assert_eq!(batch.take_idle_end(), Some(Lsn::new(100)));
    index(&mut batch, "1", 800, "{}");
    assert_eq!(batch.take_idle_end(), None);
    batch.commit(Lsn::new(848));
    batch.idle(Lsn::new(900));
    assert_eq!(batch.take_idle_end(), None);
    assert_eq!(batch.seal(false).unwrap().end, Some(Lsn::new(900)));
}
