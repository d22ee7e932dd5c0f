//! The mapping of an index: what a search server makes of each field.
//!
//! It is explicit down to the last field and `dynamic` is off, so no document can change it. Every form that
//! [`Plan::write_source`](crate::Plan::write_source) gives a value fits its mapping, on both servers; what does not fit
//! is the value itself, such as a year after 9999.

use change::{PgType, RangeBound};
use serde_json::{Map, Value, json};

use crate::plan::Plan;

/// Which search server a mapping is for: some types have two names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Elasticsearch: `flattened`, `dense_vector`.
    Elasticsearch,
    /// OpenSearch: `flat_object`, `knn_vector`.
    OpenSearch,
}

/// Characters of a keyword that can't pass the 32,766 bytes of a term, whatever they are.
const KEYWORD_LIMIT: u32 = 8191;

/// Fields of an index unless its settings say otherwise (`index.mapping.total_fields.limit`).
const DEFAULT_FIELDS: usize = 1000;

/// Fields to leave room for beside those of the plan.
const SPARE_FIELDS: usize = 100;

/// The longest vector that Elasticsearch has a field for, in dimensions.
pub(crate) const DENSE_VECTOR_DIMS: u32 = 4096;

impl Plan {
    /// `{"dynamic": false, "properties": {…}}`, for the `mappings` of an index. The properties of a payload are those that
    /// were asked for.
    pub fn mapping(&self, dialect: Dialect) -> Value {
        if let Some(properties) = self.payload_properties() {
            return json!({"dynamic": false, "properties": properties});
        }
        let mut properties = Map::new();
        for (name, ty) in self.typed_fields() {
            insert(&mut properties, name, field(ty, dialect));
        }
        json!({"dynamic": false, "properties": properties})
    }

    /// The index settings that the mapping can't do without, for the `settings` of an index; often none. `version` is
    /// that of the server, major and minor.
    ///
    /// - `index.mapping.total_fields.limit`, for a mapping of very many fields.
    /// - `index.knn`, for a vector on OpenSearch.
    /// - `index.knn.derived_source.enabled: false` (OpenSearch 3.0 or newer), `index.mapping.exclude_source_vectors:
    ///   false` (Elasticsearch 9.2 or newer), for a vector: by default these servers take vectors out of `_source` and
    ///   write it anew when it is asked for, which turns every 1.50 in it into 1.5; Elasticsearch leaves the vector out.
    pub fn settings(&self, dialect: Dialect, version: (u32, u32)) -> Map<String, Value> {
        let mut settings = Map::new();
        let mut set = |name: &str, value: Value| settings.insert(name.to_owned(), value);
        let mapping = self.mapping(dialect);
        let fields = count(&mapping) + SPARE_FIELDS;
        if fields > DEFAULT_FIELDS {
            set("index.mapping.total_fields.limit", json!(fields));
        }
        if has_vector(&mapping, dialect) {
            if dialect == Dialect::OpenSearch {
                set("index.knn", json!(true));
            }
            match dialect {
                Dialect::OpenSearch if version >= (3, 0) => {
                    set("index.knn.derived_source.enabled", json!(false));
                }
                Dialect::Elasticsearch if version >= (9, 2) => {
                    set("index.mapping.exclude_source_vectors", json!(false));
                }
                Dialect::OpenSearch | Dialect::Elasticsearch => {}
            }
        }
        settings
    }
}

/// The fields in `mapping` as the servers count them: with objects and the fields within fields.
fn count(mapping: &Value) -> usize {
    within(mapping).map(|field| 1 + count(field)).sum()
}

/// The mappings of the fields right below `mapping`.
fn within(mapping: &Value) -> impl Iterator<Item = &Value> {
    let kinds = ["properties", "fields"].into_iter();
    kinds.filter_map(|kind| mapping.get(kind)?.as_object()).flat_map(Map::values)
}

/// True when `mapping` or a field of it is of a type that the server takes out of `_source`.
fn has_vector(mapping: &Value, dialect: Dialect) -> bool {
    let types: &[&str] = match dialect {
        Dialect::Elasticsearch => &["dense_vector", "sparse_vector", "rank_vectors"],
        Dialect::OpenSearch => &["knn_vector"],
    };
    let ty = mapping.get("type").and_then(Value::as_str);
    ty.is_some_and(|ty| types.contains(&ty))
        || within(mapping).any(|field| has_vector(field, dialect))
}

