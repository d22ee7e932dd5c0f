//! Messages as the protocol's page spells them, byte for byte.

use change::{CommitLsn, OldImage, ReplicaIdentity, RowChange, TableName, Value};

use super::*;
use crate::{ColumnType, TruncatedTable};

const BEGIN: &[u8] = b"B\0\0\0\0\x01\x53\xCA\xC8\0\x02\xB7\x1D\xE0\x5B\x40\x00\0\0\x02\xE5";
const COMMIT: &[u8] =
    b"C\0\0\0\0\0\x01\x53\xCA\xC8\0\0\0\0\x01\x53\xCA\xF8\0\x02\xB7\x1D\xE0\x5B\x40\x00";
const RELATION: &[u8] = b"R\0\0\x40\0public\0place\0d\0\x03\
    \x01id\0\0\0\0\x17\xFF\xFF\xFF\xFF\0name\0\0\0\0\x19\xFF\xFF\xFF\xFF\0n\0\0\0\x06\xA4\0\x05\0\x06";
const INSERT: &[u8] = b"I\0\0\x40\0N\0\x03t\0\0\0\x01\x37t\0\0\0\x02Omn";
const UPDATE: &[u8] = b"U\0\0\x40\0K\0\x03t\0\0\0\x01\x37nnN\0\x03t\0\0\0\x01\x38ut\0\0\0\x041.50";
const DELETE: &[u8] = b"D\0\0\x40\0O\0\x03t\0\0\0\x01\x38t\0\0\0\0n";
const TRUNCATE: &[u8] = b"T\0\0\0\x01\x03\0\0\x40\0";
const MESSAGE: &[u8] = b"M\x01\0\0\0\0\x01\x53\xCA\xC8app\0\0\0\0\x02hi";
const ORIGIN: &[u8] = b"O\0\0\0\0\x01\x53\xCA\xC8other\0";
const TYPE: &[u8] = b"Y\0\0\x40\x2Apublic\0mood\0";

fn decoder() -> Decoder {
    Decoder::new(Protocol::new(1, Streaming::Off).unwrap())
}

/// A decoder within a transaction that knows relation 0x4000.
fn open() -> Decoder {
    let mut decoder = decoder();
    decoder.decode(RELATION).unwrap();
    decoder.decode(BEGIN).unwrap();
    decoder
}

fn fault(decoder: &mut Decoder, message: &[u8]) -> (usize, Fault) {
    let error = decoder.decode(message).map(|event| format!("{event:?}")).unwrap_err();
    (error.position, error.fault)
}

/// An insert of the columns that the literal spells, their count first.
fn insert_of(columns: &[u8]) -> Vec<u8> {
    [b"I\0\0\x40\0N", columns].concat()
}

#[test]
fn begin_and_commit_carry_positions_and_time() {
    let mut decoder = decoder();
    let Event::Begin(begin) = decoder.decode(BEGIN).unwrap() else { panic!() };
    let commit_lsn = CommitLsn("0/153CAC8".parse().unwrap());
    assert_eq!((begin.commit, begin.xid), (commit_lsn, 0x2E5));
    assert_eq!(begin.committed_at, 0x0002_B71D_E05B_4000);
    assert!(decoder.in_transaction());
    let Event::Commit(commit) = decoder.decode(COMMIT).unwrap() else { panic!() };
    assert_eq!((commit.commit, commit.end), (commit_lsn, "0/153CAF8".parse().unwrap()));
    assert!(!decoder.in_transaction());
}

#[test]
fn relation_tells_names_types_and_identity() {
    let mut decoder = decoder();
    let Event::Relation(relation) = decoder.decode(RELATION).unwrap() else { panic!() };
    assert_eq!((relation.number, relation.oid), (0, Some(0x4000)));
    assert_eq!(relation.name, TableName::new("public", "place"));
    assert_eq!(relation.identity, Some(ReplicaIdentity::Default));
    let columns: Vec<_> =
        relation.columns.iter().map(|c| (c.name.as_str(), c.in_identity, c.ty.clone())).collect();
    let ty = |oid, modifier| ColumnType::Oid { oid, modifier };
    let expected =
        [("id", true, ty(23, -1)), ("name", false, ty(25, -1)), ("n", false, ty(1700, 327_686))];
    assert_eq!(columns, expected);
}

