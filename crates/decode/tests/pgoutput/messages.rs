//! What is written is read back, byte for byte.

use change::{CommitLsn, Lsn, ReplicaIdentity, TruncateOptions, Value};
use decode::pgoutput::encode::{Column, Image, Message};
use decode::{Begin, Commit, LogicalMessage, Part, Release};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Every byte, so that a value can look like anything.
const BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut at = 0u8;
    while at < u8::MAX {
        at += 1;
        bytes[at as usize] = at;
    }
    bytes
};

fn name() -> impl Strategy<Value = &'static str> {
    select(&["", "a", "public", "N\u{e4}m\u{e9}", "with \"quotes\"\n", "\u{1F600}"][..])
}

fn bytes() -> impl Strategy<Value = &'static [u8]> {
    (0..256usize, 0..256usize).prop_map(|(a, b)| &BYTES[a.min(b)..a.max(b)])
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![Just(Value::Null), Just(Value::Unchanged), bytes().prop_map(Value::Text)]
}

fn row() -> impl Strategy<Value = Vec<Value<'static>>> {
    vec(value(), 0..5)
}

fn image() -> impl Strategy<Value = Image<'static>> {
    prop_oneof![row().prop_map(Image::Key), row().prop_map(Image::Full)]
}

fn identity() -> impl Strategy<Value = ReplicaIdentity> {
    use ReplicaIdentity::{Default, Full, Index, Nothing};
    select(&[Default, Full, Index, Nothing][..])
}

fn lsn() -> impl Strategy<Value = Lsn> {
    any::<u64>().prop_map(Lsn::new)
}

fn commit() -> impl Strategy<Value = Commit> {
    (lsn(), lsn(), any::<i64>()).prop_map(|(commit, end, committed_at)| Commit {
        commit: CommitLsn(commit),
        end,
        committed_at,
    })
}

fn column() -> impl Strategy<Value = Column<'static>> {
    (any::<bool>(), name(), any::<u32>(), any::<i32>()).prop_map(
        |(in_identity, name, type_oid, type_modifier)| Column {
            in_identity,
            name,
            type_oid,
            type_modifier,
        },
    )
}

fn table_message() -> impl Strategy<Value = Message<'static>> {
    let options = (any::<bool>(), any::<bool>());
    let options = options
        .prop_map(|(cascade, restart_identity)| TruncateOptions { cascade, restart_identity });
    prop_oneof![
        (any::<u32>(), name(), name(), identity(), vec(column(), 0..5)).prop_map(
            |(oid, schema, name, identity, columns)| Message::Relation {
                oid,
                schema,
                name,
                identity,
                columns,
            },
        ),
        (any::<u32>(), name(), name()).prop_map(|(oid, schema, name)| Message::Type {
            oid,
            schema,
            name
        }),
        (any::<u32>(), row()).prop_map(|(oid, new)| Message::Insert { oid, new }),
        (any::<u32>(), option::of(image()), row()).prop_map(|(oid, old, new)| Message::Update {
            oid,
            old,
            new
        }),
        (any::<u32>(), image()).prop_map(|(oid, old)| Message::Delete { oid, old }),
        (vec(any::<u32>(), 0..5), options)
            .prop_map(|(oids, options)| Message::Truncate { oids, options }),
    ]
}

/// Any message, and whether a Stream Abort in it is one of `parallel`.
fn message() -> impl Strategy<Value = (Message<'static>, bool)> {
    let begin = (lsn(), any::<i64>(), any::<u32>()).prop_map(|(commit, committed_at, xid)| {
        Message::Begin(Begin { commit: CommitLsn(commit), committed_at, xid })
    });
    let logical = (any::<bool>(), lsn(), name(), bytes()).prop_map(
        |(transactional, lsn, prefix, content)| {
            Message::Logical(LogicalMessage { transactional, lsn, prefix, content })
        },
    );
    let release = (1..=u32::MAX, commit())
        .prop_map(|(transaction, commit)| Message::StreamCommit(Release { transaction, commit }));
    let abort = (1..=u32::MAX, 1..=u32::MAX, option::of((lsn(), any::<i64>())));
    let abort = abort.prop_map(|(transaction, part, at)| Message::StreamAbort {
        part: Part { transaction, part },
        at,
    });
    let any_message = prop_oneof![
        6 => table_message(),
        1 => begin,
        1 => commit().prop_map(Message::Commit),
        1 => (lsn(), name()).prop_map(|(commit, name)| Message::Origin { commit, name }),
        1 => logical,
        1 => (1..=u32::MAX, any::<bool>())
            .prop_map(|(transaction, first)| Message::StreamStart { transaction, first }),
        1 => Just(Message::StreamStop),
        1 => release,
        1 => abort,
    ];
    any_message.prop_map(|message| {
        let parallel = matches!(message, Message::StreamAbort { at: Some(_), .. });
        (message, parallel)
    })
}

fn xid() -> impl Strategy<Value = Option<u32>> {
    option::of(1..=u32::MAX)
}

proptest! {
    #[test]
    fn what_is_written_is_read_back((message, parallel) in message(), xid in xid()) {
        let mut bytes = Vec::new();
        message.write(xid, &mut bytes).unwrap();
        let (read_xid, read) = Message::parse(&bytes, xid.is_some(), parallel).unwrap();
        prop_assert_eq!(&read, &message);
        prop_assert_eq!(read_xid, xid.filter(|_| message.is_part()));
        prop_assert_eq!(bytes[0], message.tag());
        let mut again = Vec::new();
        read.write(read_xid, &mut again).unwrap();
        prop_assert_eq!(again, bytes);
    }

    #[test]
    fn what_is_read_is_written_back_the_same(
        (message, parallel) in message(),
        xid in xid(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut bytes = Vec::new();
        message.write(xid, &mut bytes).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if let Ok((xid, message)) = Message::parse(&bytes, xid.is_some(), parallel) {
            let mut again = Vec::new();
            message.write(xid, &mut again).unwrap();
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn what_is_cut_is_refused((message, parallel) in message(), xid in xid(), at in any::<prop::sample::Index>()) {
        let mut bytes = Vec::new();
        message.write(xid, &mut bytes).unwrap();
        bytes.truncate(at.index(bytes.len()));
        prop_assert!(Message::parse(&bytes, xid.is_some(), parallel).is_err());
    }
}
