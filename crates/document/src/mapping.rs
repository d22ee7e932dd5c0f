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

impl Plan {
    /// `{"dynamic": false, "properties": {…}}`, for the `mappings` of an index.
    pub fn mapping(&self, dialect: Dialect) -> Value {
        let mut properties = Map::new();
        for (name, ty) in self.typed_fields() {
            insert(&mut properties, name, field(ty, dialect));
        }
        json!({"dynamic": false, "properties": properties})
    }
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
            Dialect::Elasticsearch => json!({"type": "flattened"}),
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

fn vector(dimension: Option<u32>, dialect: Dialect) -> Value {
    match (dimension, dialect) {
        (None, _) => kept(),
        (Some(dims), Dialect::Elasticsearch) => {
            json!({"type": "dense_vector", "dims": dims, "similarity": "l2_norm"})
        }
        (Some(dimension), Dialect::OpenSearch) => {
            json!({"type": "knn_vector", "dimension": dimension})
        }
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