#[test]
fn rows_are_borrowed_and_markers_kept() {
    let mut decoder = open();
    let Event::Row(op, relation) = decoder.decode(INSERT).unwrap() else { panic!() };
    assert_eq!((op.relation, relation.number, relation.oid), (0, 0, Some(0x4000)));
    let RowChange::Insert { new } = op.change else { panic!() };
    let values: Vec<_> = new.values().collect();
    assert_eq!(values, [Value::Text(b"7"), Value::Text(b"Om"), Value::Null]);

    let Event::Row(op, _) = decoder.decode(UPDATE).unwrap() else { panic!() };
    let RowChange::Update { old: OldImage::Key(old), new } = op.change else { panic!() };
    assert_eq!(old.values().collect::<Vec<_>>(), [Value::Text(b"7"), Value::Null, Value::Null]);
    let values: Vec<_> = new.values().collect();
    assert_eq!(values, [Value::Text(b"8"), Value::Unchanged, Value::Text(b"1.50")]);

    let Event::Row(op, _) = decoder.decode(DELETE).unwrap() else { panic!() };
    let RowChange::Delete { old: OldImage::Full(old) } = op.change else { panic!() };
    let values: Vec<_> = old.values().collect();
    assert_eq!(values, [Value::Text(b"8"), Value::Text(b""), Value::Null]);
}

#[test]
fn the_rest_of_version_one() {
    let mut decoder = open();
    let Event::Truncate(truncate) = decoder.decode(TRUNCATE).unwrap() else { panic!() };
    let place = TruncatedTable { oid: Some(0x4000), name: TableName::new("public", "place") };
    assert_eq!(truncate.tables, [place]);
    assert!(truncate.options.cascade && truncate.options.restart_identity);
    let Event::Message(message) = decoder.decode(MESSAGE).unwrap() else { panic!() };
    assert_eq!((message.transactional, message.prefix, message.content), (true, "app", &b"hi"[..]));
    assert!(matches!(decoder.decode(ORIGIN).unwrap(), Event::Nothing));
    assert!(matches!(decoder.decode(TYPE).unwrap(), Event::Nothing));
}

#[test]
fn every_truncation_is_an_error_and_every_trailing_byte_too() {
    let all: [&[u8]; 10] =
        [BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE, MESSAGE, ORIGIN, TYPE];
    for message in all {
        let start = || if message == BEGIN { decoder() } else { open() };
        start().decode(message).unwrap();
        for cut in 0..message.len() {
            let error = start().decode(&message[..cut]).map(|e| format!("{e:?}")).unwrap_err();
            assert!(matches!(error.fault, Fault::Truncated(_)), "{error}");
            assert!(error.position <= cut, "{error}");
        }
        let longer = [message, b"x"].concat();
        assert_eq!(fault(&mut start(), &longer), (message.len(), Fault::Trailing(1)));
    }
}

#[test]
fn any_corrupted_byte_is_an_error_or_another_message_but_never_a_panic() {
    for message in
        [BEGIN, COMMIT, RELATION, INSERT, UPDATE, DELETE, TRUNCATE, MESSAGE, ORIGIN, TYPE]
    {
        for at in 0..message.len() {
            for byte in 0..=u8::MAX {
                let mut corrupted = message.to_vec();
                corrupted[at] = byte;
                let _ = open().decode(&corrupted).map(|event| format!("{event:?}"));
            }
        }
    }
}

#[test]
fn what_is_out_of_place_is_refused() {
    let insert = insert_of(b"\0\x03nnn");
    let mut outside = decoder();
    outside.decode(RELATION).unwrap();
    assert!(matches!(fault(&mut outside, &insert), (0, Fault::OutOfPlace(_))));
    assert!(matches!(fault(&mut outside, TRUNCATE), (0, Fault::OutOfPlace(_))));
    assert!(matches!(fault(&mut outside, COMMIT), (0, Fault::OutOfPlace(_))));
    assert!(matches!(fault(&mut outside, MESSAGE), (0, Fault::OutOfPlace(_))));
    let mut of_no_transaction = MESSAGE.to_vec();
    of_no_transaction[1] = 0;
    assert!(matches!(outside.decode(&of_no_transaction).unwrap(), Event::Message(_)));
    assert!(matches!(fault(&mut open(), BEGIN), (0, Fault::OutOfPlace(_))));
    assert_eq!(
        fault(&mut open(), b"S\0\0\0\x01\x01"),
        (0, Fault::NotAskedFor("a transaction in progress"))
    );
    for tag in [b"b", b"P", b"K", b"r", b"p"] {
        assert_eq!(fault(&mut open(), tag), (0, Fault::NotAskedFor("a prepared transaction")));
    }
    assert_eq!(fault(&mut open(), b"?"), (0, Fault::UnknownMessage(b'?')));
}

