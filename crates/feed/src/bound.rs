//! Which index the rows of a relation belong to, and where its plan finds their columns.

use std::collections::HashMap;

use change::{Cell, Lsn, ReplicaIdentity, Row, Table, TableName};
use decode::{Relation, TruncatedTable};
use document::{IndexSpec, Plan};

use crate::error::{FeedError, Resync};
use crate::names::{Known, Names};
use crate::shape::Shape;

/// A table whose rows become documents.
#[derive(Clone, Copy, Debug)]
pub struct Followed<'a> {
    /// The table, as the catalog has it.
    pub table: &'a Table,
    /// How its rows become documents.
    pub plan: &'a Plan,
    /// What the plan was made of: tells whether a new column should be in the documents.
    pub spec: &'a IndexSpec,
    /// Commits before this are in the index already.
    pub since: Lsn,
}

/// Where the columns of the plan are in the rows of a relation; the two have the same order nearly always.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) at: usize,
    order: Option<Box<[Option<usize>]>>,
}

impl Place {
    /// The row with its columns in the order of the plan. `cells` is memory to work in.
    #[inline]
    pub(crate) fn row<'r>(&self, row: Row<'r>, cells: &'r mut Vec<Cell>) -> Row<'r> {
        match &self.order {
            None => row,
            Some(order) => row.select(order, cells),
        }
    }
}

/// What is known of a relation.
#[derive(Debug)]
enum Seen {
    /// Nobody follows it.
    Other,
    Followed(Place),
    /// Seen only in a delete that names some of its columns, those of the key among them.
    Key(Place),
}

/// What became of looking for a relation's place.
pub(crate) enum Found {
    Other,
    Followed(usize),
    /// The name has to be looked up.
    Unknown,
}

/// The followed tables, and the relations of a session as far as they have been met.
pub(crate) struct Tables<'a> {
    pub(crate) followed: Vec<Followed<'a>>,
    shapes: Vec<Shape>,
    /// The largest `since` of all.
    since: Lsn,
    /// The configuration names the tables; others in the publication are left alone.
    chosen: bool,
    by_oid: HashMap<u32, usize>,
    pub(crate) names: Names,
    seen: Vec<Option<Seen>>,
    /// There was a description that had not been met before.
    pub(crate) described: bool,
}

impl<'a> Tables<'a> {
    pub(crate) fn new(followed: Vec<Followed<'a>>, shapes: Vec<Shape>, chosen: bool) -> Self {
        let by_oid = (0..).zip(&followed).map(|(at, one)| (one.table.oid, at)).collect();
        let mut names = Names::default();
        for (at, one) in followed.iter().enumerate() {
            names.learn(one.table.name.clone(), Known::Followed(at));
        }
        let since = followed.iter().map(|one| one.since).max().unwrap_or(Lsn::ZERO);
        Tables {
            followed,
            shapes,
            since,
            chosen,
            by_oid,
            names,
            seen: Vec::new(),
            described: false,
        }
    }

    /// Where rows of `relation` go. `key_only`: the row is a delete, of which only the key matters.
    #[inline]
    pub(crate) fn find(
        &mut self,
        relation: &Relation,
        key_only: bool,
        commit: Lsn,
        widened: &mut Option<(usize, Shape)>,
    ) -> Result<Found, FeedError> {
        let number = relation.number as usize;
        let known = match self.seen.get(number) {
            Some(Some(Seen::Key(_))) => key_only,
            Some(Some(_)) => true,
            _ => false,
        };
        if !known {
            let Some(seen) = self.look(relation, key_only, commit, widened)? else {
                return Ok(Found::Unknown);
            };
            self.described = true;
            if self.seen.len() <= number {
                self.seen.resize_with(number + 1, || None);
            }
            if let Some(slot) = self.seen.get_mut(number) {
                *slot = Some(seen);
            }
        }
        Ok(match self.seen.get(number) {
            Some(Some(Seen::Followed(place) | Seen::Key(place))) => Found::Followed(place.at),
            _ => Found::Other,
        })
    }

    /// The place of a relation that [`Tables::find`] has found.
    #[inline]
    pub(crate) fn place(&self, relation: &Relation) -> Option<&Place> {
        match self.seen.get(relation.number as usize) {
            Some(Some(Seen::Followed(place) | Seen::Key(place))) => Some(place),
            _ => None,
        }
    }

    /// Looks at a relation for the first time. None when its name has to be looked up.
    fn look(
        &mut self,
        relation: &Relation,
        key_only: bool,
        commit: Lsn,
        widened: &mut Option<(usize, Shape)>,
    ) -> Result<Option<Seen>, FeedError> {
        let at = match relation.oid {
            Some(oid) => match self.by_oid.get(&oid) {
                Some(&at) => at,
                None => return self.stranger(relation, oid, commit).map(Some),
            },
            None => match self.names.get(&relation.name) {
                Some(Known::Followed(at) | Known::Part(at)) => at,
                Some(Known::Other) => return Ok(Some(Seen::Other)),
                None => return Ok(None),
            },
        };
        let (Some(one), Some(shape)) = (self.followed.get(at), self.shapes.get_mut(at)) else {
            return Ok(Some(Seen::Other));
        };
        let stop =
            |reason| FeedError::Resync(Resync { at, table: relation.name.clone(), reason, commit });
        // A delete in the words of test_decoding names the key and no more than that.
        if relation.oid.is_none() && key_only && !is_whole(one, relation) {
            let missing = one.plan.key_columns().find(|key| position(relation, key).is_none());
            return match missing {
                Some(key) => Err(stop(format!("a delete does not show column {key:?} of the id"))),
                None => Ok(Some(Seen::Key(place(at, one, relation)))),
            };
        }
        // In text a new column may be one that is not published; the look into the catalog that follows tells.
        if relation.oid.is_some()
            && let Some(new) = added(one, relation)
        {
            return Err(stop(format!("column {new:?} was added")));
        }
        let later = shape.followed_by(relation, one.table).map_err(stop)?;
        if later != *shape {
            *shape = later.clone();
            *widened = Some((at, later));
        }
        if let Some(key) = unidentified(one, relation) {
            return Err(stop(format!(
                "the replica identity does not hold column {key:?} of the id"
            )));
        }
        Ok(Some(Seen::Followed(place(at, one, relation))))
    }

