//! A row costs no allocation, and a message no more memory than its length warrants.

use change::{CommitLsn, Lsn, ReplicaIdentity, TruncateOptions, Value};
use decode::pgoutput::encode::{Column, Image, Message};
use decode::pgoutput::{Decoder, Protocol};
use decode::{Begin, Commit, Event, Release};

const XID: u32 = 745;

fn bytes(message: &Message<'_>, xid: Option<u32>) -> Vec<u8> {
    let mut bytes = Vec::new();
    message.write(xid, &mut bytes).unwrap();
    bytes
}

fn relation(oid: u32, name: &str) -> Message<'_> {
    let column = |name| Column { in_identity: true, name, type_oid: 25, type_modifier: -1 };
    let columns = vec![column("a"), column("b"), column("c")];
    let identity = ReplicaIdentity::Default;
    Message::Relation { oid, schema: "public", name, identity, columns }
}

fn begin() -> Message<'static> {
    let commit = CommitLsn(Lsn::new(0x1000));
    Message::Begin(Begin { commit, committed_at: 0, xid: XID })
}

/// Rows of all kinds, of two tables by turns.
fn rows(xid: Option<u32>) -> Vec<Vec<u8>> {
    let row = || vec![Value::Text(b"text"), Value::Null, Value::Text(b"")];
    let of = |oid| {
        [
            Message::Insert { oid, new: row() },
            Message::Update { oid, old: None, new: vec![Value::Unchanged; 3] },
            Message::Update { oid, old: Some(Image::Key(row())), new: row() },
            Message::Update { oid, old: Some(Image::Full(row())), new: row() },
            Message::Delete { oid, old: Image::Key(row()) },
        ]
    };
    of(1).iter().chain(of(2).iter()).map(|message| bytes(message, xid)).collect()
}

fn decoder(before: &[Message<'_>]) -> Decoder {
    let mut decoder = Decoder::new(Protocol::negotiate(160_000, true));
    before.iter().for_each(|message| drop(decoder.decode(&bytes(message, None)).unwrap()));
    decoder
}

fn count(mut work: impl FnMut()) -> u64 {
    work();
    allocation_counter::measure(|| (0..100).for_each(|_| work())).count_total
}

/// A decoder that has just begun to read transaction [`XID`] again.
fn releasing() -> Decoder {
    let mut decoder =
        decoder(&[Message::StreamStart { transaction: XID, first: true }, Message::StreamStop]);
    let commit =
        Commit { commit: CommitLsn(Lsn::new(0x1000)), end: Lsn::new(0x1030), committed_at: 0 };
    let release = Message::StreamCommit(Release { transaction: XID, commit });
    let release = match decoder.decode(&bytes(&release, None)).unwrap() {
        Event::Release(release) => release,
        event => panic!("{event:?}"),
    };
    decoder.begin_release(&release).unwrap();
    decoder
}

#[test]
fn rows_are_decoded_held_and_read_again_without_allocating() {
    let mut plain = decoder(&[relation(1, "one"), relation(2, "two"), begin()]);
    let messages = rows(None);
    let decode = || {
        for message in &messages {
            assert!(matches!(plain.decode(message), Ok(Event::Row(..))));
        }
    };
    assert_eq!(count(decode), 0);

    let mut block = decoder(&[Message::StreamStart { transaction: XID, first: true }]);
    let messages = rows(Some(XID));
    let hold = || {
        for message in &messages {
            assert!(matches!(block.decode(message), Ok(Event::Hold(_))));
        }
    };
    assert_eq!(count(hold), 0);

    let mut again = releasing();
    for message in [relation(1, "one"), relation(2, "two")] {
        again.replay(&bytes(&message, Some(XID))).unwrap();
    }
    let replay = || {
        for message in &messages {
            assert!(matches!(again.replay(message), Ok(Event::Row(..))));
        }
    };
    assert_eq!(count(replay), 0);
}

/// The most that a message may cost: the growth of a table of cells, and the words of the error.
fn allowance(message: &[u8]) -> u64 {
    u64::try_from(message.len()).unwrap() * 32 + 2048
}

#[test]
fn a_claim_reserves_nothing() {
    let nulls = |count: usize| [&b"I\0\0\0\x01N\x7F\xFF"[..], &vec![b'n'; count]].concat();
    let oids = [&b"T\x7F\xFF\xFF\xFF\0"[..], &[0, 0, 0, 1].repeat(5000)].concat();
    let mut columns = b"R\0\0\0\x09public\0wide\0d\x7F\xFF".to_vec();
    (0..500).for_each(|_| columns.extend_from_slice(b"\0\0\0\0\0\x17\xFF\xFF\xFF\xFF"));
    let hostile: [Vec<u8>; 9] = [
        b"T\x7F\xFF\xFF\xFF\0".to_vec(),
        oids,
        b"R\0\0\0\x09public\0wide\0d\x7F\xFF".to_vec(),
        columns,
        nulls(0),
        nulls(10_000),
        b"I\0\0\0\x01N\0\x03t\x7F\xFF\xFF\xFFabc".to_vec(),
        b"M\x01\0\0\0\0\0\0\0\0app\0\x7F\xFF\xFF\xFFabc".to_vec(),
        b"U\0\0\0\x01O\x7F\xFFnnn".to_vec(),
    ];
    for message in hostile {
        let mut plain = decoder(&[relation(1, "one"), begin()]);
        let info = allocation_counter::measure(|| assert!(plain.decode(&message).is_err()));
        assert!(info.bytes_total <= allowance(&message), "{} bytes", info.bytes_total);
        let info = allocation_counter::measure(|| {
            assert!(Message::parse(&message, false, false).is_err());
        });
        assert!(info.bytes_total <= 3 * allowance(&message), "{} bytes", info.bytes_total);

        let mut again = releasing();
        again.replay(&bytes(&relation(1, "one"), Some(XID))).unwrap();
        let message = [&message[..1], &XID.to_be_bytes(), &message[1..]].concat();
        let info = allocation_counter::measure(|| assert!(again.replay(&message).is_err()));
        assert!(info.bytes_total <= allowance(&message), "{} bytes", info.bytes_total);
    }
}

#[test]
fn a_truncate_costs_no_more_than_the_tables_that_are_known() {
    let mut plain = decoder(&[relation(1, "one"), relation(2, "two"), begin()]);
    let options = TruncateOptions::default();
    let all = bytes(&Message::Truncate { oids: vec![1, 2], options }, None);
    assert!(matches!(plain.decode(&all), Ok(Event::Truncate(_))));
    let again = bytes(&Message::Truncate { oids: vec![1; 100_000], options }, None);
    let info = allocation_counter::measure(|| assert!(plain.decode(&again).is_err()));
    assert!(info.bytes_total < 2048, "{} bytes", info.bytes_total);
}
