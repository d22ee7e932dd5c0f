//! The table of types.

use super::nested::{array, boxes, composite};
use super::range::{multirange, range};
use super::{Make, bits, json, nested, number, range as bounds, shape, text, time};

/// A type and how to make a value of it.
pub struct Type {
    pub sql: &'static str,
    pub make: Make,
}

const fn new(sql: &'static str, make: Make) -> Type {
    Type { sql, make }
}

/// What everything can be converted to.
pub const TEXT: &Type = &new("text", text::text);
/// The same, large.
pub const BIG_TEXT: &Type = &new("text", text::big);
/// Only where the server was built with it.
pub const XML: &Type = &new("xml", text::xml);

/// Values that don't fit into a page and can't be compressed.
pub const BIG: &[Type] = &[
    new("text", text::big),
    new("bytea", bits::big),
    new("text[]", |d| array(d, text::big)),
    new("jsonb", |d| format!("{{\"big\": \"{}\"}}", text::big(d))),
    new("varchar(30000)", text::big),
];

/// All others.
pub const TYPES: &[Type] = &[
    new("boolean", |d| d.pick(&["t", "f"]).to_owned()),
    new("smallint", number::int2),
    new("integer", number::int4),
    new("bigint", number::int8),
    new("oid", |d| d.rng.u32(..).to_string()),
    new("real", number::float4),
    new("double precision", number::float8),
    new("numeric", number::numeric),
    new("numeric(10,3)", number::scaled),
    new("money", number::money),
    new("bit(5)", |d| bits::bit(d, 5..=5)),
    new("bit varying", |d| bits::bit(d, 0..=80)),
    new("interval", time::interval),
    new("time", time::time),
    new("time(2)", time::time),
    new("timetz", time::timetz),
    new("date", time::date),
    new("timestamp", time::timestamp),
    new("timestamp(3)", time::timestamp),
    new("timestamptz", time::timestamptz),
    new("tsvector", nested::tsvector),
    new("tsquery", nested::tsquery),
    new("inet", bits::inet),
    new("cidr", bits::cidr),
    new("macaddr", |d| d.hex(12)),
    new("macaddr8", |d| d.hex(16)),
    new("uuid", bits::uuid),
    new("pg_lsn", |d| format!("{:X}/{:X}", d.rng.u32(..), d.rng.u32(..))),
    new("bytea", bits::bytea),
    new("point", shape::point),
    new("line", shape::line),
    new("lseg", |d| shape::points(d, 2, "[", "]")),
    new("box", shape::rectangle),
    new("path", shape::path),
    new("polygon", |d| shape::points(d, 4, "(", ")")),
    new("circle", shape::circle),
    new("text", text::text),
    new("varchar(20)", text::varchar20),
    new("varchar", text::text),
    new("char(10)", |d| text::short(d, 10)),
    new("\"char\"", text::one_byte),
    new("name", text::name),
    new("public.citext", text::text),
    new("public.mood", text::label),
    new("public.feeling", text::label),
    new("json", json::json),
    new("jsonb", json::jsonb),
    new("jsonpath", |d| d.pick(&["$", "$.\"a b\"[*]?(@ > 1.50)", "strict $[0]"]).to_owned()),
    new("public.hstore", nested::hstore),
    new("public.cents", number::cents),
    new("public.dear", number::cents),
    new("public.tags", |d| array(d, text::text)),
    new("public.few", |d| array(d, text::text)),
    new("public.pair", nested::pair),
    new("public.duo", nested::pair),
    new("public.nest", nested::nest),
    new("int4range", |d| range(d, bounds::whole)),
    new("int8range", |d| range(d, bounds::long)),
    new("numrange", |d| range(d, bounds::decimal)),
    new("daterange", |d| range(d, bounds::date)),
    new("tsrange", |d| range(d, bounds::timestamp)),
    new("tstzrange", |d| range(d, bounds::timestamptz)),
    new("public.textrange", |d| range(d, bounds::text)),
    new("int4multirange", |d| multirange(d, bounds::whole)),
    new("nummultirange", |d| multirange(d, bounds::decimal)),
    new("tstzmultirange", |d| multirange(d, bounds::timestamptz)),
    new("boolean[]", |d| array(d, |d| d.pick(&["t", "f"]).to_owned())),
    new("integer[]", |d| array(d, number::int4)),
    new("double precision[]", |d| array(d, number::float8)),
    new("numeric[]", |d| array(d, number::numeric)),
    new("text[]", |d| array(d, text::text)),
    new("varchar(20)[]", |d| array(d, text::varchar20)),
    new("char(10)[]", |d| array(d, |d| text::short(d, 10))),
    new("date[]", |d| array(d, time::date)),
    new("timestamptz[]", |d| array(d, time::timestamptz)),
    new("bytea[]", |d| array(d, bits::bytea)),
    new("uuid[]", |d| array(d, bits::uuid)),
    new("json[]", |d| array(d, json::json)),
    new("jsonb[]", |d| array(d, json::jsonb)),
    new("public.mood[]", |d| array(d, text::label)),
    new("public.hstore[]", |d| array(d, nested::hstore)),
    new("public.pair[]", |d| array(d, nested::pair)),
    new("public.dear[]", |d| array(d, number::cents)),
    new("public.few[]", |d| array(d, |d| array(d, text::text))),
    new("box[]", boxes),
    new("int4range[]", |d| array(d, |d| range(d, bounds::whole))),
    new("nummultirange[]", |d| array(d, |d| multirange(d, bounds::decimal))),
    new("public.nest[]", |d| {
        array(d, |d| {
            let pair = nested::pair(d);
            composite(&[Some(pair), None, None, None, None])
        })
    }),
];

/// The type of this name.
pub fn named(sql: &str) -> &'static Type {
    TYPES.iter().find(|ty| ty.sql == sql).unwrap_or_else(|| panic!("no type {sql}"))
}
