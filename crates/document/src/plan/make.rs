//! Making a plan: everything that can be refused is refused here, before a row was seen.

use std::collections::HashSet;

use change::{Column, ReplicaIdentity, Table};

use super::payload::{self, Content, Payload};
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
    /// The column whose content is the document, in place of the columns.
    pub payload: Option<Payload>,
}

impl Plan {
    /// The plan for `table`, or everything that stands against it, each with its remedy.
    ///
    /// # Errors
    /// When rows could not be told apart or deletes could not be followed, when the specification names what is not
    /// there, or when a search server could not hold the fields.
    pub fn new(table: &Table, spec: &IndexSpec) -> Result<Plan, PlanError> {
        let mut problems = check_lists(table, spec);
        problems.extend(payload::check(table, spec));
        let key = key::key(table, spec, &mut problems);
        let wanted = |column: &Column| match &spec.columns {
            _ if spec.payload.is_some() => false,
            Some(columns) => columns.contains(&column.name),
            None => !spec.exclude.contains(&column.name),
        };
        let mut fields = Vec::new();
        for (index, column) in table.columns.iter().enumerate().filter(|(_, column)| wanted(column))
        {
            let prefix = prefix(&column.name, fields.is_empty());
            fields.push(field(table, index, column, prefix));
        }
        problems.extend(field_name::check(&fields));
        if !problems.is_empty() {
            return Err(PlanError { table: table.name.clone(), problems });
        }
        let content = Content::new(table, spec).map(Box::new);
        Ok(Plan { table: table.name.clone(), width: table.columns.len(), key, fields, content })
    }
}

fn prefix(name: &str, first: bool) -> Box<[u8]> {
    let mut prefix = vec![if first { b'{' } else { b',' }];
    write_json_string(name.as_bytes(), &mut prefix);
    prefix.push(b':');
    prefix.into()
}

