//! The messages of streamed transactions, byte for byte, and what they make of the relations.

use change::{CommitLsn, RowChange, TableName, Value};

use super::*;

const START: &[u8] = b"S\0\0\x02\xE5\x01";
const GO_ON: &[u8] = b"S\0\0\x02\xE5\0";
const STOP: &[u8] = b"E";
const COMMIT: &[u8] =
    b"c\0\0\x02\xE5\0\0\0\0\0\x01\x53\xCA\xC8\0\0\0\0\x01\x53\xCA\xF8\0\x02\xB7\x1D\xE0\x5B\x40\x00";
const ABORT: &[u8] = b"A\0\0\x02\xE5\0\0\x02\xE5";
const ABORT_PART: &[u8] = b"A\0\0\x02\xE5\0\0\x02\xE6";
const ORIGIN: &[u8] = b"O\0\0\0\0\0\0\0\0other\0";
/// Table 0x4000 with one column, in the transaction and in a subtransaction.
const RELATION: &[u8] =
    b"R\0\0\x02\xE5\0\0\x40\0public\0place\0d\0\x01\x01id\0\0\0\0\x17\xFF\xFF\xFF\xFF";
const RELATION_OF_PART: &[u8] =
    b"R\0\0\x02\xE6\0\0\x40\0public\0place\0d\0\x01\x01no\0\0\0\0\x17\xFF\xFF\xFF\xFF";
const INSERT: &[u8] = b"I\0\0\x02\xE5\0\0\x40\0N\0\x01t\0\0\0\x01\x37";
const DELETE_OF_PART: &[u8] = b"D\0\0\x02\xE6\0\0\x40\0K\0\x01t\0\0\0\x01\x37";
const UPDATE: &[u8] = b"U\0\0\x02\xE5\0\0\x40\0N\0\x01u";
const TRUNCATE: &[u8] = b"T\0\0\x02\xE5\0\0\0\x01\0\0\0\x40\0";
const MESSAGE: &[u8] = b"M\0\0\x02\xE5\x01\0\0\0\0\x01\x53\xCA\xC8app\0\0\0\0\x02hi";
const TYPE: &[u8] = b"Y\0\0\x02\xE5\0\0\x40\x2Apublic\0mood\0";
/// The same table outside of a block: with the column `ID`.
const PLAIN_RELATION: &[u8] =
    b"R\0\0\x40\0public\0place\0d\0\x01\x01ID\0\0\0\0\x17\xFF\xFF\xFF\xFF";
const PLAIN_INSERT: &[u8] = b"I\0\0\x40\0N\0\x01t\0\0\0\x01\x38";
const WHOLE: Part = Part { transaction: 0x2E5, part: 0x2E5 };
const SUB: Part = Part { transaction: 0x2E5, part: 0x2E6 };

fn plain_begin(commit: u8) -> Vec<u8> {
    [b"B\0\0\0\0\0\0\0".as_slice(), &[commit], &[0; 8], b"\0\0\0\x07"].concat()
}

fn plain_commit(commit: u8) -> Vec<u8> {
    let lsn = |low| [0, 0, 0, 0, 0, 0, 0, low];
    [b"C\0".as_slice(), &lsn(commit), &lsn(commit + 8), &[0; 8]].concat()
}

fn of(version: u8, streaming: Streaming, before: &[&[u8]]) -> Decoder {
    let mut decoder = Decoder::new(Protocol::new(version, streaming).unwrap());
    before.iter().for_each(|message| drop(decoder.decode(message).unwrap()));
    decoder
}

fn streaming(before: &[&[u8]]) -> Decoder {
    of(2, Streaming::On, before)
}

fn fault(decoder: &mut Decoder, message: &[u8]) -> (usize, Fault) {
    let error = decoder.decode(message).map(|event| format!("{event:?}")).unwrap_err();
    (error.position, error.fault)
}

fn refused(before: &[&[u8]], message: &[u8]) -> (usize, Fault) {
    fault(&mut streaming(before), message)
}

fn hold(decoder: &mut Decoder, message: &[u8]) -> Part {
    let Event::Hold(part) = decoder.decode(message).unwrap() else { panic!("not held") };
    part
}

/// Decodes a Stream Commit and begins to read again.
fn release(decoder: &mut Decoder) -> Begin {
    let Event::Release(release) = decoder.decode(COMMIT).unwrap() else { panic!() };
    decoder.begin_release(&release).unwrap()
}

/// What the column of table 0x4000 is called for the session, by a plain transaction that commits at `commit`.
fn column(decoder: &mut Decoder, commit: u8) -> String {
    decoder.decode(&plain_begin(commit)).unwrap();
    let Event::Row(_, relation) = decoder.decode(PLAIN_INSERT).unwrap() else { panic!() };
    let name = relation.columns[0].name.clone();
    decoder.decode(&plain_commit(commit)).unwrap();
    name
}