/// Puts `mapping` at `name`, with an object for each part before a dot.
fn insert(properties: &mut Map<String, Value>, name: &str, mapping: Value) {
    let Some((object, rest)) = name.split_once('.') else {
        properties.insert(name.to_owned(), mapping);
        return;
    };
    let object = properties.entry(object).or_insert_with(|| json!({"properties": {}}));
    if let Some(Value::Object(inner)) = object.get_mut("properties") {
        insert(inner, rest, mapping);
    }
}

fn field(ty: &PgType, dialect: Dialect) -> Value {
    match ty {
        PgType::Bool => json!({"type": "boolean"}),
        PgType::Int2 => json!({"type": "short"}),
        PgType::Int4 => json!({"type": "integer"}),
        PgType::Int8 | PgType::Oid => json!({"type": "long"}),
        PgType::Float4 => json!({"type": "float"}),
        PgType::Float8 | PgType::Numeric => json!({"type": "double"}),
        PgType::Text => json!({
            "type": "text",
            "fields": {"keyword": {"type": "keyword", "ignore_above": 256}},
        }),
        PgType::Uuid | PgType::Enum => json!({"type": "keyword"}),
        PgType::Date | PgType::Timestamp | PgType::TimestampTz => json!({"type": "date"}),
        PgType::Bytea => json!({"type": "binary"}),
        PgType::Json | PgType::Jsonb => kept(),
        PgType::TsVector => json!({"type": "text"}),
        PgType::Range(bound) => json!({"type": range(*bound)}),
        PgType::Hstore => match dialect {
            Dialect::Elasticsearch => json!({"type": "flattened", "ignore_above": KEYWORD_LIMIT}),
            Dialect::OpenSearch => json!({"type": "flat_object"}),
        },
        PgType::Vector(dimension) => vector(*dimension, dialect),
        PgType::Array { element, .. } => array(element, dialect),
        PgType::Other => json!({"type": "keyword", "ignore_above": KEYWORD_LIMIT}),
    }
}

/// In `_source` and nowhere else, whatever form it has.
fn kept() -> Value {
    json!({"type": "object", "enabled": false})
}

/// Search servers have no type for arrays: any field may hold one. Vectors are the exception.
fn array(element: &PgType, dialect: Dialect) -> Value {
    match element {
        PgType::Vector(_) => kept(),
        element => field(element, dialect),
    }
}

/// Elasticsearch's default similarity, cosine, would refuse a vector of zeros; pgvector's operator is free to choose.
fn vector(dimension: Option<u32>, dialect: Dialect) -> Value {
    match (dimension, dialect) {
        (Some(dimension), Dialect::OpenSearch) => {
            json!({"type": "knn_vector", "dimension": dimension})
        }
        (Some(dims), Dialect::Elasticsearch) if dims <= DENSE_VECTOR_DIMS => {
            json!({"type": "dense_vector", "dims": dims, "similarity": "l2_norm"})
        }
        (Some(_) | None, _) => kept(),
    }
}