pub(super) fn field(table: &Table, index: usize, column: &Column, prefix: Box<[u8]>) -> Field {
    let full = table.identity == ReplicaIdentity::Full;
    Field {
        index,
        prefix,
        writer: Writer::new(&column.ty),
        in_identity: column.in_identity,
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

#[cfg(test)]
mod tests {
    use change::PgType;

    use super::*;
    use crate::plan::tests::table;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn people() -> Table {
        table(&[("id", PgType::Int4), ("email", PgType::Text), ("born", PgType::Date)])
    }

    fn refusal(table: &Table, spec: &IndexSpec) -> String {
        Plan::new(table, spec).unwrap_err().to_string()
    }

    #[test]
    fn fields_are_in_the_order_of_the_table() {
        let fields = |spec: &IndexSpec| {
            let plan = Plan::new(&people(), spec).unwrap();
            plan.fields().map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(fields(&IndexSpec::default()), ["id", "email", "born"]);
        let columns = Some(names(&["born", "id"]));
        assert_eq!(fields(&IndexSpec { columns, ..IndexSpec::default() }), ["id", "born"]);
        let exclude = names(&["email"]);
        assert_eq!(fields(&IndexSpec { exclude, ..IndexSpec::default() }), ["id", "born"]);
    }

    #[test]
    fn the_id_may_be_of_columns_that_are_not_in_the_document() {
        let mut table = people();
        table.columns[1].not_null = true;
        table.identity = ReplicaIdentity::Full;
        let spec = IndexSpec {
            columns: Some(names(&["born"])),
            id: Some(names(&["email", "id"])),
            ..IndexSpec::default()
        };
        let plan = Plan::new(&table, &spec).unwrap();
        assert_eq!(plan.key_columns().collect::<Vec<_>>(), ["email", "id"]);
    }

    #[test]
    fn a_table_needs_a_key_that_deletes_show() {
        let mut table = people();
        table.primary_key.clear();
        assert_eq!(
            refusal(&table, &IndexSpec::default()),
            "table public.t: it has no primary key, or only a deferrable one. Remedy: give it one with \
             ALTER TABLE \"public\".\"t\" ADD PRIMARY KEY (…), or name unique columns in `id`"
        );
        table.columns[1].not_null = true;
        let id = |columns: &[&str]| IndexSpec { id: Some(names(columns)), ..IndexSpec::default() };
        assert_eq!(
            refusal(&table, &id(&["email"])),
            "table public.t: deletes don't show \"email\", which the id is made of: not in the replica identity. \
             Remedy: ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL; or, with a unique index on (\"email\"): \
             ALTER TABLE \"public\".\"t\" REPLICA IDENTITY USING INDEX …"
        );
        table.identity = ReplicaIdentity::Index;
        assert!(Plan::new(&table, &id(&["email"])).is_err());
        table.columns[1].in_identity = true;
        assert!(Plan::new(&table, &id(&["email"])).is_ok());
        table.identity = ReplicaIdentity::Nothing;
        assert!(
            refusal(&table, &id(&["email"]))
                .ends_with("Remedy: ALTER TABLE \"public\".\"t\" REPLICA IDENTITY FULL")
        );
        table.primary_key = names(&["id"]);
        assert!(
            refusal(&table, &IndexSpec::default())
                .ends_with("Remedy: ALTER TABLE \"public\".\"t\" REPLICA IDENTITY DEFAULT")
        );
    }

    #[test]
    fn columns_of_the_id_exist_once_and_are_never_null() {
        let id = |columns: &[&str]| IndexSpec { id: Some(names(columns)), ..IndexSpec::default() };
        let mut table = people();
        table.identity = ReplicaIdentity::Full;
        for (columns, expected) in [
            (&["born"][..], "ALTER TABLE \"public\".\"t\" ALTER COLUMN \"born\" SET NOT NULL"),
            (&["ID"], "did you mean \"id\"?"),
            (&["telephone"], "take it out of `id`"),
            (&["id", "id"], "take it out of `id` once"),
            (&[], "name unique columns, or leave `id` out to take the primary key"),
        ] {
            let refusal = refusal(&table, &id(columns));
            assert_eq!(refusal.split("Remedy: ").nth(1), Some(expected), "{refusal}");
        }
        table.primary_key = names(&["id", "tenant"]);
        assert!(
            refusal(&table, &IndexSpec::default())
                .contains("column \"tenant\" of the primary key is not published")
        );
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let spec = IndexSpec {
            columns: Some(names(&["id", "id", "emial"])),
            exclude: names(&["Born", "x"]),
            ..IndexSpec::default()
        };
        let error = Plan::new(&people(), &spec).unwrap_err();
        assert_eq!(
            error.problems,
            [
                Problem::ColumnsAndExclude,
                Problem::ListedTwice { option: "columns", column: "id".into() },
                Problem::UnknownColumn {
                    option: "columns",
                    column: "emial".into(),
                    nearest: Some("email".into())
                },
                Problem::UnknownColumn {
                    option: "exclude",
                    column: "Born".into(),
                    nearest: Some("born".into())
                },
                Problem::UnknownColumn { option: "exclude", column: "x".into(), nearest: None },
            ]
        );
        assert_eq!(error.to_string().lines().count(), 5);
    }

    #[test]
    fn names_that_search_servers_keep_are_refused() {
        for name in [
            "",
            " ",
            "_id",
            "_source",
            "_id.x",
            "__soft_deletes",
            "_wal2es",
            ".a",
            "a.",
            "a..b",
            "a. .b",
        ] {
            let table = table(&[("id", PgType::Int4), (name, PgType::Text)]);
            let remedy = format!("leave it out with `exclude: [{name:?}]`");
            assert!(refusal(&table, &IndexSpec::default()).ends_with(&remedy), "{name}");
            let exclude = names(&[name]);
            assert!(Plan::new(&table, &IndexSpec { exclude, ..IndexSpec::default() }).is_ok());
        }
        let deep = |parts: usize| vec!["x"; parts].join(".");
        assert!(Plan::new(&table(&[(&deep(20), PgType::Text)]), &IndexSpec::default()).is_ok());
        assert!(Plan::new(&table(&[(&deep(21), PgType::Text)]), &IndexSpec::default()).is_err());
    }

    #[test]
    fn odd_names_are_kept() {
        let odd = [
            "a b",
            "A",
            "a",
            "a\"b",
            "a\\b",
            "a\nb",
            "ü",
            "select",
            "%",
            "a,b",
            "*",
            "_x",
            "x._id",
            "@timestamp",
        ];
        let columns: Vec<_> = odd.iter().map(|name| (*name, PgType::Int4)).collect();
        let plan = Plan::new(&table(&columns), &IndexSpec::default()).unwrap();
        assert_eq!(plan.fields().map(|(name, _)| name).collect::<Vec<_>>(), odd);
    }

    #[test]
    fn one_column_within_another_is_refused() {
        let within = |a, b| {
            let error =
                Plan::new(&table(&[(a, PgType::Int4), (b, PgType::Int4)]), &IndexSpec::default());
            error.map_err(|error| error.problems)
        };
        let (outer, inner) = ("a".to_owned(), "a.b.c".to_owned());
        let expected = vec![Problem::FieldWithin { outer, inner }];
        assert_eq!(within("a", "a.b.c").unwrap_err(), expected);
        assert_eq!(within("a.b.c", "a").unwrap_err(), expected);
        assert_eq!(within("a", "a").unwrap_err(), [Problem::SameField { field: "a".into() }]);
        assert!(within("a.b", "a.c").is_ok());
        assert!(within("a b", "a.b").is_ok());
        assert!(within("A", "a.b").is_ok());
    }
}