#[test]
fn messages_of_a_block_are_held_unread() {
    let mut decoder = streaming(&[]);
    assert!(matches!(decoder.decode(START).unwrap(), Event::Nothing));
    assert!(decoder.in_transaction());
    for message in [RELATION, INSERT, UPDATE, TRUNCATE, MESSAGE, TYPE] {
        assert_eq!(hold(&mut decoder, message), WHOLE);
    }
    assert_eq!(hold(&mut decoder, RELATION_OF_PART), SUB);
    assert_eq!(hold(&mut decoder, DELETE_OF_PART), SUB);
    assert_eq!(hold(&mut decoder, b"I\0\0\x02\xE7"), Part { transaction: 0x2E5, part: 0x2E7 });
    assert!(matches!(decoder.decode(ORIGIN).unwrap(), Event::Nothing));
    assert!(matches!(decoder.decode(STOP).unwrap(), Event::Nothing));
    assert!(!decoder.in_transaction());
}

#[test]
fn a_commit_releases_and_what_was_kept_reads_as_if_it_came_now() {
    let mut decoder = streaming(&[START, RELATION, INSERT, STOP]);
    let Event::Release(due) = decoder.decode(COMMIT).unwrap() else { panic!() };
    let (lsn, end) = (CommitLsn("0/153CAC8".parse().unwrap()), "0/153CAF8".parse().unwrap());
    let commit = Commit { commit: lsn, end, committed_at: 0x0002_B71D_E05B_4000 };
    assert_eq!(due, Release { transaction: 0x2E5, commit });
    assert!(decoder.in_transaction());
    let begin = decoder.begin_release(&due).unwrap();
    assert_eq!(begin, Begin { commit: lsn, committed_at: commit.committed_at, xid: 0x2E5 });

    assert!(matches!(decoder.replay(RELATION).unwrap(), Event::Relation(_)));
    let Event::Row(op, relation) = decoder.replay(INSERT).unwrap() else { panic!() };
    assert_eq!((op.relation, relation.columns[0].name.as_str()), (0, "id"));
    let RowChange::Insert { new } = op.change else { panic!() };
    assert_eq!(new.get(0), Value::Text(b"7"));
    let Event::Row(op, _) = decoder.replay(UPDATE).unwrap() else { panic!() };
    let RowChange::Update { new, .. } = op.change else { panic!() };
    assert_eq!(new.get(0), Value::Unchanged);
    let Event::Row(op, _) = decoder.replay(DELETE_OF_PART).unwrap() else { panic!() };
    assert!(matches!(op.change, RowChange::Delete { .. }));
    let Event::Truncate(truncate) = decoder.replay(TRUNCATE).unwrap() else { panic!() };
    assert_eq!(truncate.tables[0].name.to_string(), "public.place");
    let Event::Message(message) = decoder.replay(MESSAGE).unwrap() else { panic!() };
    assert_eq!((message.transactional, message.content), (true, &b"hi"[..]));
    assert!(matches!(decoder.replay(TYPE).unwrap(), Event::Nothing));
    assert_eq!(decoder.end_release().unwrap(), commit);
    assert!(!decoder.in_transaction());
}

#[test]
fn an_abort_names_what_is_void() {
    for (version, sort, tail) in
        [(2, Streaming::On, &b""[..]), (4, Streaming::On, b""), (4, Streaming::Parallel, &[9; 16])]
    {
        let mut decoder = of(version, sort, &[START, STOP]);
        for (message, expected) in [(ABORT_PART, SUB), (ABORT, WHOLE)] {
            let message = [message, tail].concat();
            let Event::Abort(part) = decoder.decode(&message).unwrap() else { panic!() };
            assert_eq!(part, expected);
        }
        // Once more, and of nothing that was ever sent.
        assert!(matches!(decoder.decode(&[ABORT, tail].concat()), Ok(Event::Abort(WHOLE))));
    }
    let mut parallel = of(4, Streaming::Parallel, &[START, STOP]);
    assert!(matches!(fault(&mut parallel, ABORT), (9, Fault::Truncated(_))));
    let long = [ABORT, &[0; 16]].concat();
    assert_eq!(refused(&[START, STOP], &long), (9, Fault::Trailing(16)));
}

