//! Once its memory has grown to the size of the rows, writing allocates nothing.

use change::{OldImage, PgType, RangeBound};
use document::{IndexSpec, Plan, Scratch};

use crate::support::{table, with_row};

fn array(element: PgType) -> PgType {
    PgType::Array { element: Box::new(element), delimiter: b',' }
}

#[test]
fn the_steady_state_allocates_nothing() {
    let values: &[(&str, PgType, &[u8])] = &[
        ("int8", PgType::Int8, b"42"),
        ("text", PgType::Text, "a \"quoted\" line\nand \u{fc}".as_bytes()),
        ("numeric", PgType::Numeric, b"1.50"),
        ("boolean", PgType::Bool, b"t"),
        ("date", PgType::Date, b"2024-02-29"),
        ("timestamptz", PgType::TimestampTz, b"2024-02-29 12:34:56.789012+00"),
        ("bytea", PgType::Bytea, b"\\x68690a"),
        ("jsonb", PgType::Jsonb, br#"{"a": [1, {"b": null}], "c": "d"}"#),
        (
            "json",
            PgType::Json,
            br#"{"z":1,"y":{"x":[]},"z":2,"\u007a":3,"a":1,"b":2,"c":3,"d":4,"e":5,"f":6}"#,
        ),
        ("range", PgType::Range(RangeBound::Timestamp), br#"["2024-01-01 00:00:00",)"#),
        ("hstore", PgType::Hstore, br#""a"=>"b\"c", "d"=>NULL"#),
        ("vector", PgType::Vector(Some(2)), b"[1,0.5]"),
        ("int4[]", array(PgType::Int4), b"[0:1]={1,NULL}"),
        ("text[]", array(PgType::Text), br#"{a,"b \"c\"",NULL}"#),
        ("json[]", array(PgType::Json), br#"{"{\"b\":1,\"a\":2}"}"#),
        ("hstore[]", array(PgType::Hstore), br#"{"\"a\"=>\"b\\\"\""}"#),
        ("nested", array(array(PgType::Text)), br#"{"{\"a\\\\\",b}"}"#),
        ("interval", PgType::Other, b"1 day 02:03:04"),
    ];
    let columns: Vec<_> = values.iter().map(|(name, ty, _)| (*name, ty.clone())).collect();
    let texts: Vec<_> = values.iter().map(|(.., text)| *text).collect();
    let plan = Plan::new(&table(&columns, 2), &IndexSpec::default()).unwrap();
    let (mut scratch, mut out) = (Scratch::default(), Vec::new());
    with_row(&texts, |row| {
        let mut write = || {
            out.clear();
            plan.write_id(&row, &mut out).unwrap();
            plan.write_new_id(&row, OldImage::Key(row), &mut out).unwrap();
            plan.write_source(&row, OldImage::Absent, &mut scratch, &mut out).unwrap();
            assert!(plan.same_id(&row, &row));
        };
        write();
        let info = allocation_counter::measure(|| (0..100).for_each(|_| write()));
        assert_eq!(info.count_total, 0);
    });
}
