//! What an index should hold, made from the rows by Postgres.

use std::collections::HashMap;
use std::fmt::Write as _;

use postgres::Client;
use sha2::{Digest as _, Sha256};

use super::Json;

const SESSION: &str = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; \
                       SET IntervalStyle = 'postgres'; SET extra_float_digits = 1";

/// A document for each row that `filter` is true for, by id.
pub fn documents(sql: &mut Client, table: &str, filter: &str) -> HashMap<String, Json> {
    sql.batch_execute(SESSION).unwrap();
    let key = columns(sql, table, KEY);
    let fields = columns(sql, table, ALL);
    let ids: Vec<String> = key.iter().map(|(name, _)| format!("format('%s', {name})")).collect();
    let values: Vec<String> = fields
        .iter()
        .map(|(name, ty)| format!("COALESCE({}, 'null')", json_of(sql, *ty, name)))
        .collect();
    let query = format!(
        "SELECT ARRAY[{}], ARRAY[{}]::text[] FROM {table} WHERE {filter}",
        ids.join(", "),
        values.join(", ")
    );
    let rows = sql.query(&query, &[]).unwrap_or_else(|error| panic!("{query}: {error:?}"));
    let names: Vec<String> = fields.into_iter().map(|(name, _)| unquoted(&name)).collect();
    rows.iter()
        .map(|row| {
            let values: Vec<&str> = row.get(1);
            let values = values.into_iter().map(Json::parse_last_wins);
            (
                id(&row.get::<_, Vec<&str>>(0)),
                Json::object(names.iter().cloned().zip(values).collect()),
            )
        })
        .collect()
}

const ALL: &str = "SELECT quote_ident(attname), atttypid FROM pg_attribute \
                    WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
const KEY: &str = "SELECT quote_ident(attname), atttypid FROM pg_index \
                     JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey::int2[]) \
                    WHERE indrelid = $1::text::regclass AND indisprimary \
                    ORDER BY array_position(indkey::int2[], attnum)";

fn columns(sql: &mut Client, table: &str, query: &str) -> Vec<(String, u32)> {
    let rows = sql.query(query, &[&table]).unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(name) => name.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

/// One column's text, or a JSON array of several; a hash above 512 bytes.
fn id(key: &[&str]) -> String {
    let id = match key {
        [one] if !one.is_empty() && !is_like_a_list(one) => (*one).to_owned(),
        several => serde_json::to_string(several).unwrap(),
    };
    if id.len() <= 512 && !id.starts_with("sha256:") {
        return id;
    }
    Sha256::digest(id).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// It could be taken for the id of several columns.
fn is_like_a_list(text: &str) -> bool {
    text.starts_with("[\"") && text.ends_with("\"]")
}

/// Others are written as text.
const RANGES: [&str; 6] =
    ["int4range", "int8range", "numrange", "daterange", "tsrange", "tstzrange"];

/// An SQL expression for the JSON of `value`, which is of the type `ty`; NULL for NULL.
fn json_of(sql: &mut Client, ty: u32, value: &str) -> String {
    let query = "SELECT typname::text, typtype::text, typbasetype, typelem, typcategory::text \
                   FROM pg_type WHERE oid = $1";
    let row = sql.query_one(query, &[&ty]).unwrap();
    let (name, kind): (&str, &str) = (row.get(0), row.get(1));
    let category: &str = row.get(4);
    match (kind, category) {
        ("d", _) => json_of(sql, row.get(2), value),
        // Two that are printed as numbers with spaces between them.
        (_, "A") if matches!(name, "int2vector" | "oidvector") => scalar(name, value),
        (_, "A") if row.get::<_, u32>(3) != 0 => {
            // Not by unnest(), which would take composites apart.
            let element = json_of(sql, row.get(3), &format!("(({value})[place])"));
            format!(
                "CASE WHEN array_ndims({value}) > 1 THEN array_to_json({value})::text \
                 WHEN {value} IS NOT NULL THEN \
                 '[' || (SELECT COALESCE(string_agg(COALESCE({element}, 'null'), ',' ORDER BY place), '') \
                 FROM generate_subscripts({value}, 1) AS places(place)) || ']' END"
            )
        }
        ("r", _) if RANGES.contains(&name) => range(sql, ty, value),
        _ => scalar(name, value),
    }
}

fn scalar(ty: &str, value: &str) -> String {
    match ty {
        "bool" | "int2" | "int4" | "int8" => format!("to_json({value})::text"),
        "oid" => format!("{value}::text"),
        "float4" | "float8" | "numeric" => {
            let special = "('NaN', 'Infinity', '-Infinity')";
            format!("CASE WHEN {value}::text NOT IN {special} THEN to_json({value})::text END")
        }
        "date" => finite(value, &format!("{value}::text")),
        "timestamp" => finite(value, &format!("replace({value}::text, ' ', 'T')")),
        "timestamptz" => {
            finite(value, &format!("replace(({value} AT TIME ZONE 'UTC')::text, ' ', 'T') || 'Z'"))
        }
        "bytea" => format!("to_json(translate(encode({value}, 'base64'), E'\\n', ''))::text"),
        "json" | "jsonb" => format!("{value}::text"),
        "hstore" => format!("hstore_to_json({value})::text"),
        _ => format!(
            "CASE WHEN ({value}) IS NOT DISTINCT FROM NULL THEN NULL ELSE to_json(format('%s', {value}))::text END"
        ),
    }
}

fn finite(value: &str, text: &str) -> String {
    format!("CASE WHEN isfinite({value}) THEN to_json({text})::text END")
}

fn range(sql: &mut Client, ty: u32, value: &str) -> String {
    let row = sql.query_one("SELECT rngsubtype FROM pg_range WHERE rngtypid = $1", &[&ty]).unwrap();
    let bound = row.get(0);
    let mut side = |function: &str, closed: &str, open: &str| {
        let json = json_of(sql, bound, &format!("{function}({value})"));
        format!(
            "'\"' || CASE WHEN {function}_inc({value}) THEN '{closed}' ELSE '{open}' END || '\":' || {json}"
        )
    };
    let (lower, upper) = (side("lower", "gte", "gt"), side("upper", "lte", "lt"));
    format!(
        "CASE WHEN NOT isempty({value}) THEN '{{' || concat_ws(',', {lower}, {upper}) || '}}' END"
    )
}
