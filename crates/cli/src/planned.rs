//! Which index each table feeds: the configuration laid over the catalog.

use std::collections::{HashMap, HashSet};

use apply::{ColumnState, Distribution, IndexPlan, ServerInfo};
use change::{Lsn, Table, TableName};
use document::{Dialect, IndexSpec, Plan};
use feed::{ColumnShape, Followed, Shape};
use outbox::events::{Events, Projection};
use sha2::{Digest as _, Sha256};

use crate::commands::parse_name;
use crate::config::{Config, Index};
use crate::events;
use crate::failure::Failure;

/// A table and the index that it feeds.
pub(crate) struct Planned {
    pub(crate) table: Table,
    pub(crate) plan: Plan,
    pub(crate) spec: IndexSpec,
    pub(crate) index: IndexPlan,
    /// The events that it is of, where it is of events.
    pub(crate) projection: Option<Projection>,
}

impl Planned {
    /// `since`: commits before this are in the index already.
    pub(crate) fn followed(&self, since: Lsn) -> Followed<'_> {
        Followed { table: &self.table, plan: &self.plan, spec: &self.spec, since }
    }
}

/// A shape as the state keeps it.
pub(crate) fn columns_of(shape: &Shape) -> Vec<ColumnState> {
    let column = |column: &ColumnShape| ColumnState {
        name: column.name.clone(),
        number: column.number,
        type_oid: column.type_oid,
        type_modifier: column.modifier,
    };
    shape.0.iter().map(column).collect()
}

/// The inverse of [`columns_of`].
pub(crate) fn shape_of(columns: &[ColumnState]) -> Shape {
    let column = |column: &ColumnState| ColumnShape {
        name: column.name.clone(),
        number: column.number,
        type_oid: column.type_oid,
        modifier: column.type_modifier,
    };
    Shape(columns.iter().map(column).collect())
}

/// How the table `oid` is in the publication: see [`apply::IndexState::membership`].
pub(crate) fn membership(publication: u32, entries: &HashMap<u32, u32>, oid: u32) -> String {
    match entries.get(&oid) {
        Some(entry) => format!("{publication}.{entry}"),
        None => publication.to_string(),
    }
}

/// Everything that the configuration asks for, or everything that stands against it.
pub(crate) fn plan(
    config: &Config,
    tables: Vec<Table>,
    server: &ServerInfo,
    events: Option<&Events>,
) -> Result<Vec<Planned>, Failure> {
    let publication = &config.source.publication;
    let mut problems: Vec<String> = Vec::new();
    let mut planned = Vec::new();
    let wanted: Vec<(Index, Table)> = match &config.indexes {
        None => tables.into_iter().map(|table| (own_index(&table), table)).collect(),
        Some(indexes) => indexes
            .iter()
            .filter_map(|index| {
                let found = tables.iter().find(|table| is_named(table, &index.table)).cloned();
                if found.is_none() {
                    problems.push(format!(
                        "table {} is not in the publication {publication}. Remedy: \
                         ALTER PUBLICATION {} ADD TABLE {}",
                        index.table,
                        wal::identifier(publication),
                        index.table
                    ));
                }
                Some((index.clone(), found?))
            })
            .collect(),
    };
    if wanted.is_empty() && problems.is_empty() {
        problems.push(format!(
            "the publication {publication} has no tables. Remedy: ALTER PUBLICATION {} ADD TABLE …",
            wal::identifier(publication)
        ));
    }
    for (index, table) in wanted {
        match plan_one(&index, table, server, events) {
            Ok(one) => planned.push(one),
            Err(problem) => problems.push(problem),
        }
    }
    let mut oids = HashSet::new();
    let tables = planned.iter().filter(|one| one.projection.is_none());
    for one in tables.filter(|one| !oids.insert(one.table.oid)) {
        problems.push(format!(
            "table {} is named twice under `indexes`. Remedy: one index for each table",
            one.table.name
        ));
    }
    let mut aliases = HashSet::new();
    for one in planned.iter().filter(|one| !aliases.insert(&one.index.alias)) {
        if one.projection.is_some() {
            problems.push(format!(
                "two indices are called {}. Remedy: give each a `name` of its own",
                one.index.alias
            ));
        }
    }
    let names = planned.iter().map(|one| (one.index.alias.as_str(), one.index.table.as_str()));
    problems.extend(collisions(names));
    if problems.is_empty() {
        return Ok(planned);
    }
    Err(Failure::config(problems.join("\nwal2es: "), "as said with each"))
}

