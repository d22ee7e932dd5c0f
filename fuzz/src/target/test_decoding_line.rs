//! Lines of test_decoding, a byte 0xFF between two of them, as one transaction: held, then replayed.
//!
//! A row has as many columns as its relation. Whatever comes out is written as a line again, and a decoder that has seen
//! nothing else reads the same from it, with these exceptions:
//!
//! - The plugin names of an old row only the columns that have a value. A line that calls one `null` or unchanged is
//!   read all the same and written without it.
//! - With a column twice (which no table has) an old row that leaves one out can be read in two ways, and a delete that
//!   names both is refused by who does not know the table.
//! - In a message the prefix may look like the end of itself; then the first way to read it counts.

use change::{CommitLsn, Lsn, OldImage, Row, RowChange, RowOp, Value};
use decode::test_decoding::{Decoder, encode};
use decode::{ColumnType, Commit, Event, LogicalMessage, Part, Relation, Release, Truncate};

use super::Target;

/// See the module.
pub static TARGET: Target =
    Target { name: "test_decoding_line", rounds: 30_000, run, mutate: crate::bytes };

/// Between two lines; never part of UTF-8.
pub const SEPARATOR: u8 = 0xff;

const XID: u32 = 7;
const END: Lsn = Lsn::new(4096);

fn run(data: &[u8]) -> bool {
    let mut decoder = Decoder::new();
    assert!(matches!(decoder.decode(Lsn::ZERO, b"BEGIN 7"), Ok(Event::Nothing)));
    let (mut held, mut understood) = (Vec::new(), true);
    for line in data.split(|byte| *byte == SEPARATOR) {
        match decoder.decode(Lsn::new(16), line) {
            Ok(Event::Hold(part)) => {
                assert_eq!(part, Part { transaction: XID, part: XID });
                held.push(line);
            }
            Ok(Event::Message(message)) => assert!(!message.transactional),
            Ok(Event::Release(release)) => return replay(&mut decoder, &release, &held),
            Ok(event) => panic!("{event:?} within a transaction"),
            Err(_) => {
                understood = false;
                break;
            }
        }
    }
    // A line that can't be read ends a session. Here what was held before is still of interest, so a new one reads it.
    let commit = CommitLsn(Lsn::new(END.get() - 8));
    let commit = Commit { commit, end: END, committed_at: 0 };
    replay(&mut Decoder::new(), &Release { transaction: XID, commit }, &held) && understood
}

fn replay(decoder: &mut Decoder, release: &Release, held: &[&[u8]]) -> bool {
    let Ok(begin) = decoder.begin_release(release) else { panic!("no release can begin") };
    assert_eq!((begin.xid, begin.commit), (release.transaction, release.commit.commit));
    for line in held {
        match decoder.replay(line) {
            Ok(Event::Row(op, relation)) => row(&op, relation),
            Ok(Event::Truncate(all)) => truncate(&all),
            Ok(Event::Message(one)) => message(&one, line),
            Ok(event) => panic!("{event:?} of a line that was held"),
            Err(_) => return false,
        }
    }
    assert_eq!(decoder.end_release(), Ok(release.commit));
    assert!(!decoder.in_transaction());
    true
}

/// Reads one line and nothing else.
fn again<T>(line: &[u8], with: impl FnOnce(Event<'_>) -> T) -> T {
    let mut decoder = Decoder::new();
    let commit = Commit { commit: CommitLsn(Lsn::new(8)), end: Lsn::new(16), committed_at: 0 };
    let begun = decoder.begin_release(&Release { transaction: XID, commit });
    assert!(begun.is_ok());
    match decoder.replay(line) {
        Ok(event) => with(event),
        Err(error) => panic!("what was written can't be read: {error}: {}", line.escape_ascii()),
    }
}

fn truncate(truncate: &Truncate) {
    let mut line = Vec::new();
    encode::truncate(truncate, &mut line);
    again(&line, |event| match event {
        Event::Truncate(got) => assert_eq!(got, *truncate),
        other => panic!("{other:?} instead of {truncate:?}"),
    });
}

fn message(message: &LogicalMessage<'_>, original: &[u8]) {
    let mut line = Vec::new();
    encode::message(message, &mut line);
    if message.prefix.contains(", sz: ") {
        assert!(line.len() <= original.len());
        return;
    }
    again(&line, |event| match event {
        Event::Message(got) => {
            assert_eq!((got.prefix, got.content), (message.prefix, message.content));
            assert_eq!(got.transactional, message.transactional);
        }
        other => panic!("{other:?} instead of {message:?}"),
    });
}

fn row(op: &RowOp<'_>, relation: &Relation) {
    assert_eq!(op.relation, relation.number);
    let was = said(&op.change, relation);
    let mut columns = relation.columns.iter();
    while let Some(column) = columns.next() {
        if columns.as_slice().iter().any(|other| other.name == column.name) {
            return;
        }
    }
    let mut line = Vec::new();
    encode::row(relation, &op.change, &mut line);
    again(&line, |event| match event {
        Event::Row(op, relation) => {
            assert_eq!(said(&op.change, relation), was, "{}", line.escape_ascii());
        }
        other => panic!("{other:?} instead of a row"),
    });
}

/// What a change says, in a form in which changes that mean the same are equal.
#[derive(Debug, PartialEq)]
struct Said<'a> {
    action: &'static str,
    image: &'static str,
    /// The columns of the old row that have a value.
    old: Vec<(&'a str, &'a ColumnType, Value<'a>)>,
    new: Option<Vec<(&'a str, &'a ColumnType, Value<'a>)>>,
}

fn said<'a>(change: &RowChange<'a>, relation: &'a Relation) -> Said<'a> {
    let (action, old, new) = match *change {
        RowChange::Insert { new } => ("insert", OldImage::Absent, Some(new)),
        RowChange::Update { old, new } => ("update", old, Some(new)),
        RowChange::Delete { old } => ("delete", old, None),
    };
    let image = match old {
        OldImage::Absent => "absent",
        OldImage::Key(_) => "key",
        OldImage::Full(_) => "full",
    };
    let named = |row: Row<'a>| {
        assert_eq!(row.len(), relation.columns.len(), "{relation:?}");
        let columns = relation.columns.iter().zip(row.values());
        columns.map(|(column, value)| (column.name.as_str(), &column.ty, value)).collect::<Vec<_>>()
    };
    let mut old = old.row().map(named).unwrap_or_default();
    old.retain(|(.., value)| matches!(value, Value::Text(_)));
    Said { action, image, old, new: new.map(named) }
}
