//! Documents that are the content of one column.
//!
//! A table of events carries its documents ready-made, as JSON. The object in the column is the document then, as a field
//! of type `json` would be written, without a name around it. What is in such objects is in no catalog, so the mapping is
//! what the specification says; whatever that does not name is kept in `_source` and not searchable.
//!
//! A value that is no object is [`DocumentError::Malformed`]: it concerns one row and is no reason to stop. A value that
//! an update did not send can't be a [`Hole`](super::Hole), which lies within a document.

use change::{OldImage, PgType, Row, Table, Value};
use serde_json::Map;

use super::make::{IndexSpec, field, find, nearest};
use super::write::{earlier, unchanged};
use super::{Field, Problem, field_name};
use crate::Scratch;
use crate::error::{DocumentError, Malformed};
use crate::value::json;

/// The column whose content is the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payload {
    /// A column of type `json` or `jsonb` with an object in every row.
    pub column: String,
    /// The fields to search by, as the `properties` of a mapping: taken as they are, they may be of types that only one
    /// of the servers has.
    pub properties: Map<String, serde_json::Value>,
}

/// A [`Payload`] whose column was found.
#[derive(Debug, Clone)]
pub(super) struct Content {
    /// Its prefix is empty.
    pub(super) field: Field,
    pub(super) properties: Map<String, serde_json::Value>,
}

impl Content {
    /// Nothing where the specification asks for none, or for what [`check`] refuses.
    pub(super) fn new(table: &Table, spec: &IndexSpec) -> Option<Self> {
        let payload = spec.payload.as_ref()?;
        let (index, column) = find(table, &payload.column)?;
        let field = field(table, index, column, Box::default());
        Some(Content { field, properties: payload.properties.clone() })
    }

    /// Appends the document. What was written before an error is the caller's to take back.
    #[inline(never)]
    pub(super) fn write(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        let Field { index, in_identity, name, .. } = &self.field;
        let value = match new.get(*index) {
            Value::Unchanged => earlier(*index, *in_identity, old),
            sent => sent,
        };
        let written = match value {
            Value::Unchanged => return Err(unchanged(name)),
            Value::Null => Err(Malformed::new(0, "a JSON object, not NULL")),
            Value::Text(text) => {
                must_be_object(text).and_then(|()| json::write(text, &mut scratch.json, out))
            }
        };
        written.map_err(|error| error.of(name))
    }
}

/// Looks no further than at the first token.
fn must_be_object(text: &[u8]) -> Result<(), Malformed> {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\t' | b'\r');
    let start = text.iter().take_while(|byte| is_space(byte)).count();
    match text.get(start) {
        Some(b'{') => Ok(()),
        _ => Err(Malformed::new(start, "a JSON object")),
    }
}

/// What is wrong with `payload`, and with what else stands beside it.
pub(super) fn check(table: &Table, spec: &IndexSpec) -> Vec<Problem> {
    let Some(payload) = &spec.payload else { return Vec::new() };
    let others = [("columns", spec.columns.is_some()), ("exclude", !spec.exclude.is_empty())];
    let given = others.into_iter().filter(|(_, is_given)| *is_given);
    let mut problems: Vec<_> = given.map(|(option, _)| Problem::BesidePayload { option }).collect();
    let name = || payload.column.clone();
    match find(table, &payload.column) {
        None => problems.push(Problem::UnknownColumn {
            option: "payload",
            column: name(),
            nearest: nearest(table, &payload.column),
        }),
        Some((_, column)) if !matches!(column.ty, PgType::Json | PgType::Jsonb) => {
            let type_name = column.type_name.clone();
            problems.push(Problem::PayloadType { column: name(), type_name });
        }
        Some(_) => {}
    }
    problems.extend(payload.properties.keys().filter_map(|field| {
        let reason = field_name::reason(field)?;
        Some(Problem::Property { field: field.clone(), reason })
    }));
    problems
}

/// What people should know of a payload of type `ty`.
pub(super) fn losses(ty: &PgType) -> Vec<&'static str> {
    const PROPERTIES: &str =
        "its content is the document: what `properties` does not name is kept but not searchable";
    const NO_OBJECT: &str = "a row in which it is NULL, or no JSON object, becomes a dead letter";
    let twice =
        matches!(ty, PgType::Json).then_some("of equal keys in an object the last one stays");
    [PROPERTIES, NO_OBJECT].into_iter().chain(twice).collect()
}