#[test]
fn a_commit_must_close_its_own_transaction_and_come_later_than_the_last() {
    let mut other = COMMIT.to_vec();
    other[9] = 0xD0;
    assert!(matches!(fault(&mut open(), &other), (2, Fault::OtherCommit { .. })));

    let mut decoder = open();
    decoder.decode(COMMIT).unwrap();
    let (position, fault) = fault(&mut decoder, BEGIN);
    assert_eq!(position, 1);
    assert!(matches!(fault, Fault::CommitOrder { .. }));
}

#[test]
fn rows_must_fit_a_known_relation() {
    let unknown = b"I\0\0\x40\x09N\0\0";
    assert_eq!(fault(&mut open(), unknown), (1, Fault::UnknownRelation(0x4009)));
    let wide = insert_of(b"\0\x04nnnn");
    let expected = Fault::ColumnCount { want: 3, got: 4 };
    assert_eq!(fault(&mut open(), &wide), (5, expected));
    let narrow_key = b"D\0\0\x40\0K\0\x01n";
    assert!(matches!(fault(&mut open(), narrow_key), (5, Fault::ColumnCount { got: 1, .. })));
    let negative = insert_of(b"\0\x03t\xFF\xFF\xFF\xFF");
    assert_eq!(fault(&mut open(), &negative), (9, Fault::Length { what: "a value", length: -1 }));
    let binary = insert_of(b"\0\x03b\0\0\0\0nn");
    assert_eq!(fault(&mut open(), &binary), (8, Fault::NotAskedFor("a value in binary form")));
}

#[test]
fn a_truncate_names_known_tables_once() {
    let unknown = b"T\0\0\0\x02\0\0\0\x40\0\0\0\x40\x07";
    assert_eq!(fault(&mut open(), unknown), (10, Fault::UnknownRelation(0x4007)));
    let twice = b"T\0\0\0\x02\0\0\0\x40\0\0\0\x40\0";
    assert_eq!(fault(&mut open(), twice), (10, Fault::OutOfPlace("a table is named twice")));
}

#[test]
fn each_change_of_a_description_gets_another_number() {
    let mut decoder = open();
    let mut other = RELATION.to_vec();
    other[15] = b'L';
    let mut number = |message: &[u8]| match decoder.decode(message).unwrap() {
        Event::Relation(relation) => relation.number,
        Event::Row(op, relation) => {
            assert_eq!(op.relation, relation.number);
            op.relation
        }
        event => panic!("{event:?}"),
    };
    assert_eq!(
        [&other, INSERT, RELATION, INSERT, &other, UPDATE].map(&mut number),
        [1, 1, 2, 2, 3, 3]
    );
}

#[test]
fn an_error_names_the_message_the_byte_and_the_reason() {
    let error = open().decode(b"I\0\0\x40\x09N\0\0").map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "Insert message, byte 1: a row of the unknown relation 16393");
    let error = open().decode(b"I\0\0\x40\0N\0\x03x").map(|_| ()).unwrap_err();
    let expected = "Insert message of public.place, byte 8: 0x78 is no kind of value";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn an_error_in_a_row_names_its_table() {
    let place = TableName::new("public", "place");
    for (message, position) in [
        // Cut: before the image, before a value, within a value.
        (&b"I\0\0\x40\0"[..], 5),
        (b"U\0\0\x40\0N\0\x03n", 9),
        (b"D\0\0\x40\0K\0\x03t\0\0\0\x02\x37", 13),
        // Another image, of each kind of row, and after an old one.
        (b"I\0\0\x40\0K", 5),
        (b"U\0\0\x40\0X", 5),
        (b"U\0\0\x40\0K\0\x03nnnO", 11),
        (b"D\0\0\x40\0N", 5),
        // A value of an unknown kind, of binary form, of a negative length; a negative count.
        (b"I\0\0\x40\0N\0\x03nx", 9),
        (b"I\0\0\x40\0N\0\x03b", 8),
        (b"U\0\0\x40\0N\0\x03t\xFF\xFF\xFF\xFF", 9),
        (b"D\0\0\x40\0O\xFF\xFF", 6),
        // What follows, and what does not fit.
        (b"D\0\0\x40\0K\0\x03nnn?", 11),
        (b"U\0\0\x40\0O\0\x02nnN\0\x03nnn", 5),
    ] {
        let error = open().decode(message).map(|_| ()).unwrap_err();
        assert_eq!(
            (error.relation.as_deref(), error.position),
            (Some(&place), position),
            "{error}"
        );
    }
    for message in [
        // No whole OID, one that nobody described, and no message about a row.
        &b"I\0\0\x40"[..],
        b"I\0\0\x40\x09",
        b"T\0\0\0\x01\x09\0\0\x40\0",
        b"R\0\0\x40\0public\0place\0?",
    ] {
        let error = open().decode(message).map(|_| ()).unwrap_err();
        assert_eq!(error.relation, None, "{error}");
    }
}
