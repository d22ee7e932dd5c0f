//! A decoder that replays, and what it said in owned form.

use change::{CommitLsn, Lsn, OldImage, Row, RowChange, Value};
use decode::test_decoding::Decoder;
use decode::{ColumnType, Commit, DecodeError, Event, Relation, RelationColumn, Release};

/// A decoder that takes lines that were held.
pub(crate) fn replaying() -> Decoder {
    let mut decoder = Decoder::new();
    decoder.begin_release(&release(16)).unwrap();
    decoder
}

pub(crate) fn release(end: u64) -> Release {
    let commit = CommitLsn(Lsn::new(end - 8));
    Release { transaction: 7, commit: Commit { commit, end: Lsn::new(end), committed_at: 0 } }
}

/// As [`Value`], owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    Null,
    Unchanged,
    Text(Vec<u8>),
}

impl From<Value<'_>> for Owned {
    fn from(value: Value<'_>) -> Self {
        match value {
            Value::Null => Owned::Null,
            Value::Unchanged => Owned::Unchanged,
            Value::Text(text) => Owned::Text(text.to_vec()),
        }
    }
}

/// Which image of the row before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Image {
    Absent,
    Key,
    Full,
}

/// A row change with its relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) action: &'static str,
    pub(crate) relation: Relation,
    pub(crate) image: Image,
    pub(crate) old: Vec<Owned>,
    pub(crate) new: Vec<Owned>,
}

pub(crate) fn owned(row: Row<'_>) -> Vec<Owned> {
    row.values().map(Owned::from).collect()
}

pub(crate) fn replay(decoder: &mut Decoder, line: &[u8]) -> Result<Change, DecodeError> {
    let Event::Row(op, relation) = decoder.replay(line)? else { panic!("no row") };
    assert_eq!(op.relation, relation.number);
    let (action, old, new) = match op.change {
        RowChange::Insert { new } => ("INSERT", OldImage::Absent, Some(new)),
        RowChange::Update { old, new } => ("UPDATE", old, Some(new)),
        RowChange::Delete { old } => ("DELETE", old, None),
    };
    let image = match old {
        OldImage::Absent => Image::Absent,
        OldImage::Key(_) => Image::Key,
        OldImage::Full(_) => Image::Full,
    };
    let cells = |row: Option<Row<'_>>| row.map(owned).unwrap_or_default();
    for row in [old.row(), new].into_iter().flatten() {
        assert_eq!(row.len(), relation.columns.len());
    }
    let (old, new) = (cells(old.row()), cells(new));
    Ok(Change { action, relation: relation.clone(), image, old, new })
}

/// For literals: `-` is NULL, `~` unchanged.
pub(crate) fn values(texts: &[&str]) -> Vec<Owned> {
    let value = |text: &&str| match *text {
        "-" => Owned::Null,
        "~" => Owned::Unchanged,
        text => Owned::Text(text.into()),
    };
    texts.iter().map(value).collect()
}

pub(crate) fn column(name: &str, ty: &str) -> RelationColumn {
    let ty = ColumnType::Name(ty.to_owned());
    RelationColumn { in_identity: false, name: name.to_owned(), ty }
}

/// The columns as `name type`, for comparison.
pub(crate) fn described(relation: &Relation) -> Vec<String> {
    let column = |column: &RelationColumn| match &column.ty {
        ColumnType::Name(ty) => format!("{} {ty}", column.name),
        ColumnType::Oid { .. } => panic!("an OID"),
    };
    relation.columns.iter().map(column).collect()
}
