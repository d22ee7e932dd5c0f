//! Tables as the stream describes them: what the columns of the rows that follow are.

use std::collections::HashMap;

use change::{ReplicaIdentity, TableName};

/// A table as it was at the time of the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Given by the decoder, from 0 without gaps, another one whenever the table is described otherwise than last:
    /// [`RowOp::relation`](change::RowOp) repeats it. Means nothing beyond the session.
    pub number: u32,
    /// The table's OID, where the plugin tells it (pgoutput).
    pub oid: Option<u32>,
    /// Its name.
    pub name: TableName,
    /// Its replica identity, where the plugin tells it (pgoutput).
    pub identity: Option<ReplicaIdentity>,
    /// The columns, in the order of the rows.
    pub columns: Vec<RelationColumn>,
}

/// One column of a [`Relation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Part of the replica identity. With [`ReplicaIdentity::Full`] every column is, so it does not tell the key; and
    /// where the plugin tells no replica identity, none is.
    pub in_identity: bool,
    /// Its name.
    pub name: String,
    /// What it holds.
    pub ty: ColumnType,
}

/// A type, as the plugin names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// pgoutput.
    Oid {
        /// The OID of the type.
        oid: u32,
        /// Its modifier, -1 for none.
        modifier: i32,
    },
    /// test_decoding: as `format_type(oid, NULL)` writes it under an empty `search_path`.
    Name(String),
}

/// The descriptions of one session.
///
/// One that repeats what its table was described as last has the number of that. One that goes back to an earlier
/// description has a new number: in between the table was another one, and its rows may have been rewritten both times.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    known: Vec<Relation>,
    last: HashMap<TableKey, u32>,
}

/// What is one table: its name only where the plugin tells no OID.
#[derive(Debug, PartialEq, Eq, Hash)]
enum TableKey {
    Oid(u32),
    Name(TableName),
}

impl Relations {
    /// Gives `relation` its number.
    pub(crate) fn number(&mut self, mut relation: Relation) -> u32 {
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let key = match relation.oid {
            Some(oid) => TableKey::Oid(oid),
            None => TableKey::Name(relation.name.clone()),
        };
        let last = self.last.entry(key).or_insert(next);
        relation.number = *last;
        if self.known.get(*last as usize) == Some(&relation) {
            return *last;
        }
        *last = next;
        relation.number = next;
        self.known.push(relation);
        next
    }

    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Relation> {
        self.known.get(number as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_repetition_keeps_its_number() {
        let relation = |name: &str, oid| Relation {
            number: 0,
            oid,
            name: TableName::new("public", name),
            identity: None,
            columns: Vec::new(),
        };
        let mut relations = Relations::default();
        let numbers = [("a", 1), ("b", 2), ("a", 1), ("c", 1), ("a", 1), ("b", 2), ("a", 3)]
            .map(|(name, oid)| relations.number(relation(name, Some(oid))));
        assert_eq!(numbers, [0, 1, 0, 2, 3, 1, 4], "a table that is changed back is a new one");
        assert_eq!(relations.get(2).unwrap().name.name, "c");
        assert_eq!(relations.get(5), None);
        let numbers = ["a", "b", "a"].map(|name| relations.number(relation(name, None)));
        assert_eq!(numbers, [5, 6, 5]);
    }
}
