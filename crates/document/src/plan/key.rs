//! Which columns the `_id` is made of.
//!
//! The id of a row that is gone must be known from what Postgres sends of it, the replica identity. So every column of
//! the id has to be in it; and because a key column that is NULL has no id, none may be nullable. That the columns are
//! unique together is not seen here: whoever reads the catalog checks it.

use change::{ReplicaIdentity, Table};

use super::make::{IndexSpec, find, nearest, twice};
use super::{KeyColumn, Problem};

/// The columns of the id, or nothing where `problems` grew.
pub(super) fn key(table: &Table, spec: &IndexSpec, problems: &mut Vec<Problem>) -> Vec<KeyColumn> {
    let names = spec.id.as_deref().unwrap_or(&table.primary_key);
    match &spec.id {
        None if names.is_empty() => problems.push(Problem::NoKey),
        Some(_) if names.is_empty() => problems.push(Problem::EmptyId),
        None => {}
        Some(_) => problems.extend(twice("id", names)),
    }
    let mut key = Vec::with_capacity(names.len());
    for name in names {
        match find(table, name) {
            None if spec.id.is_some() => problems.push(Problem::UnknownColumn {
                option: "id",
                column: name.clone(),
                nearest: nearest(table, name),
            }),
            None => problems.push(Problem::KeyNotPublished { column: name.clone() }),
            Some((index, column)) => {
                if spec.id.is_some() && !column.not_null {
                    problems.push(Problem::NullableId { column: name.clone() });
                }
                key.push(KeyColumn { index, name: name.clone() });
            }
        }
    }
    problems.extend(identity(table, &key));
    key
}

/// What is wrong when a delete does not show every column of the key.
fn identity(table: &Table, key: &[KeyColumn]) -> Option<Problem> {
    match table.identity {
        ReplicaIdentity::Full => None,
        ReplicaIdentity::Nothing => {
            Some(Problem::IdentityNothing { has_primary_key: !table.primary_key.is_empty() })
        }
        ReplicaIdentity::Default | ReplicaIdentity::Index => {
            let missing = key.iter().filter(|key| !table.columns[key.index].in_identity);
            let columns: Vec<_> = missing.map(|key| key.name.clone()).collect();
            let id = key.iter().map(|key| key.name.clone()).collect();
            (!columns.is_empty()).then_some(Problem::NotInIdentity { columns, id })
        }
    }
}
