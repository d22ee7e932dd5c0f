//! Making a plan: everything that can be refused is refused here, before a row was seen.

use std::collections::HashSet;

use change::{Column, ReplicaIdentity, Table};

use super::{Field, Plan, PlanError, Problem, field_name, key};
use crate::escape::write_json_string;
use crate::value::Writer;

/// What the configuration says of an index.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexSpec {
    /// The columns to take; all of them when `None`. They stand in the document in the order of the table.
    pub columns: Option<Vec<String>>,
    /// The columns to leave out of all.
    pub exclude: Vec<String>,
    /// The columns to make the `_id` of; the primary key when `None`. They need not be in the document.
    pub id: Option<Vec<String>>,
}

impl Plan {
    /// The plan for `table`, or everything that stands against it, each with its remedy.
    ///
    /// # Errors
    /// When rows could not be told apart or deletes could not be followed, when the specification names what is not
    /// there, or when a search server could not hold the fields.
    pub fn new(table: &Table, spec: &IndexSpec) -> Result<Plan, PlanError> {
        let mut problems = check_lists(table, spec);
        let key = key::key(table, spec, &mut problems);
        let wanted = |column: &Column| match &spec.columns {
            Some(columns) => columns.contains(&column.name),
            None => !spec.exclude.contains(&column.name),
        };
        let mut fields = Vec::new();
        for (index, column) in table.columns.iter().enumerate().filter(|(_, column)| wanted(column))
        {
            fields.push(field(table, index, column, fields.is_empty()));
        }
        problems.extend(field_name::check(&fields));
        if !problems.is_empty() {
            return Err(PlanError { table: table.name.clone(), problems });
        }
        Ok(Plan { table: table.name.clone(), width: table.columns.len(), key, fields })
    }
}

fn field(table: &Table, index: usize, column: &Column, first: bool) -> Field {
    let mut prefix = vec![if first { b'{' } else { b',' }];
    write_json_string(column.name.as_bytes(), &mut prefix);
    prefix.push(b':');
    let full = table.identity == ReplicaIdentity::Full;
    Field {
        index,
        prefix: prefix.into(),
        writer: Writer::new(&column.ty),
        in_identity: full || column.in_identity,
        may_be_missing: column.toastable && !full && !column.in_identity,
        name: column.name.clone(),
        ty: column.ty.clone(),
        type_name: column.type_name.clone(),
    }
}

/// What is wrong with `columns` and `exclude` as they stand.
fn check_lists(table: &Table, spec: &IndexSpec) -> Vec<Problem> {
    let mut problems = Vec::new();
    if spec.columns.is_some() && !spec.exclude.is_empty() {
        problems.push(Problem::ColumnsAndExclude);
    }
    let columns = spec.columns.as_deref().unwrap_or_default();
    for (option, names) in [("columns", columns), ("exclude", &spec.exclude)] {
        problems.extend(twice(option, names));
        problems.extend(names.iter().filter(|name| find(table, name).is_none()).map(|name| {
            Problem::UnknownColumn { option, column: name.clone(), nearest: nearest(table, name) }
        }));
    }
    problems
}

/// The names that are in the list more than once, each time but the first.
pub(super) fn twice(option: &'static str, names: &[String]) -> impl Iterator<Item = Problem> {
    let mut seen = HashSet::new();
    let again = names.iter().filter(move |name| !seen.insert(name.as_str()));
    again.map(move |name| Problem::ListedTwice { option, column: name.clone() })
}

/// The column of that name and its place.
pub(super) fn find<'a>(table: &'a Table, name: &str) -> Option<(usize, &'a Column)> {
    table.columns.iter().enumerate().find(|(_, column)| column.name == name)
}

/// The column whose name is most like `name`, if it is like it at all: a third of the letters may differ, and upper
/// and lower case don't count.
pub(super) fn nearest(table: &Table, name: &str) -> Option<String> {
    let wanted = name.to_lowercase();
    let distance =
        |column: &Column| strsim::damerau_levenshtein(&wanted, &column.name.to_lowercase());
    let (distance, column) =
        table.columns.iter().map(|c| (distance(c), c)).min_by_key(|(d, _)| *d)?;
    (distance <= name.chars().count().div_ceil(3)).then(|| column.name.clone())
}
