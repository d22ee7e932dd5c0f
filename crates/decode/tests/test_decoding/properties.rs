//! What is written is read back, whatever it holds; and nothing makes the decoder panic.

use change::{Cell, OldImage, Row, RowChange, TableName, TruncateOptions};
use decode::test_decoding::{Decoder, encode};
use decode::{Event, LogicalMessage, Relation, Truncate, TruncatedTable};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Image, Owned, column, described, release, replay, replaying};

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z_][a-z0-9_]{0,6}", "[\"\\[\\]:' .,a-zA-Zé\n-]{1,8}", "\\PC{1,6}"]
}

fn type_name() -> impl Strategy<Value = String> {
    let known = prop_oneof![
        Just("integer"),
        Just("numeric"),
        Just("boolean"),
        Just("bit"),
        Just("bit varying"),
        Just("text"),
        Just("character varying"),
        Just("boolean[]"),
        Just("\"char\""),
        Just("timestamp with time zone"),
    ];
    let odd = (name(), name(), any::<bool>()).prop_map(|(schema, name, array)| {
        format!("{}.{}{}", quoted(&schema), quoted(&name), if array { "[]" } else { "" })
    });
    prop_oneof![4 => known.prop_map(str::to_owned), 1 => odd]
}

/// A table; its columns have different names.
fn relation() -> impl Strategy<Value = Relation> {
    (name(), name(), vec((name(), type_name()), 0..7)).prop_map(|(schema, table, mut columns)| {
        columns.sort();
        columns.dedup_by(|a, b| a.0 == b.0);
        Relation {
            number: 0,
            oid: None,
            name: TableName::new(schema, table),
            identity: None,
            columns: columns.iter().map(|(name, ty)| column(name, ty)).collect(),
        }
    })
}

/// A value of such a type.
fn text(ty: &str) -> BoxedStrategy<Vec<u8>> {
    match ty {
        "integer" | "numeric" => prop_oneof![
            "-?[0-9.]{1,9}(e[+-][0-9]{1,3})?",
            Just("NaN".to_owned()),
            Just("-Infinity".to_owned())
        ]
        .prop_map(String::into_bytes)
        .boxed(),
        "boolean" => prop_oneof![Just(b"t".to_vec()), Just(b"f".to_vec())].boxed(),
        "bit" | "bit varying" => "[01]{0,9}".prop_map(String::into_bytes).boxed(),
        _ => prop_oneof![
            vec(any::<u8>(), 0..20),
            "['\\\\a \n]{0,9}".prop_map(String::into_bytes),
            Just(b"null".to_vec()),
            Just(b"' a[integer]:1 new-tuple: b[text]:'".to_vec()),
        ]
        .boxed(),
    }
}

fn row(relation: &Relation, unchanged: bool) -> BoxedStrategy<Vec<Owned>> {
    let types: Vec<_> = described_types(relation);
    let value = |ty: &String| {
        let text = text(ty).prop_map(Owned::Text);
        let marker = if unchanged { Owned::Unchanged } else { Owned::Null };
        prop_oneof![3 => text, 1 => Just(Owned::Null), 1 => Just(marker)].boxed()
    };
    types.iter().map(value).collect::<Vec<_>>().boxed()
}

fn described_types(relation: &Relation) -> Vec<String> {
    let names = relation.columns.iter().map(|column| column.name.len() + 1);
    described(relation).into_iter().zip(names).map(|(text, at)| text[at..].to_owned()).collect()
}

#[derive(Clone, Debug)]
enum Step {
    Insert(Vec<Owned>),
    Update(Option<Vec<Owned>>, Vec<Owned>),
    Delete(Vec<Owned>),
}

fn step(relation: Relation) -> impl Strategy<Value = (Relation, Step)> {
    let step = prop_oneof![
        row(&relation, false).prop_map(Step::Insert),
        (proptest::option::of(row(&relation, false)), row(&relation, true))
            .prop_map(|(old, new)| Step::Update(old, new)),
        row(&relation, false).prop_map(Step::Delete),
    ];
    (Just(relation), step)
}

/// Changes of a few tables, in any order.
fn steps() -> impl Strategy<Value = Vec<(Relation, Step)>> {
    vec(relation(), 1..4).prop_flat_map(|relations| {
        let one = (0..relations.len()).prop_flat_map(move |at| step(relations[at].clone()));
        vec(one, 1..12)
    })
}

fn cells(values: &[Owned], data: &mut Vec<u8>) -> Vec<Cell> {
    let cell = |value: &Owned| match value {
        Owned::Null => Cell::NULL,
        Owned::Unchanged => Cell::UNCHANGED,
        Owned::Text(text) => {
            data.extend_from_slice(text);
            Cell::text(data.len() - text.len(), text.len()).unwrap()
        }
    };
    values.iter().map(cell).collect()
}

fn line(relation: &Relation, step: &Step) -> Vec<u8> {
    let (mut data, mut out) = (Vec::new(), Vec::new());
    let (old, new) = match step {
        Step::Insert(new) => (None, Some(new)),
        Step::Update(old, new) => (old.as_ref(), Some(new)),
        Step::Delete(old) => (Some(old), None),
    };
    let old = old.map(|old| cells(old, &mut data));
    let new = new.map_or_else(Vec::new, |new| cells(new, &mut data));
    let new = Row::new(&data, &new);
    let old = match &old {
        Some(old) => OldImage::Key(Row::new(&data, old)),
        None => OldImage::Absent,
    };
    let change = match step {
        Step::Insert(_) => RowChange::Insert { new },
        Step::Update(..) => RowChange::Update { old, new },
        Step::Delete(_) => RowChange::Delete { old },
    };
    encode::row(relation, &change, &mut out);
    out
}