#[cfg(test)]
mod tests {
    use change::ReplicaIdentity;
    use serde_json::json;

    use super::super::tests::table;
    use super::super::write::tests::Made;
    use super::*;
    use crate::{Dialect, Partial, Plan};

    fn events(ty: PgType) -> Table {
        table(&[("id", PgType::Int8), ("op", PgType::Text), ("payload", ty)])
    }

    fn spec(column: &str) -> IndexSpec {
        let payload = Payload { column: column.to_owned(), ..Payload::default() };
        IndexSpec { payload: Some(payload), ..IndexSpec::default() }
    }

    fn with_properties(properties: &serde_json::Value) -> IndexSpec {
        let properties = properties.as_object().cloned().unwrap();
        let payload = Payload { column: "payload".to_owned(), properties };
        IndexSpec { payload: Some(payload), ..IndexSpec::default() }
    }

    fn plan(ty: PgType) -> Plan {
        Plan::new(&events(ty), &spec("payload")).unwrap()
    }

    fn row(payload: Value<'_>) -> Made {
        Made::new(&[Value::Text(b"7"), Value::Text(b"upsert"), payload])
    }

    fn source(ty: PgType, new: Value<'_>, old: OldImage<'_>) -> Result<String, DocumentError> {
        let mut out = b"before".to_vec();
        let written =
            plan(ty).write_source(&row(new).row(), old, &mut Scratch::default(), &mut out);
        let document = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
        if written.is_err() {
            assert_eq!(document, "", "an error leaves nothing behind");
        }
        written.map(|()| document)
    }

    fn refusals(table: &Table, spec: &IndexSpec) -> Vec<String> {
        Plan::new(table, spec).unwrap_err().to_string().lines().map(str::to_owned).collect()
    }