#[test]
fn blocks_stand_where_the_server_puts_them() {
    let out = |before: &[&[u8]], message: &[u8]| {
        assert!(matches!(refused(before, message), (0, Fault::OutOfPlace(_))), "{message:?}");
    };
    let (begin, commit) = (plain_begin(8), plain_commit(8));
    for message in [START, GO_ON, COMMIT, ABORT, ABORT_PART, &begin, &commit] {
        out(&[START], message);
    }
    for message in [START, STOP, COMMIT, ABORT] {
        out(&[START, STOP, &begin], message);
    }
    out(&[], STOP);
    out(&[START, STOP], STOP);
    for message in [START, STOP, &begin, RELATION, INSERT, ORIGIN] {
        out(&[START, STOP, COMMIT], message);
    }
    out(&[START], b"M\0\0\x02\xE5\0\0\0\0\0\x01\x53\xCA\xC8app\0\0\0\0\x02hi");
    assert_eq!(refused(&[START], b"p").1, Fault::NotAskedFor("a prepared transaction"));
    assert_eq!(refused(&[START], b"?").1, Fault::UnknownMessage(b'?'));
    assert_eq!(refused(&[START], b"Ex"), (1, Fault::Trailing(1)));
}

#[test]
fn transactions_begin_once_and_have_ids() {
    let of_transaction = |what| (5, Fault::Transaction { xid: 0x2E5, what });
    assert_eq!(refused(&[], GO_ON), of_transaction("goes on without having begun"));
    assert_eq!(refused(&[START, STOP, ABORT], GO_ON).0, 5);
    assert_eq!(refused(&[START, STOP], START), of_transaction("begins a second time"));
    streaming(&[START, STOP, GO_ON, STOP, ABORT_PART, GO_ON, STOP, ABORT, START]);
    let byte = Fault::UnknownByte { what: "first-segment flag", byte: 2 };
    assert_eq!(refused(&[], b"S\0\0\x02\xE5\x02"), (5, byte));
    let never = Fault::Transaction { xid: 0x2E5, what: "was never streamed" };
    assert_eq!(refused(&[], COMMIT), (1, never));
    assert_eq!(refused(&[], b"S\0\0\0\0\x01"), (1, Fault::NoTransaction));
    assert_eq!(refused(&[START], b"I\0\0\0\0\0\0\x40\0"), (1, Fault::NoTransaction));
    assert_eq!(refused(&[START, STOP], b"A\0\0\x02\xE5\0\0\0\0"), (5, Fault::NoTransaction));
}

#[test]
fn commits_of_both_kinds_rise_together() {
    let released = |decoder: &mut Decoder| {
        release(decoder);
        decoder.end_release().unwrap();
    };
    let mut decoder = streaming(&[START, STOP]);
    released(&mut decoder);
    assert!(matches!(fault(&mut decoder, &plain_begin(8)), (1, Fault::CommitOrder { .. })));
    let mut decoder = streaming(&[START, STOP]);
    released(&mut decoder);
    decoder.decode(START).unwrap();
    decoder.decode(STOP).unwrap();
    assert!(matches!(fault(&mut decoder, COMMIT), (6, Fault::CommitOrder { .. })));
}

#[test]
fn a_commit_ends_behind_its_start() {
    let mut early = COMMIT.to_vec();
    early[21] = 0xC8;
    let end = Fault::CommitEnd("0/153CAC8".parse().unwrap());
    assert_eq!(refused(&[START, STOP], &early), (14, end));
    let mut plain = plain_commit(8);
    plain[17] = 8;
    let end = Fault::CommitEnd(Lsn::new(8));
    assert_eq!(refused(&[&plain_begin(8)], &plain), (10, end));
}

#[test]
fn nothing_of_it_comes_unasked() {
    let unasked = (0, Fault::NotAskedFor("a transaction in progress"));
    for message in [START, STOP, COMMIT] {
        assert_eq!(fault(&mut of(4, Streaming::Off, &[]), message), unasked);
    }
    // But for this, which a server tells of what it never sent.
    let mut decoder = of(4, Streaming::Off, &[]);
    assert!(matches!(decoder.decode(ABORT_PART), Ok(Event::Abort(SUB))));
}

#[test]
fn every_truncation_is_an_error() {
    let open: &[&[u8]] = &[START, STOP];
    for (before, message) in [(&[][..], START), (open, COMMIT), (open, ABORT), (&[START], ORIGIN)] {
        streaming(before).decode(message).unwrap();
        for cut in 0..message.len() {
            let (position, fault) = refused(before, &message[..cut]);
            assert!(matches!(fault, Fault::Truncated(_)), "{fault}");
            assert!(position <= cut);
        }
        let longer = [message, b"x"].concat();
        assert_eq!(refused(before, &longer), (message.len(), Fault::Trailing(1)));
    }
    for message in [RELATION, INSERT, UPDATE, DELETE_OF_PART, TRUNCATE, MESSAGE, TYPE] {
        let replaying = || {
            let mut decoder = streaming(open);
            release(&mut decoder);
            decoder.replay(RELATION).unwrap();
            decoder
        };
        replaying().replay(message).unwrap();
        for cut in 0..message.len() {
            let mut decoder = replaying();
            let error = decoder.replay(&message[..cut]).map(|_| ()).unwrap_err();
            assert!(matches!(error.fault, Fault::Truncated(_)), "{error}");
        }
        let longer = [message, b"x"].concat();
        let error = replaying().replay(&longer).map(|_| ()).unwrap_err();
        assert_eq!((error.position, error.fault), (message.len(), Fault::Trailing(1)));
    }
}

