//! Every type of the manual's table, with the values that are hard.

use std::fmt::Write as _;

use super::Scenario;
use crate::support::case::Case;
use crate::support::oracle;
use crate::support::seed::Seed;
use crate::support::shared::postgres_kind;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("from_copy_and_stream", from_copy_and_stream),
    Scenario::new("numbers_at_random", numbers_at_random),
    Scenario::new("generated_columns_are_left_out", generated_columns_are_left_out),
    Scenario::new("an_enum_that_grows", an_enum_that_grows),
    Scenario::new("xml_where_the_server_has_it", xml_where_the_server_has_it),
];

const PREPARE: &str = "
    CREATE EXTENSION hstore; CREATE EXTENSION citext;
    CREATE TYPE mood AS ENUM ('fine', 'so \"so\"', '');
    CREATE TYPE pair AS (a int, b text);
    CREATE DOMAIN cents AS numeric(10, 2) CHECK (VALUE >= 0);
    CREATE DOMAIN tags AS text[];
    CREATE DOMAIN price AS cents CHECK (VALUE < 100);
    CREATE DOMAIN prices AS price[];
    CREATE DOMAIN day AS date;
    CREATE DOMAIN score AS int4range;
    CREATE TYPE nested AS (p pair, list text[], at timestamptz, raw bytea, price price);
    CREATE TYPE speed AS RANGE (subtype = float8)";