/// What is wrong with the names of indices can be told without the catalog.
///
/// # Errors
/// Two tables would feed one index, or the target would refuse a name.
pub(crate) fn check_names(config: &Config) -> Result<(), Failure> {
    let indexes = config.indexes.iter().flatten();
    let named: Vec<(String, String)> = indexes
        .map(|index| {
            let table = parse_name(&index.table);
            let own = || alias_of(&table);
            let alias = index.name.as_ref().map_or_else(own, ToString::to_string);
            (alias, table.to_string())
        })
        .collect();
    let mut problems: Vec<String> =
        named.iter().filter_map(|(alias, table)| must_be_a_name(alias, table).err()).collect();
    problems.extend(collisions(named.iter().map(|(alias, table)| (&**alias, &**table))));
    match problems.is_empty() {
        true => Ok(()),
        false => Err(Failure::config(problems.join("\nwal2es: "), "as said with each")),
    }
}

/// Pairs of tables whose indices, given as alias and table, would get into each other's way.
fn collisions<'a>(names: impl Iterator<Item = (&'a str, &'a str)>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut by_alias: HashMap<&str, &str> = HashMap::new();
    for (alias, table) in names {
        match by_alias.insert(alias, table) {
            Some(other) if other != table => problems.push(format!(
                "the tables {other} and {table} would both feed the index {alias}. Remedy: give one of them another \
                 `name` under `indexes`"
            )),
            _ => {}
        }
    }
    // `a-g1` is what the index behind the alias `a` is called.
    for (alias, table) in &by_alias {
        let Some((before, number)) = alias.rsplit_once("-g") else { continue };
        let is_number = number.split('.').next().is_some_and(|n| n.parse::<u32>().is_ok());
        if let Some(other) = by_alias.get(before).filter(|_| is_number) {
            problems.push(format!(
                "the index {alias} of the table {table} has a name that the index {before} of {other} uses for its \
                 generations. Remedy: give one of them another `name` under `indexes`"
            ));
        }
    }
    problems
}

/// An index for a table that the configuration does not mention.
fn own_index(table: &Table) -> Index {
    let mut index = Index::of_table(&table.name.to_string());
    index.name = Some(alias_of(&table.name).as_str().into());
    index
}

fn alias_of(name: &TableName) -> String {
    match name.schema.as_str() {
        "public" => name.name.clone(),
        schema => format!("{schema}_{}", name.name),
    }
}

/// `schema.name` as people write it: quoted or not, the schema left out for `public`.
pub(crate) fn is_named(table: &Table, text: &str) -> bool {
    let name = &table.name;
    let plain = format!("{}.{}", name.schema, name.name);
    text == plain
        || parse_name(text) == *name
        || (name.schema == "public" && (text == name.name || text == wal::identifier(&name.name)))
}

fn plan_one(
    index: &Index,
    table: Table,
    server: &ServerInfo,
    events: Option<&Events>,
) -> Result<Planned, String> {
    let alias = index.name.as_ref().map_or_else(|| alias_of(&table.name), ToString::to_string);
    must_be_a_name(&alias, &table.name.to_string())?;
    let projection = events.map(|_| events::projection(index, &table));
    let table = match (events, &projection) {
        (Some(events), Some(projection)) => events::folded(table, index, events, projection)?,
        _ => table,
    };
    let spec = IndexSpec {
        columns: index.columns.as_ref().map(|columns| columns.to_vec()),
        exclude: index.exclude.to_vec(),
        id: index.id.as_ref().map(|id| id.to_vec()),
        payload: events::payload(index),
    };
    let plan = Plan::new(&table, &spec).map_err(|error| error.to_string())?;
    let dialect = match server.distribution {
        Distribution::Elasticsearch => Dialect::Elasticsearch,
        Distribution::OpenSearch => Dialect::OpenSearch,
    };
    let mapping = plan.mapping(dialect);
    let mut settings = plan.settings(dialect, server.major_minor());
    for (key, value) in &index.settings {
        let key = if key.starts_with("index.") { key.clone() } else { format!("index.{key}") };
        settings.insert(key, value.clone());
    }
    let shape = Shape::of(&table, &plan);
    let hash = hash(&table, &plan, &shape, &mapping);
    let columns = columns_of(&shape);
    let index = IndexPlan {
        alias,
        table: table.name.to_string(),
        mapping,
        settings,
        hash,
        columns,
        table_oid: table.oid,
        membership: String::new(),
        parts: Vec::new(),
    };
    Ok(Planned { table, plan, spec, index, projection })
}