    /// A relation with the OID of no followed table.
    fn stranger(&self, relation: &Relation, oid: u32, commit: Lsn) -> Result<Seen, FeedError> {
        let table = relation.name.clone();
        let named = self.followed.iter().position(|one| one.table.name == relation.name);
        if let Some(at) = named.filter(|_| self.chosen) {
            let reason = format!(
                "it is another table than before (its OID is {oid} now): it was dropped and made anew, or another one renamed"
            );
            return Err(Resync { at, table, reason, commit }.into());
        }
        // One that came into the publication after the indices were made gets a copy of its own, which will show this row.
        Ok(Seen::Other)
    }

    /// The index of this relation has all of the transaction at `commit` already.
    #[inline]
    pub(crate) fn is_ahead(&self, relation: &Relation, commit: Lsn) -> bool {
        commit < self.since && self.at_of(relation).is_some_and(|at| self.has(at, commit))
    }

    fn has(&self, at: usize, commit: Lsn) -> bool {
        self.followed.get(at).is_some_and(|one| commit < one.since)
    }

    /// A table that had the name of a followed one before that was made counts as that one: its rows are older.
    fn at_of(&self, relation: &Relation) -> Option<usize> {
        let named = || self.followed.iter().position(|one| one.table.name == relation.name);
        match relation.oid {
            Some(oid) => self.by_oid.get(&oid).copied().or_else(named),
            None => match self.names.get(&relation.name)? {
                Known::Followed(at) | Known::Part(at) => Some(at),
                Known::Other => None,
            },
        }
    }

    /// The followed table that rows of an unknown table under another name may be of, as far as their columns tell.
    pub(crate) fn could_be(&self, relation: &Relation) -> Option<usize> {
        self.followed.iter().zip(&self.shapes).position(|(one, shape)| {
            is_whole(one, relation) && shape.followed_by(relation, one.table).is_ok()
        })
    }

    /// The name of the followed table `at`.
    pub(crate) fn name(&self, at: usize) -> Option<&TableName> {
        self.followed.get(at).map(|one| &one.table.name)
    }

    /// The followed tables among those that a TRUNCATE names. `Err` inside: a name to be looked up.
    pub(crate) fn truncated(
        &self,
        tables: &[TruncatedTable],
        commit: Lsn,
    ) -> Result<Result<Vec<usize>, TableName>, FeedError> {
        let (mut emptied, mut parts): (Vec<usize>, Vec<_>) = (Vec::new(), Vec::new());
        for table in tables {
            match table.oid {
                Some(oid) => emptied.extend(self.by_oid.get(&oid).copied()),
                None => match self.names.get(&table.name) {
                    Some(Known::Followed(at)) => emptied.push(at),
                    Some(Known::Part(at)) => parts.push((at, table)),
                    Some(Known::Other) => {}
                    None => return Ok(Err(table.name.clone())),
                },
            }
        }
        emptied.retain(|at| !self.has(*at, commit));
        parts.retain(|(at, _)| !self.has(*at, commit));
        match parts.into_iter().find(|(at, _)| !emptied.contains(at)) {
            None => Ok(Ok(emptied)),
            Some((at, part)) => {
                let table = self.name(at).cloned();
                let reason = format!("its partition {} was truncated alone", part.name);
                let table = table.unwrap_or_else(|| part.name.clone());
                Err(Resync { at, table, reason, commit }.into())
            }
        }
    }
}

fn position(relation: &Relation, name: &str) -> Option<usize> {
    relation.columns.iter().position(|column| column.name == name)
}

/// Names every column that documents are made of.
fn is_whole(one: &Followed<'_>, relation: &Relation) -> bool {
    let fields = one.plan.fields().map(|(name, _)| name);
    one.plan.key_columns().chain(fields).all(|name| position(relation, name).is_some())
}

/// A column that is new, and that the index would have taken.
fn added<'r>(one: &Followed<'_>, relation: &'r Relation) -> Option<&'r str> {
    if one.spec.columns.is_some() {
        return None;
    }
    let known = |name: &str| {
        one.table.columns.iter().any(|column| column.name == name)
            || one.spec.exclude.iter().any(|column| column == name)
    };
    relation.columns.iter().map(|column| column.name.as_str()).find(|name| !known(name))
}

/// A column of the id that deletes do not show.
fn unidentified<'p>(one: &Followed<'p>, relation: &Relation) -> Option<&'p str> {
    if relation.identity.is_none_or(|identity| identity == ReplicaIdentity::Full) {
        return None;
    }
    let shown =
        |key: &str| relation.columns.iter().any(|column| column.name == key && column.in_identity);
    let plan = one.plan;
    plan.key_columns().find(|key| !shown(key))
}

fn place(at: usize, one: &Followed<'_>, relation: &Relation) -> Place {
    let columns = &one.table.columns;
    let same = columns.len() == relation.columns.len()
        && columns.iter().zip(&relation.columns).all(|(ours, theirs)| ours.name == theirs.name);
    let order = || columns.iter().map(|column| position(relation, &column.name)).collect();
    Place { at, order: (!same).then(order) }
}