    #[test]
    fn the_document_is_the_object() {
        for (text, expected) in [
            ("{}", "{}"),
            (" \t\r\n{ }\n", "{}"),
            (r#"{"a": 1, "b": {"c": [1, {"d": null}]}}"#, r#"{"a":1,"b":{"c":[1,{"d":null}]}}"#),
            ("{\n  \"a b\" :\n\t[ 1.50 , -0 ] }", r#"{"a b":[1.50,-0]}"#),
            (r#"{"a":1, "b":2, "\u0061":{"x":1,"x":2}}"#, r#"{"b":2,"\u0061":{"x":2}}"#),
            (
                r#"{"n": 123456789012345678901234567890.10, "e": 1e400}"#,
                r#"{"n":123456789012345678901234567890.10,"e":1e400}"#,
            ),
            (r#"{"payload": "{}", "id": 8}"#, r#"{"payload":"{}","id":8}"#),
        ] {
            for ty in [PgType::Json, PgType::Jsonb] {
                let written = source(ty, Value::Text(text.as_bytes()), OldImage::Absent);
                assert_eq!(written.as_deref(), Ok(expected));
            }
        }
    }

    #[test]
    fn what_is_no_object_is_malformed() {
        for (payload, offset, expected) in [
            (Value::Null, 0, "a JSON object, not NULL"),
            (Value::Text(b"null"), 0, "a JSON object"),
            (Value::Text(b"[{}]"), 0, "a JSON object"),
            (Value::Text(b"\n \"{}\""), 2, "a JSON object"),
            (Value::Text(b"1.50"), 0, "a JSON object"),
            (Value::Text(b"true"), 0, "a JSON object"),
            (Value::Text(b""), 0, "a JSON object"),
            (Value::Text(b"  "), 2, "a JSON object"),
            (Value::Text(b"{\"a\": \"\xfc\"}"), 7, "valid UTF-8"),
            (Value::Text(b"\xff"), 0, "a JSON object"),
            (Value::Text(b"{} {}"), 3, "the end of the JSON value"),
            (Value::Text(b"{\"a\":1"), 6, ", or }"),
        ] {
            let error = DocumentError::Malformed { column: "payload".into(), offset, expected };
            assert_eq!(source(PgType::Json, payload, OldImage::Absent), Err(error), "{payload:?}");
        }
    }

    #[test]
    fn what_was_not_sent_comes_from_the_image_before_or_is_an_error() {
        let before = row(Value::Text(b"{\"a\": 1}"));
        let of = |old| source(PgType::Jsonb, Value::Unchanged, old);
        let unchanged = DocumentError::Unchanged { column: "payload".into() };
        assert_eq!(of(OldImage::Full(before.row())).as_deref(), Ok("{\"a\":1}"));
        assert_eq!(of(OldImage::Key(before.row())), Err(unchanged.clone()));
        assert_eq!(of(OldImage::Absent), Err(unchanged.clone()));
        let mut partial = Partial::default();
        let (new, scratch) = (row(Value::Unchanged), &mut Scratch::default());
        let plan = plan(PgType::Jsonb);
        let written = plan.write_partial(&new.row(), OldImage::Absent, scratch, &mut partial);
        assert_eq!(written, Err(unchanged));
        assert_eq!((partial.source.as_slice(), partial.holes.len()), (&b""[..], 0));
        plan.write_partial(&before.row(), OldImage::Absent, scratch, &mut partial).unwrap();
        assert_eq!(partial.source, b"{\"a\":1}");
    }

    #[test]
    fn a_row_of_another_width_is_refused() {
        let narrow = Made::new(&[Value::Text(b"7"), Value::Text(b"{}")]);
        let written = plan(PgType::Json).write_source(
            &narrow.row(),
            OldImage::Absent,
            &mut Scratch::default(),
            &mut Vec::new(),
        );
        assert_eq!(written, Err(DocumentError::Width { expected: 3, found: 2 }));
    }

    #[test]
    fn the_plan_has_an_id_and_no_fields() {
        let mut table = events(PgType::Jsonb);
        table.columns[1].not_null = true;
        table.identity = ReplicaIdentity::Full;
        let id = Some(vec!["op".to_owned(), "id".to_owned()]);
        let plan = Plan::new(&table, &IndexSpec { id, ..spec("payload") }).unwrap();
        assert_eq!(plan.key_columns().collect::<Vec<_>>(), ["op", "id"]);
        assert_eq!((plan.fields().count(), plan.payload_column()), (0, Some("payload")));
        let mut id = Vec::new();
        plan.write_id(&row(Value::Null).row(), &mut id).unwrap();
        assert_eq!(id, br#"["upsert","7"]"#);
        let columns = Plan::new(&table, &IndexSpec::default()).unwrap();
        assert_eq!((columns.fields().count(), columns.payload_column()), (3, None));
    }

    /// No column is a field, so none needs a name that can be one.
    #[test]
    fn columns_may_have_any_name() {
        let columns = [("_id", PgType::Int8), ("_source", PgType::Json), ("", PgType::Bool)];
        assert!(Plan::new(&table(&columns), &IndexSpec::default()).is_err());
        assert!(Plan::new(&table(&columns), &spec("_source")).is_ok());
    }

    #[test]
    fn each_problem_has_its_remedy() {
        let events = events(PgType::Json);
        for (column, expected) in [
            (
                "Paylod",
                "column \"Paylod\" in `payload` does not exist, or is not published. Remedy: did you mean \"payload\"?",
            ),
            (
                "document",
                "column \"document\" in `payload` does not exist, or is not published. Remedy: name a published column of \
                 type json or jsonb",
            ),
            (
                "op",
                "column \"op\" in `payload` is of type text, not json or jsonb. Remedy: name another one, or, if \
                 it holds JSON as text: ALTER TABLE \"public\".\"t\" ALTER COLUMN \"op\" TYPE jsonb USING \"op\"::jsonb",
            ),
        ] {
            let expected = format!("table public.t: {expected}");
            assert_eq!(refusals(&events, &spec(column)), [expected]);
        }
        let array = PgType::Array { element: Box::new(PgType::Jsonb), delimiter: b',' };
        assert_eq!(refusals(&self::events(array), &spec("payload")).len(), 1);
    }

    #[test]
    fn columns_can_not_be_chosen_beside_it() {
        let both = |option| {
            format!(
                "table public.t: `payload` and `{option}` are both given. Remedy: take out `{option}`: the document is \
                 the content of the payload alone"
            )
        };
        let events = events(PgType::Json);
        let columns = IndexSpec { columns: Some(vec![]), ..spec("payload") };
        assert_eq!(refusals(&events, &columns), [both("columns")]);
        let exclude = IndexSpec { exclude: vec!["op".into()], ..spec("payload") };
        assert_eq!(refusals(&events, &exclude), [both("exclude")]);
    }

    #[test]
    fn properties_that_search_servers_keep_are_refused() {
        let spec = with_properties(&json!({
            "__soft_deletes": {"type": "long"},
            "a.": {"type": "long"},
            "at": {"type": "date"},
        }));
        assert_eq!(
            refusals(&events(PgType::Json), &spec),
            [
                "table public.t: \"__soft_deletes\" in `properties` can't be a field: search servers keep this name for \
                 themselves. Remedy: take it out of `properties`",
                "table public.t: \"a.\" in `properties` can't be a field: search servers take dots as a path, and a part \
                 of it is empty or white space. Remedy: take it out of `properties`",
            ]
        );
    }

    #[test]
    fn the_mapping_is_of_the_properties() {
        let properties = json!({
            "title": {"type": "text", "fields": {"raw": {"type": "keyword"}}},
            "by": {"properties": {"name": {"type": "keyword"}}},
        });
        let plan = Plan::new(&events(PgType::Json), &with_properties(&properties)).unwrap();
        for dialect in [Dialect::Elasticsearch, Dialect::OpenSearch] {
            let mapping = plan.mapping(dialect);
            assert_eq!(mapping, json!({"dynamic": false, "properties": properties}));
            assert_eq!(plan.settings(dialect, (9, 9)).len(), 0);
        }
        let none = self::plan(PgType::Json).mapping(Dialect::OpenSearch);
        assert_eq!(none, json!({"dynamic": false, "properties": {}}));
    }

    #[test]
    fn settings_follow_the_properties() {
        let settings = |properties: &serde_json::Value, dialect, version| {
            let plan = Plan::new(&events(PgType::Json), &with_properties(properties)).unwrap();
            serde_json::Value::Object(plan.settings(dialect, version))
        };
        let text = json!({"type": "text", "fields": {"raw": {"type": "keyword"}}});
        let many: Map<_, _> = (0..450).map(|n| (format!("f{n}"), text.clone())).collect();
        let nested = json!({"o": {"type": "nested", "properties": many}});
        assert_eq!(
            settings(&nested, Dialect::OpenSearch, (3, 6)),
            json!({"index.mapping.total_fields.limit": 1 + 2 * 450 + 100})
        );
        let within = |ty: &str| json!({"o": {"properties": {"v": {"type": ty}}}});
        assert_eq!(
            settings(&within("knn_vector"), Dialect::OpenSearch, (3, 6)),
            json!({"index.knn": true, "index.knn.derived_source.enabled": false})
        );
        for ty in ["dense_vector", "sparse_vector", "rank_vectors"] {
            let kept = json!({"index.mapping.exclude_source_vectors": false});
            assert_eq!(settings(&within(ty), Dialect::Elasticsearch, (9, 2)), kept);
        }
        assert_eq!(settings(&within("sparse_vector"), Dialect::OpenSearch, (3, 6)), json!({}));
        let named = json!({"type": {"type": "keyword"}, "properties": {"type": "keyword"}});
        assert_eq!(settings(&named, Dialect::Elasticsearch, (9, 2)), json!({}));
    }

    #[test]
    fn notes_are_of_the_payload_alone() {
        let told = |ty| {
            let notes = plan(ty).notes();
            assert!(notes.iter().all(|note| note.column == "payload"), "{notes:?}");
            notes.len()
        };
        assert_eq!((told(PgType::Json), told(PgType::Jsonb)), (3, 2));
        let large = plan(PgType::Jsonb).toast_notes();
        assert_eq!(large.iter().map(|note| &*note.column).collect::<Vec<_>>(), ["payload"]);
    }
}