fn range(bound: RangeBound) -> &'static str {
    match bound {
        RangeBound::Int4 => "integer_range",
        RangeBound::Int8 => "long_range",
        RangeBound::Numeric => "double_range",
        RangeBound::Date | RangeBound::Timestamp | RangeBound::TimestampTz => "date_range",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::IndexSpec;
    use crate::plan::tests::table;

    fn plan(columns: &[(&str, PgType)]) -> Plan {
        Plan::new(&table(columns), &IndexSpec::default()).unwrap()
    }

    fn array(element: PgType) -> PgType {
        PgType::Array { element: Box::new(element), delimiter: b',' }
    }

    #[test]
    fn each_type_has_its_field() {
        let kept = json!({"type": "object", "enabled": false});
        let text = json!({"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}});
        for (ty, expected) in [
            (PgType::Bool, json!({"type": "boolean"})),
            (PgType::Int2, json!({"type": "short"})),
            (PgType::Int4, json!({"type": "integer"})),
            (PgType::Int8, json!({"type": "long"})),
            (PgType::Oid, json!({"type": "long"})),
            (PgType::Float4, json!({"type": "float"})),
            (PgType::Float8, json!({"type": "double"})),
            (PgType::Numeric, json!({"type": "double"})),
            (PgType::Text, text.clone()),
            (PgType::Uuid, json!({"type": "keyword"})),
            (PgType::Enum, json!({"type": "keyword"})),
            (PgType::Date, json!({"type": "date"})),
            (PgType::Timestamp, json!({"type": "date"})),
            (PgType::TimestampTz, json!({"type": "date"})),
            (PgType::Bytea, json!({"type": "binary"})),
            (PgType::Json, kept.clone()),
            (PgType::Jsonb, kept.clone()),
            (PgType::TsVector, json!({"type": "text"})),
            (PgType::Range(RangeBound::Int4), json!({"type": "integer_range"})),
            (PgType::Range(RangeBound::Int8), json!({"type": "long_range"})),
            (PgType::Range(RangeBound::Numeric), json!({"type": "double_range"})),
            (PgType::Range(RangeBound::Date), json!({"type": "date_range"})),
            (PgType::Range(RangeBound::Timestamp), json!({"type": "date_range"})),
            (PgType::Range(RangeBound::TimestampTz), json!({"type": "date_range"})),
            (PgType::Vector(None), kept.clone()),
            (PgType::Other, json!({"type": "keyword", "ignore_above": 8191})),
            (array(PgType::Text), text),
            (array(array(PgType::Int2)), json!({"type": "short"})),
            (array(PgType::Jsonb), kept.clone()),
            (array(PgType::Vector(Some(3))), kept),
        ] {
            for dialect in [Dialect::Elasticsearch, Dialect::OpenSearch] {
                let mapping = plan(&[("f", ty.clone())]).mapping(dialect);
                assert_eq!(
                    mapping,
                    json!({"dynamic": false, "properties": {"f": expected}}),
                    "{ty:?}"
                );
            }
        }
    }

    #[test]
    fn some_fields_have_two_names() {
        for (ty, elasticsearch, opensearch) in [
            (
                PgType::Hstore,
                json!({"type": "flattened", "ignore_above": 8191}),
                json!({"type": "flat_object"}),
            ),
            (
                PgType::Vector(Some(3)),
                json!({"type": "dense_vector", "dims": 3, "similarity": "l2_norm"}),
                json!({"type": "knn_vector", "dimension": 3}),
            ),
            (
                PgType::Vector(Some(4097)),
                json!({"type": "object", "enabled": false}),
                json!({"type": "knn_vector", "dimension": 4097}),
            ),
        ] {
            let plan = plan(&[("f", ty)]);
            assert_eq!(plan.mapping(Dialect::Elasticsearch)["properties"]["f"], elasticsearch);
            assert_eq!(plan.mapping(Dialect::OpenSearch)["properties"]["f"], opensearch);
        }
    }

    #[test]
    fn a_dot_leads_into_an_object() {
        let columns = [
            ("a.b", PgType::Int4),
            ("a.c.d", PgType::Jsonb),
            ("a b", PgType::Bool),
            ("A", PgType::Bool),
        ];
        let mapping = plan(&columns).mapping(Dialect::OpenSearch);
        assert_eq!(
            mapping["properties"],
            json!({
                "a": {"properties": {
                    "b": {"type": "integer"},
                    "c": {"properties": {"d": {"type": "object", "enabled": false}}},
                }},
                "a b": {"type": "boolean"},
                "A": {"type": "boolean"},
            })
        );
    }

    #[test]
    fn settings_only_where_the_mapping_needs_them() {
        let settings = |columns: &[(&str, PgType)], dialect, version| {
            Value::Object(plan(columns).settings(dialect, version))
        };
        let id = ("id", PgType::Int4);
        assert_eq!(settings(std::slice::from_ref(&id), Dialect::OpenSearch, (3, 6)), json!({}));
        let vector = [id, ("v", PgType::Vector(Some(3)))];
        assert_eq!(settings(&vector, Dialect::OpenSearch, (2, 19)), json!({"index.knn": true}));
        assert_eq!(
            settings(&vector, Dialect::OpenSearch, (3, 0)),
            json!({"index.knn": true, "index.knn.derived_source.enabled": false})
        );
        assert_eq!(settings(&vector, Dialect::Elasticsearch, (8, 19)), json!({}));
        assert_eq!(
            settings(&vector, Dialect::Elasticsearch, (9, 2)),
            json!({"index.mapping.exclude_source_vectors": false})
        );
        let names: Vec<_> =
            (0..450).map(|n| format!("c{n}")).chain(["o.a".into(), "o.b".into()]).collect();
        let wide: Vec<_> = names.iter().map(|name| (name.as_str(), PgType::Text)).collect();
        assert_eq!(
            settings(&wide, Dialect::OpenSearch, (3, 6)),
            json!({"index.mapping.total_fields.limit": 2 * 452 + 1 + 100})
        );
    }
}