/// The type, and its values as SQL writes them.
const TYPES: &[(&str, &[&str])] = &[
    ("boolean", &["true", "false"]),
    ("smallint", &["-32768", "32767", "0"]),
    ("integer", &["-2147483648", "2147483647"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807", "9007199254740993"]),
    ("oid", &["4294967295", "0"]),
    ("real", &["'NaN'", "'Infinity'", "'-Infinity'", "'-0'", "3.4028235e38", "1e-45", "0.1", "16777217"]),
    ("double precision", &["'NaN'", "'Infinity'", "'-0'", "1.7976931348623157e308", "5e-324", "0.1", "1e20", "123456789012345680"]),
    ("numeric", &["'NaN'", "'Infinity'", "'-Infinity'", "'-1' || repeat('7', 308)", "'-0.' || repeat('3', 999)", "repeat('1', 300) || '.' || repeat('0', 699) || '1'", "1.50", "0.000", "-12345678901234567890.123456789012345678901234567890", "1e100", "1e-100"]),
    ("numeric(10, 3)", &["1.5", "-9999999.999"]),
    ("money", &["'-1234.56'", "0"]),
    ("bit(5)", &["B'10101'"]),
    ("bit varying", &["B''", "B'1'"]),
    ("bit(3)[]", &["'{101,NULL}'"]),
    ("varbit[]", &["ARRAY[B'', B'1']"]),
    ("interval", &["'1 year 2 mons -3 days 04:05:06.789'", "'0'", "'-1 us'"]),
    ("interval[]", &["ARRAY['1 day', '-1 mon 00:00:00.5', NULL]::interval[]"]),
    ("time", &["'24:00:00'", "'12:34:56.789012'"]),
    ("timetz", &["'12:34:56+05:30'", "'24:00:00-12'"]),
    ("time[]", &["'{24:00:00,00:00:00.000001}'"]),
    ("tsquery", &["'fat & (rat | ''c at'')'"]),
    ("\"char\"", &["'x'", "''", "E'\\\\377'", "'\"'"]),
    ("oidvector", &["'1 2 3'", "''"]),
    ("regclass", &["'pg_class'"]),
    ("pg_lsn", &["'16/B374D848'"]),
    ("macaddr8", &["'08:00:2b:01:02:03:04:05'"]),
    ("jsonpath", &["'$.\"a b\"[*] ? (@ > 1)'"]),
    ("xid8", &["'18446744073709551615'"]),
    ("tsvector", &["'fat:2A cat:3 ''it''''s''  back\\\\slash'", "''"]),
    ("inet", &["'192.168.1.5'", "'10.1.2.3/8'", "'::1'"]),
    ("cidr", &["'10.0.0.0/8'"]),
    ("macaddr", &["'08:00:2b:01:02:03'"]),
    ("pair", &["ROW(1, 'a \"b\", (c)')", "ROW(NULL, NULL)", "ROW(NULL, '')"]),
    ("nested", &[
        "ROW(ROW(1, 'a\"b'), ARRAY['x', NULL, '\"', E'\\\\', 'a,b', ''], '2024-02-29 12:00+02', '\\x00ff', 1.5)",
        "ROW(NULL, '{}', NULL, '', NULL)",
        "ROW(ROW(NULL, NULL), NULL, 'infinity', NULL, 0)",
    ]),
    ("pair[]", &["ARRAY[ROW(1, 'a \"b\" \\c'), NULL, ROW(NULL, NULL)]::pair[]"]),
    ("point", &["'(1.5,-2)'"]),
    ("line", &["'{1,-1,0}'"]),
    ("path", &["'[(0,0),(1,1)]'"]),
    ("circle", &["'<(0,0),1e-7>'"]),
    ("point[]", &["ARRAY['(1,2)'::point, NULL]"]),
    ("box", &["'((1,2),(3,4))'"]),
    ("polygon", &["'((0,0),(1,1),(2,0))'"]),
    ("text", &["''", "E'quote \" slash / back \\\\ new\\nline tab\\t return\\r'", "E'\\x01\\x02\\x1f\\x7f'", "'ünï 😀 \u{2028}'", "'null'"]),
    ("varchar(20)", &["'varying'"]),
    ("char(10)", &["'padded'", "''"]),
    ("char(3)[]", &["ARRAY['a', 'abc', NULL]::char(3)[]"]),
    ("name", &["'a name'"]),
    ("citext", &["'MiXeD'"]),
    ("uuid", &["'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'"]),
    ("mood", &["'fine'", "'so \"so\"'", "''"]),
    ("date", &["'2024-02-29'", "'0001-01-01'", "'9999-12-31'", "'infinity'", "'-infinity'"]),
    ("timestamp", &["'2024-02-29 12:34:56.789012'", "'2024-02-29'", "'infinity'", "'1582-10-10 01:00'", "'9999-12-31 23:59:59.999999'"]),
    ("timestamptz", &["'2024-02-29 12:34:56.7+05:30'", "'-infinity'", "'2000-01-01 00:00:00-12'"]),
    ("bytea", &["'\\x'", "'\\x00ff10'", "decode(repeat('ab', 200), 'hex')"]),
    ("json", &[r#"' { "b" : 1.50, "a" : [1e5, 1E+2, -0, null], "b" : { "x" : 1, "x" : 2 } } '"#, "'null'", "'3'", "'\"s\"'", "'[]'", r#"'{"ü\u00e9\"":"\ud83d\ude00"}'"#,
        r#"'{"a": {"k": [{"x": 1, "y": 2, "x": 3}]}, "b": 1, "a": {"k": 1, "\u006b": 2}, "\u0062": {"": 0, "": 1}}'"#,
        r#"'{"\/": 1, "/": 2, "\u002f": 3, "n": 123456789012345678901234567890.12345678900, "e": 1E-400}'"#]),
    ("jsonb", &[r#"'{"b": 1.50, "a": {"c": [{}, [], ""]}, "": 12345678901234567890.10}'"#, "'null'", "'true'", "'[[[1]]]'",
        r#"'{"\u0001\u001f\u007f": "\u2028\b\f\"\\\/"}'"#, r#"'{"a": 1, "\u0061": 2}'"#]),
    ("boolean[]", &["'{t,f,NULL}'"]),
    ("integer[]", &["'{}'", "'{1,NULL,3}'", "'{{1,2},{3,4}}'", "'[0:1]={5,6}'", "'{{{1}}}'"]),
    ("text[]", &["'[-1:0][2:2]={{a},{NULL}}'", r#"'{"a,b","c\"d","e\\f","NULL",NULL,""," "}'"#, "'{{a,b},{c,d}}'"]),
    ("numeric[]", &["'{1.50,NaN,NULL}'"]),
    ("double precision[]", &["'{Infinity,0.1}'"]),
    ("timestamptz[]", &["'{\"2024-02-29 12:34:56+02\",infinity}'"]),
    ("bytea[]", &["ARRAY['\\x00'::bytea, '\\x']"]),
    ("jsonb[]", &[r#"ARRAY['{"a": "b,c"}', 'null', '[1]']::jsonb[]"#]),
    ("mood[]", &["ARRAY['fine', 'so \"so\"', '']::mood[]"]),
    ("box[]", &["'{((1,2),(3,4));((5,6),(7,8))}'"]),
    ("int4range[]", &["ARRAY['[1,5)', '(,3)', 'empty']::int4range[]"]),
    ("int4range", &["'[1,5]'", "'(,)'", "'[3,)'", "'empty'"]),
    ("int8range", &["'(1,9007199254740993]'"]),
    ("numrange", &["'[1.50,2.50]'", "'(1,)'"]),
    ("daterange", &["'[2024-01-01,2024-02-29]'", "'[2024-01-01,infinity)'"]),
    ("tsrange", &["'(2024-01-01 00:00:01,2024-02-29 12:34:56.789]'"]),
    ("tstzrange", &["'[2024-01-01 00:00+02,)'"]),
    ("int4range[]", &["'[0:1]={\"[1,2)\",NULL}'"]),
    ("int4multirange", &["'{[1,3),[5,7)}'", "'{}'"]),
    ("nummultirange", &["'{[1.50,2],(3,)}'"]),
    ("datemultirange", &["'{[2024-01-01,2024-02-29],[2025-01-01,infinity)}'"]),
    ("tstzmultirange", &["'{[2024-01-01 00:00+02,2024-01-02)}'"]),
    ("speed", &["'[0.1,1e20)'", "'empty'", "'(,)'"]),
    ("score", &["'[1,5)'", "'empty'"]),
    ("hstore", &[r#"'a=>1, "b c"=>NULL, "d\"e"=>"f\\g"'"#, "''"]),
    ("cents", &["1.5", "0"]),
    ("cents[]", &["'{1.50,NULL,0}'"]),
    ("price", &["1.5", "99.99"]),
    ("prices", &["'{1.5,NULL}'", "'{}'", "'[5:5]={2}'"]),
    ("day", &["'2024-02-29'", "'infinity'"]),
    ("tags", &["'{a,NULL}'", "'{}'", "'{{a,b},{NULL,\"NULL\"}}'"]),
];

/// Both ways must give the same, byte for byte.
fn from_copy_and_stream() {
    let mut case = Case::shared("types");
    case.execute(PREPARE);
    let columns = TYPES.iter().enumerate().fold(String::new(), |mut sql, (at, (ty, _))| {
        let _ = write!(sql, ", c{at} {ty}");
        sql
    });
    case.table("copied", &format!("id serial PRIMARY KEY{columns}"));
    case.table("streamed", &format!("id int PRIMARY KEY{columns}"));
    for table in ["copied", "streamed"] {
        case.execute(&format!("ALTER TABLE {table} REPLICA IDENTITY FULL"));
    }
    let rows = TYPES.iter().map(|(_, values)| values.len()).max().unwrap();
    case.execute("INSERT INTO copied DEFAULT VALUES");
    for row in 0..rows {
        case.execute(&insert(row));
    }
    let _connector = case.run();
    case.compare();
    case.execute("INSERT INTO streamed SELECT * FROM copied");
    case.check();
    same_bytes(&case);
    // Through an old and a new row, and back.
    case.execute("UPDATE streamed SET id = id + 100");
    case.execute("UPDATE streamed SET id = id - 100");
    case.check();
    same_bytes(&case);
}

/// The value number `row` of every type, NULL where there is none.
fn insert(row: usize) -> String {
    let value = |(ty, values): &(&str, &[&str])| match values.get(row) {
        Some(value) => format!("({value})::{ty}"),
        None => "NULL".to_owned(),
    };
    let values: Vec<String> = TYPES.iter().map(value).collect();
    format!("INSERT INTO copied VALUES (DEFAULT, {})", values.join(", "))
}

fn same_bytes(case: &Case) {
    let of = |table: &str| oracle::documents(&case.search, &case.alias(table));
    let (copied, streamed) = (of("copied"), of("streamed"));
    assert!(!copied.is_empty() && copied.len() == streamed.len());
    for (id, document) in copied {
        assert_eq!(document.source, streamed[&id].source, "row {id}");
    }
}

fn numbers_at_random() {
    let mut seed = Seed::new();
    let mut case = Case::shared("numbers");
    case.table("number", "id int PRIMARY KEY, f4 real, f8 double precision, n numeric, s numeric(30, 10)");
    let mut rows = String::new();
    for id in 0..600 {
        let rng = &mut seed.rng;
        let float4 = f32::from_bits(rng.u32(..));
        let float8 = f64::from_bits(rng.u64(..));
        let digits = |rng: &mut fastrand::Rng, most: usize| -> String {
            (0..rng.usize(1..=most)).map(|_| rng.digit(10)).collect()
        };
        let numeric = format!("-{}.{}", digits(rng, 60), digits(rng, 60));
        let scaled = format!("{}.{}", digits(rng, 19), digits(rng, 12));
        let _ = write!(rows, ",({id}, '{float4}', '{float8}', '{numeric}', '{scaled}')");
    }
    let (half, _) = rows.match_indices(",(").nth(300).unwrap();
    case.execute(&format!("INSERT INTO number VALUES {}", &rows[1..half]));
    let _connector = case.run();
    case.compare();
    case.execute(&format!("INSERT INTO number VALUES {}", &rows[half + 1..]));
    case.check();
}

/// The type's OID stays, so nothing in the stream says that there are more values now.
fn an_enum_that_grows() {
    let mut case = Case::shared("enum");
    case.execute("CREATE TYPE step AS ENUM ('new')");
    case.table("task", "id int PRIMARY KEY, step step, steps step[]");
    case.execute("INSERT INTO task VALUES (1, 'new', '{new}')");
    let mut connector = case.run();
    case.execute("ALTER TYPE step ADD VALUE 'sent, \"or\" so' BEFORE 'new'");
    case.execute(
        "INSERT INTO task VALUES (2, 'sent, \"or\" so', ARRAY['new', 'sent, \"or\" so']::step[])",
    );
    case.check();
    case.execute("ALTER TYPE step RENAME VALUE 'new' TO 'old'");
    case.execute("UPDATE task SET step = 'old', steps = '{old}'");
    case.check();
    connector.must_run();
}

/// `postgres-18` comes without libxml: there no such value can be made.
fn xml_where_the_server_has_it() {
    let mut case = Case::shared("xml");
    case.table("page", "id int PRIMARY KEY, body xml, bodies xml[]");
    let insert = r#"INSERT INTO page VALUES ($1, '<?xml version="1.0" encoding="UTF-8"?><a b="ü&amp;">"\ &lt;</a>',
                    ARRAY['<a/>', NULL, 'text']::xml[])"#;
    match case.sql.execute(insert, &[&1_i32]) {
        Ok(_) => assert_eq!(postgres_kind(), "postgres-15"),
        Err(error) => {
            let code = error.code().map(postgres::error::SqlState::code);
            assert_eq!((code, postgres_kind().as_str()), (Some("0A000"), "postgres-18"));
            return;
        }
    }
    let _connector = case.run();
    case.compare();
    case.sql.execute(insert, &[&2_i32]).unwrap();
    case.check();
}

/// The stream does not carry them unless Postgres 18 is asked to, whatever the catalog of 15 says.
fn generated_columns_are_left_out() {
    let mut case = Case::shared("generated");
    case.table("item", "id int PRIMARY KEY, twice int GENERATED ALWAYS AS (id * 2) STORED, name text");
    case.execute("INSERT INTO item (id, name) VALUES (1, 'one')");
    let _connector = case.run();
    case.execute("INSERT INTO item (id, name) VALUES (2, 'two')");
    case.execute("UPDATE item SET id = 3 WHERE id = 1");
    case.settle();
    let alias = case.alias("item");
    for (id, name) in [(2, "two"), (3, "one")] {
        let found = case.search.find(&format!("{alias}/_doc/{id}")).unwrap();
        assert_eq!(found["_source"], serde_json::json!({"id": id, "name": name}));
    }
    assert_eq!(case.search.count(&alias), Some(2));
}