#[test]
fn a_release_is_used_as_it_was_given() {
    let mut decoder = streaming(&[START, STOP]);
    assert!(decoder.replay(INSERT).is_err());
    assert!(decoder.end_release().is_err());
    let Event::Release(due) = decoder.decode(COMMIT).unwrap() else { panic!() };
    let other = Release { transaction: 1, ..due };
    let error = decoder.begin_release(&other).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Stream Commit message, byte 0: no release of this transaction is due"
    );
    assert!(decoder.end_release().is_err());
    decoder.begin_release(&due).unwrap();
    assert!(decoder.begin_release(&due).is_err());
    for message in [START, STOP, COMMIT, ORIGIN] {
        let error = decoder.replay(message).map(|_| ()).unwrap_err();
        assert!(matches!(error.fault, Fault::OutOfPlace(_)), "{error}");
    }
    decoder.end_release().unwrap();
    assert!(decoder.begin_release(&due).is_err());
}

#[test]
fn a_streamed_transaction_knows_only_its_own_relations() {
    let mut decoder = streaming(&[PLAIN_RELATION, START, INSERT, STOP]);
    release(&mut decoder);
    for message in [INSERT, TRUNCATE] {
        let error = decoder.replay(message).map(|_| ()).unwrap_err();
        assert_eq!(error.fault, Fault::UnknownRelation(0x4000));
    }
    let error = decoder.replay(INSERT).map(|_| ()).unwrap_err();
    assert_eq!(error.position, 5);
    let mut decoder = streaming(&[START, RELATION, STOP, &plain_begin(8)]);
    assert_eq!(fault(&mut decoder, PLAIN_INSERT), (1, Fault::UnknownRelation(0x4000)));
    let mut decoder = streaming(&[START, STOP]);
    release(&mut decoder);
    decoder.replay(RELATION).unwrap();
    let wide = b"I\0\0\x02\xE5\0\0\x40\0N\0\x02nn";
    let error = decoder.replay(wide).map(|_| ()).unwrap_err();
    assert_eq!((error.position, &error.fault), (9, &Fault::ColumnCount { want: 1, got: 2 }));
    let expected = "Insert message of public.place, byte 9: 2 columns, but the relation has 1";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_error_in_a_row_that_was_kept_names_the_table_of_its_transaction() {
    // What the session calls 0x4000 is another table.
    let other = b"R\0\0\x40\0public\0other\0d\0\0";
    let mut decoder = streaming(&[other, START, STOP]);
    release(&mut decoder);
    let cut = |decoder: &mut Decoder| {
        let error = decoder.replay(&INSERT[..INSERT.len() - 1]).map(|_| ()).unwrap_err();
        assert_eq!((error.position, &error.fault), (17, &Fault::Truncated("a value")));
        error.relation
    };
    assert_eq!(cut(&mut decoder), None);
    decoder.replay(RELATION).unwrap();
    assert_eq!(cut(&mut decoder), Some(Box::new(TableName::new("public", "place"))));
}

#[test]
fn after_a_release_the_session_knows_what_is_newer() {
    // Told by the streamed transaction only, or by it last.
    for before in [&[START, RELATION, STOP][..], &[PLAIN_RELATION, START, RELATION, STOP]] {
        let mut decoder = streaming(before);
        release(&mut decoder);
        decoder.replay(RELATION).unwrap();
        decoder.end_release().unwrap();
        decoder.last_commit = None;
        assert_eq!(column(&mut decoder, 8), "id");
    }
    // Told by another transaction meanwhile.
    let mut decoder = streaming(&[START, RELATION, STOP, PLAIN_RELATION]);
    release(&mut decoder);
    let Event::Relation(relation) = decoder.replay(RELATION).unwrap() else { panic!() };
    assert_eq!(relation.columns[0].name, "id");
    decoder.end_release().unwrap();
    decoder.last_commit = None;
    assert_eq!(column(&mut decoder, 8), "ID");
}

#[test]
fn an_abort_of_a_part_takes_the_notes_along() {
    // The transaction's own description is older than the session's, that of the aborted part is newer.
    let mut decoder = streaming(&[
        START,
        RELATION,
        STOP,
        PLAIN_RELATION,
        GO_ON,
        RELATION_OF_PART,
        STOP,
        ABORT_PART,
    ]);
    release(&mut decoder);
    decoder.replay(RELATION).unwrap();
    decoder.end_release().unwrap();
    decoder.last_commit = None;
    assert_eq!(column(&mut decoder, 8), "ID");
}