/// What is to be read of the old row of an update.
fn seen(old: &[Owned], new: &[Owned]) -> (Image, Vec<Owned>) {
    let mut image = Image::Key;
    let value = |(old, new): (&Owned, &Owned)| match (old, new) {
        (Owned::Null, Owned::Unchanged) => Owned::Unchanged,
        (old, Owned::Unchanged) => {
            image = Image::Full;
            old.clone()
        }
        (old, _) => old.clone(),
    };
    let old = old.iter().zip(new).map(value).collect();
    (image, old)
}

/// The columns that have a value, by name and type.
fn named(relation: &Relation, values: &[Owned]) -> Vec<(String, Owned)> {
    let pairs = described(relation).into_iter().zip(values.iter().cloned());
    let mut named: Vec<_> = pairs.filter(|(_, value)| *value != Owned::Null).collect();
    // A description that only deletes have made has an order of its own.
    named.sort_by(|a, b| a.0.cmp(&b.0));
    named
}

fn check(decoder: &mut Decoder, relation: &Relation, step: &Step) {
    let got = replay(decoder, &line(relation, step)).unwrap();
    assert_eq!(got.relation.name, relation.name);
    match step {
        Step::Insert(new) => {
            assert_eq!((got.action, got.image, &got.new), ("INSERT", Image::Absent, new));
            assert_eq!(got.relation.columns, relation.columns);
        }
        Step::Update(None, new) => {
            assert_eq!((got.action, got.image, &got.new), ("UPDATE", Image::Absent, new));
        }
        Step::Update(Some(old), new) => {
            assert_eq!((got.action, &got.new), ("UPDATE", new));
            assert_eq!((got.image, got.old), seen(old, new));
            assert_eq!(got.relation.columns, relation.columns);
        }
        Step::Delete(old) => {
            assert_eq!((got.action, got.image), ("DELETE", Image::Key));
            assert_eq!(named(&got.relation, &got.old), named(relation, old));
        }
    }
}

proptest! {
    #[test]
    fn rows_are_read_as_they_were_written(steps in steps()) {
        let mut decoder = replaying();
        for (relation, step) in &steps {
            check(&mut decoder, relation, step);
        }
    }

    #[test]
    fn truncates_are_read_as_they_were_written(
        names in vec((name(), name()), 1..4),
        restart_identity: bool,
        cascade: bool,
    ) {
        let table = |(schema, name): (String, String)| TruncatedTable { oid: None, name: TableName::new(schema, name) };
        let tables = names.into_iter().map(table).collect();
        let truncate = Truncate { tables, options: TruncateOptions { cascade, restart_identity } };
        let mut line = Vec::new();
        encode::truncate(&truncate, &mut line);
        let mut decoder = replaying();
        let Event::Truncate(got) = decoder.replay(&line).unwrap() else { panic!("no truncate") };
        prop_assert_eq!(got, truncate);
    }

    #[test]
    fn messages_are_read_as_they_were_written(
        transactional: bool,
        prefix in "\\PC{0,9}(, sz: [0-9] content:)?",
        content in vec(any::<u8>(), 0..20),
    ) {
        let message = LogicalMessage { transactional, lsn: change::Lsn::new(16), prefix: &prefix, content: &content };
        let mut line = Vec::new();
        encode::message(&message, &mut line);
        let mut decoder = replaying();
        let Event::Message(got) = decoder.replay(&line).unwrap() else { panic!("no message") };
        // a prefix can look like the end of itself
        prop_assume!(!prefix.contains(", sz: ") || got.prefix == prefix);
        prop_assert_eq!(got, message);
    }

    #[test]
    fn transactions_are_read_as_they_were_written(xid: Option<u32>, at in proptest::option::of(-63_000_000_000_000_000..9_000_000_000_000_000_000_i64)) {
        let mut decoder = Decoder::new();
        let mut line = Vec::new();
        encode::begin(xid, &mut line);
        decoder.decode(change::Lsn::ZERO, &line).unwrap();
        line.clear();
        encode::commit(xid, at, &mut line);
        let Event::Release(got) = decoder.decode(change::Lsn::new(32), &line).unwrap() else { panic!("no release") };
        let mut want = release(32);
        want.transaction = xid.unwrap_or(0);
        want.commit.committed_at = at.unwrap_or(0);
        prop_assert_eq!(got, want);
    }

    #[test]
    fn no_line_makes_it_panic(lines in vec(vec(any::<u8>(), 0..60), 0..4)) {
        both(&lines);
    }

    #[test]
    fn no_broken_line_makes_it_panic(
        steps in steps(),
        cuts in vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 1..4),
    ) {
        let mut lines: Vec<Vec<u8>> = steps.iter().map(|(relation, step)| line(relation, step)).collect();
        for line in &mut lines {
            for (at, byte, how) in &cuts {
                let at = at.index(line.len().max(1));
                match how {
                    0 => line.truncate(at),
                    1 if at < line.len() => line[at] = *byte,
                    _ => line.insert(at.min(line.len()), *byte),
                }
            }
        }
        both(&lines);
    }
}

/// Reads the lines as if they came from the server, and as if they had been held.
fn both(lines: &[Vec<u8>]) {
    let (mut decoder, mut replaying) = (Decoder::new(), replaying());
    for line in lines {
        let _ = decoder.decode(change::Lsn::new(64), line).map(|_| ());
        if let Ok(Event::Row(op, relation)) = replaying.replay(line) {
            let new = match op.change {
                RowChange::Insert { new } | RowChange::Update { new, .. } => Some(new),
                RowChange::Delete { .. } => None,
            };
            assert!(new.is_none_or(|new| new.len() == relation.columns.len()));
        }
    }
}
