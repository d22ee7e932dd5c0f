//! A caller of the decoder as simple as can be: it keeps what it is told to keep, and hands it in when it is due.

use std::collections::HashMap;

use change::{OldImage, Row, RowChange};
use decode::pgoutput::{Decoder, Protocol};
use decode::{Begin, Commit, DecodeError, Event, Part, Relation, Release};

/// What an event said, without the lifetimes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Begin(Begin),
    Commit(Commit),
    Hold(Part),
    Abort(Part),
    Release(Release),
    Nothing,
    /// A table with its columns.
    Relation(String),
    /// The table with its columns, and the change.
    Row(String),
    /// The tables.
    Truncate(String),
    Message(Vec<u8>),
}

/// A table and its columns, as [`Said`] spells them.
pub(crate) fn spell_table(name: &str, columns: &[String]) -> String {
    format!("{name}({})", columns.join(","))
}

/// A row, as [`Said`] spells it.
pub(crate) fn spell_row(table: &str, old: &str, new: &str) -> String {
    format!("{table} {old} -> {new}")
}

fn spell_relation(relation: &Relation) -> String {
    let columns: Vec<_> = relation.columns.iter().map(|column| column.name.clone()).collect();
    spell_table(&relation.name.to_string(), &columns)
}

impl From<Event<'_>> for Said {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Begin(begin) => Said::Begin(begin),
            Event::Commit(commit) => Said::Commit(commit),
            Event::Hold(part) => Said::Hold(part),
            Event::Abort(part) => Said::Abort(part),
            Event::Release(release) => Said::Release(release),
            Event::Nothing => Said::Nothing,
            Event::Relation(relation) => Said::Relation(spell_relation(relation)),
            Event::Row(op, relation) => {
                assert_eq!(op.relation, relation.number);
                Said::Row(row(op.change, relation))
            }
            Event::Truncate(truncate) => {
                let tables = truncate.tables.iter().map(|table| table.name.to_string());
                Said::Truncate(tables.collect::<Vec<_>>().join(","))
            }
            Event::Message(message) => Said::Message(message.content.to_vec()),
        }
    }
}

fn row(change: RowChange<'_>, relation: &Relation) -> String {
    let values = |row: Row<'_>| format!("{row:?}");
    let old = |old: OldImage<'_>| match old {
        OldImage::Absent => String::new(),
        OldImage::Key(row) => format!("key {row:?}"),
        OldImage::Full(row) => format!("full {row:?}"),
    };
    let (old, new) = match change {
        RowChange::Insert { new } => (String::new(), values(new)),
        RowChange::Update { old: before, new } => (old(before), values(new)),
        RowChange::Delete { old: before } => (old(before), String::new()),
    };
    spell_row(&spell_relation(relation), &old, &new)
}

pub(crate) struct Receiver {
    decoder: Decoder,
    kept: HashMap<u32, Vec<(u32, Vec<u8>)>>,
}

impl Receiver {
    pub(crate) fn new(protocol: Protocol) -> Self {
        Receiver { decoder: Decoder::new(protocol), kept: HashMap::new() }
    }

    /// Everything that comes of one message.
    pub(crate) fn take(&mut self, message: &[u8]) -> Result<Vec<Said>, DecodeError> {
        let said = Said::from(self.decoder.decode(message)?);
        match said {
            Said::Hold(Part { transaction, part }) => {
                self.kept.entry(transaction).or_default().push((part, message.to_vec()));
            }
            Said::Abort(part) if part.is_whole() => {
                self.kept.remove(&part.transaction);
            }
            Said::Abort(Part { transaction, part }) => {
                let kept = self.kept.entry(transaction).or_default();
                kept.retain(|(kept, _)| *kept != part);
            }
            Said::Release(release) => return self.release(release),
            _ => {}
        }
        Ok(vec![said])
    }

    fn release(&mut self, release: Release) -> Result<Vec<Said>, DecodeError> {
        let begin = self.decoder.begin_release(&release)?;
        let mut said = vec![Said::Release(release), Said::Begin(begin)];
        for (_, message) in self.kept.remove(&release.transaction).unwrap_or_default() {
            said.push(Said::from(self.decoder.replay(&message)?));
        }
        said.push(Said::Commit(self.decoder.end_release()?));
        Ok(said)
    }
}
