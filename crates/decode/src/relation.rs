//! Tables as the stream describes them: what the columns of the rows that follow are.

use std::collections::HashMap;

use change::{ReplicaIdentity, TableName};

/// A table as it was at the time of the change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// Given by the decoder, from 0 without gaps, another one for each description that differs:
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

/// The descriptions of one session, each kept once.
#[derive(Debug, Default)]
pub(crate) struct Relations {
    known: Vec<Relation>,
    /// The numbers of all descriptions of a table.
    of_table: HashMap<TableName, Vec<u32>>,
}

impl Relations {
    /// Gives `relation` its number: a new one unless it was described in the same words before.
    pub(crate) fn number(&mut self, mut relation: Relation) -> u32 {
        let numbers = self.of_table.entry(relation.name.clone()).or_default();
        for &number in &*numbers {
            let known = self.known.get(number as usize);
            relation.number = number;
            if known.is_some_and(|known| *known == relation) {
                return number;
            }
        }
        let number = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        relation.number = number;
        numbers.push(number);
        self.known.push(relation);
        number
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
    fn the_same_description_keeps_its_number() {
        let relation = |name: &str, oid| Relation {
            number: 0,
            oid: Some(oid),
            name: TableName::new("public", name),
            identity: None,
            columns: Vec::new(),
        };
        let mut relations = Relations::default();
        let numbers = [("a", 1), ("b", 2), ("a", 1), ("a", 3), ("a", 1), ("a", 3)]
            .map(|(name, oid)| relations.number(relation(name, oid)));
        assert_eq!(numbers, [0, 1, 0, 2, 0, 2]);
        assert_eq!(relations.get(2).unwrap().oid, Some(3));
        assert_eq!(relations.get(3), None);
    }
}
