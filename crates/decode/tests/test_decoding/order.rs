//! What may follow what, and what a commit is told to be.

use change::{CommitLsn, Lsn};
use decode::test_decoding::{Decoder, options};
use decode::{Begin, Commit, Event, Fault, Part, Release};

use crate::support::release;

fn fault(decoder: &mut Decoder, lsn: u64, line: &str) -> Fault {
    decoder.decode(Lsn::new(lsn), line.as_bytes()).map(|_| ()).unwrap_err().fault
}

fn commit(decoder: &mut Decoder, lsn: u64, line: &str) -> Release {
    let Event::Release(release) = decoder.decode(Lsn::new(lsn), line.as_bytes()).unwrap() else {
        panic!("no release")
    };
    release
}

#[test]
fn a_transaction_is_held_and_released() {
    let mut decoder = Decoder::new();
    assert!(matches!(decoder.decode(Lsn::new(0x100), b"BEGIN 725"), Ok(Event::Nothing)));
    assert!(decoder.in_transaction());
    let line: &[u8] = b"table public.t: INSERT: id[integer]:1";
    for held in [
        line,
        b"table public.t: TRUNCATE: (no-flags)",
        b"message: transactional: 1 prefix: , sz: 0 content:",
    ] {
        let Ok(Event::Hold(part)) = decoder.decode(Lsn::new(0x108), held) else {
            panic!("not held")
        };
        assert_eq!(part, Part { transaction: 725, part: 725 });
    }
    let other =
        decoder.decode(Lsn::new(0x110), b"message: transactional: 0 prefix: , sz: 0 content:");
    assert!(matches!(other, Ok(Event::Message(_))));
    let release = commit(&mut decoder, 0x200, "COMMIT 725 (at 2000-01-01 00:00:01.5+00)");
    let (end, at) = (Lsn::new(0x200), CommitLsn(Lsn::new(0x1F8)));
    let due = Commit { commit: at, end, committed_at: 1_500_000 };
    assert_eq!(release, Release { transaction: 725, commit: due });
    assert!(!decoder.in_transaction());
    let begin = decoder.begin_release(&release).unwrap();
    assert_eq!(begin, Begin { commit: at, committed_at: 1_500_000, xid: 725 });
    assert!(decoder.in_transaction());
    assert!(matches!(decoder.replay(line), Ok(Event::Row(..))));
    let message = decoder.replay(b"message: transactional: 1 prefix: , sz: 0 content:");
    let Ok(Event::Message(message)) = message else { panic!("no message") };
    assert_eq!(message.lsn, end);
    assert_eq!(decoder.end_release(), Ok(due));
    assert!(!decoder.in_transaction());
}

#[test]
fn number_and_time_may_be_missing() {
    let mut decoder = Decoder::new();
    decoder.decode(Lsn::new(8), b"BEGIN").unwrap();
    let held = decoder.decode(Lsn::new(8), b"table public.t: INSERT: id[integer]:1").unwrap();
    assert!(matches!(held, Event::Hold(Part { transaction: 0, part: 0 })));
    let release = commit(&mut decoder, 16, "COMMIT");
    assert_eq!((release.transaction, release.commit.committed_at), (0, 0));
}

#[test]
fn ends_of_commits_rise_and_are_possible() {
    let mut decoder = Decoder::new();
    let begin = |decoder: &mut Decoder| drop(decoder.decode(Lsn::ZERO, b"BEGIN 7").unwrap());
    begin(&mut decoder);
    for end in [0, 8, 17, 0x1004] {
        assert_eq!(fault(&mut decoder, end, "COMMIT 7"), Fault::CommitEnd(Lsn::new(end)));
    }
    commit(&mut decoder, 0x1000, "COMMIT 7");
    begin(&mut decoder);
    for end in [0x1000, 0x800] {
        let (last, got) = (Lsn::new(0x1000), Lsn::new(end));
        assert_eq!(fault(&mut decoder, end, "COMMIT 7"), Fault::CommitOrder { last, got });
    }
    let next = commit(&mut decoder, 0x1018, "COMMIT 7").commit;
    assert!(next.commit.0 > Lsn::new(0x1000) && next.commit.0 < next.end);
}

#[test]
fn lines_out_of_place() {
    let row = "table public.t: INSERT: id[integer]:1";
    let out_of_place = |fault| assert!(matches!(fault, Fault::OutOfPlace(_)), "{fault:?}");
    let mut decoder = Decoder::new();
    out_of_place(fault(&mut decoder, 16, row));
    out_of_place(fault(&mut decoder, 16, "COMMIT 7"));
    out_of_place(decoder.replay(row.as_bytes()).map(|_| ()).unwrap_err().fault);
    out_of_place(decoder.end_release().unwrap_err().fault);
    decoder.decode(Lsn::new(8), b"BEGIN 7").unwrap();
    out_of_place(fault(&mut decoder, 16, "BEGIN 8"));
    out_of_place(fault(&mut decoder, 16, "COMMIT 8"));
    out_of_place(decoder.begin_release(&release(16)).unwrap_err().fault);
    let release = commit(&mut decoder, 16, "COMMIT 7");
    decoder.begin_release(&release).unwrap();
    out_of_place(fault(&mut decoder, 24, "BEGIN 9"));
    out_of_place(decoder.begin_release(&release).unwrap_err().fault);
}

#[test]
fn what_was_not_asked_for() {
    let mut decoder = Decoder::new();
    for line in [
        "opening a streamed block for transaction TXN 7",
        "opening a streamed block for transaction",
        "closing a streamed block for transaction TXN 7",
        "streaming change for TXN 7",
        "streaming change for transaction",
        "streaming truncate for TXN 7",
        "streaming message: transactional: 1 prefix: p, sz: 50",
        "streaming message: transactional: 0 prefix: p, sz: 1 content:x",
        "committing streamed transaction TXN 7 (at 2024-02-29 12:34:56+00)",
        "committing streamed transaction",
    ] {
        let want = Fault::NotAskedFor("a transaction in progress");
        assert_eq!(fault(&mut decoder, 16, line), want, "{line}");
    }
    for line in [
        "PREPARE TRANSACTION 'gid', txid 7",
        "COMMIT PREPARED 'gid', txid 7 (at 2024-02-29 12:34:56+00)",
        "COMMIT PREPARED 'gid'",
        "ROLLBACK PREPARED 'gid', txid 7",
        "preparing streamed transaction TXN 'gid', txid 7",
        "preparing streamed transaction 'gid'",
    ] {
        let want = Fault::NotAskedFor("a prepared transaction");
        assert_eq!(fault(&mut decoder, 16, line), want, "{line}");
    }
    for line in ["aborting streamed (sub)transaction TXN 7", "aborting streamed (sub)transaction"] {
        assert!(matches!(decoder.decode(Lsn::ZERO, line.as_bytes()), Ok(Event::Nothing)), "{line}");
    }
    assert_eq!(fault(&mut decoder, 16, "hello"), Fault::UnknownMessage(b'h'));
    assert_eq!(fault(&mut decoder, 16, ""), Fault::Truncated("the kind of line"));
    assert_eq!(
        decoder.decode(Lsn::new(16), b"R").map(|_| ()).unwrap_err().fault,
        Fault::UnknownMessage(b'R')
    );
}

#[test]
fn the_options_are_those_that_postgres_14_knows() {
    assert_eq!(options().len(), 3);
    assert!(options().contains(&("include-timestamp", "1")));
}