/// What the documents of an index depend on: which table (not only its name), which rows, which columns in which form. Not
/// the modifiers of types, some changes of which documents survive: [`Shape::broken_by`] compares them.
fn hash(table: &Table, plan: &Plan, shape: &Shape, mapping: &serde_json::Value) -> String {
    let mut sha = Sha256::new();
    sha.update(table.oid.to_be_bytes());
    sha.update(table.row_filter.as_deref().unwrap_or_default());
    sha.update(table.query.as_deref().unwrap_or_default());
    for column in &shape.0 {
        sha.update([3]);
        sha.update(&column.name);
        sha.update(column.type_oid.to_be_bytes());
    }
    sha.update(mapping.to_string());
    for column in plan.key_columns() {
        sha.update([0]);
        sha.update(column);
    }
    for (field, _) in plan.fields() {
        sha.update([1]);
        sha.update(field);
    }
    if let Some(column) = plan.payload_column() {
        sha.update([2]);
        sha.update(column);
    }
    sha.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn must_be_a_name(alias: &str, table: &str) -> Result<(), String> {
    check_index_name(alias).map_err(|why| {
        format!(
            "table {table}: {alias:?} can't be the name of an index: {why}. Remedy: set `name` for it under `indexes`"
        )
    })
}

/// The [rules for names](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-create), with
/// room for `-gN.tN`.
fn check_index_name(name: &str) -> Result<(), String> {
    let bad = |c: char| {
        c.is_uppercase() || c.is_whitespace() || c.is_control() || "\\/*?\"<>|,#:".contains(c)
    };
    match name.chars().find(|c| bad(*c)) {
        Some(c) if c.is_uppercase() => return Err("it has capital letters".to_owned()),
        Some(c) => return Err(format!("it has {c:?} in it")),
        None => {}
    }
    match name {
        "" => Err("it is empty".to_owned()),
        _ if name.len() > 230 => Err("it is longer than 230 bytes".to_owned()),
        _ if name.starts_with(['-', '_', '+', '.']) => {
            Err(format!("it begins with {}", name.get(..1).unwrap_or_default()))
        }
        _ if name.starts_with("wal2es-") => {
            Err("names with wal2es- are kept for our own".to_owned())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indices_that_would_be_one() {
        let said = |names: &[(&'static str, &'static str)]| collisions(names.iter().copied());
        assert!(said(&[("a", "public.a"), ("b", "public.b"), ("a-gx", "public.c")]).is_empty());
        let both = said(&[("x_a", "public.x_a"), ("x_a", "x.a")]);
        assert!(both[0].contains("public.x_a and x.a"), "{both:?}");
        let numbered = said(&[("a", "public.a"), ("a-g1", "public.b")]);
        assert!(
            numbered[0].contains("public.a") && numbered[0].contains("public.b"),
            "{numbered:?}"
        );
    }

    #[test]
    fn names_that_the_target_would_refuse() {
        for (name, why) in [
            ("Products", "capital"),
            ("a b", "' '"),
            ("a*", "'*'"),
            ("_a", "begins with _"),
            ("", "empty"),
            ("wal2es-state", "kept"),
        ] {
            let error = check_index_name(name).unwrap_err();
            assert!(error.contains(why), "{name}: {error}");
        }
        for name in ["products", "a-b", "über", "a.b", "1"] {
            check_index_name(name).unwrap();
        }
    }
}
