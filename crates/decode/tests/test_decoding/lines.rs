//! Lines as servers wrote them, byte by byte.

use change::{Lsn, OldImage, RowChange, TableName, TruncateOptions};
use decode::test_decoding::Decoder;
use decode::{Event, Fault, LogicalMessage};

use crate::support::{Image, described, replay, replaying, values};

/// Of Postgres 15 and 18, with a column of every form.
const INSERT: &str = r#"table public.t: INSERT: id[integer]:1 "Na.me"[character varying]:'it''s '' x[integer]:1' x[integer]:null big[text]:'abab' b[boolean]:true bs[boolean[]]:'{t,f,NULL}' y[public.yes]:'t' bi[bit]:B'101' vb[bit varying]:B'' n[numeric]:NaN f4[real]:-Infinity f8[double precision]:1e+300 ts[timestamp with time zone]:'2024-02-29 12:34:56.789+00' d["char"]:'c' w[public."we]ird:"[]]:'{"a b",c}' m["S c".mood]:'o''k' o[oid]:7 "new-tuple"[text]:'a
b new-tuple: c' "q""u"[text]:'back\slash' ia[integer[]]:'{1,NULL}' i8[bigint]:-9223372036854775808 i2[smallint]:-3 by[bytea]:'\x00ff' iv[interval]:'1 day 02:03:00' j[jsonb]:'{"a": "it''s"}' "ünï"[text]:'é' cost[money]:'$12.50'"#;

const COLUMNS: [&str; 27] = [
    "id integer",
    "Na.me character varying",
    "x integer",
    "big text",
    "b boolean",
    "bs boolean[]",
    "y public.yes",
    "bi bit",
    "vb bit varying",
    "n numeric",
    "f4 real",
    "f8 double precision",
    "ts timestamp with time zone",
    "d \"char\"",
    "w public.\"we]ird:\"[]",
    "m \"S c\".mood",
    "o oid",
    "new-tuple text",
    "q\"u text",
    "ia integer[]",
    "i8 bigint",
    "i2 smallint",
    "by bytea",
    "iv interval",
    "j jsonb",
    "ünï text",
    "cost money",
];

const VALUES: [&str; 27] = [
    "1",
    "it's ' x[integer]:1",
    "-",
    "abab",
    "t",
    "{t,f,NULL}",
    "t",
    "101",
    "",
    "NaN",
    "-Infinity",
    "1e+300",
    "2024-02-29 12:34:56.789+00",
    "c",
    "{\"a b\",c}",
    "o'k",
    "7",
    "a\nb new-tuple: c",
    "back\\slash",
    "{1,NULL}",
    "-9223372036854775808",
    "-3",
    "\\x00ff",
    "1 day 02:03:00",
    "{\"a\": \"it's\"}",
    "é",
    "$12.50",
];

#[test]
fn insert_of_every_form() {
    let mut decoder = replaying();
    // the second time the columns are known
    for _ in 0..2 {
        let change = replay(&mut decoder, INSERT.as_bytes()).unwrap();
        assert_eq!((change.action, change.image), ("INSERT", Image::Absent));
        assert_eq!(change.relation.name, TableName::new("public", "t"));
        assert_eq!((change.relation.number, change.relation.oid), (0, None));
        assert_eq!(change.relation.identity, None);
        assert_eq!(described(&change.relation), COLUMNS);
        assert_eq!(change.new, values(&VALUES));
    }
}

#[test]
fn update_without_an_old_row() {
    let mut decoder = replaying();
    let line =
        b"table public.t: UPDATE: id[integer]:1 b[boolean]:false big[text]:unchanged-toast-datum";
    let change = replay(&mut decoder, line).unwrap();
    assert_eq!((change.action, change.image), ("UPDATE", Image::Absent));
    assert_eq!(change.new, values(&["1", "f", "~"]));
}

#[test]
fn update_of_the_key_leaves_what_is_unchanged_unknown() {
    let line =
        b"table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 x[integer]:null \
        big[text]:unchanged-toast-datum";
    let change = replay(&mut replaying(), line).unwrap();
    assert_eq!(change.image, Image::Key);
    assert_eq!(change.old, values(&["1", "-", "~"]));
    assert_eq!(change.new, values(&["2", "-", "~"]));
}

#[test]
fn full_identity_shows_what_is_unchanged() {
    let line = b"table public.t: UPDATE: old-key: id[integer]:1 a[text]:'it''s' big[text]:'b''ig' \
        new-tuple: id[integer]:1 a[text]:'' x[integer]:3 big[text]:unchanged-toast-datum c[text]:unchanged-toast-datum";
    let change = replay(&mut replaying(), line).unwrap();
    assert_eq!(change.image, Image::Full);
    assert_eq!(change.old, values(&["1", "it's", "-", "b'ig", "~"]));
    assert_eq!(change.new, values(&["1", "", "3", "~", "~"]));
}

#[test]
fn an_old_row_of_nothing_but_nulls() {
    let line = b"table public.t: UPDATE: old-key: new-tuple: a[integer]:1";
    let change = replay(&mut replaying(), line).unwrap();
    assert_eq!((change.image, change.old), (Image::Key, values(&["-"])));
}

#[test]
fn an_old_row_must_fit_the_new_one() {
    let mut decoder = replaying();
    for (line, at) in [
        ("table public.t: UPDATE: old-key: b[integer]:1 new-tuple: a[integer]:1", 32),
        ("table public.t: UPDATE: old-key: a[text]:'1' new-tuple: a[integer]:1", 32),
        (
            "table public.t: UPDATE: old-key: b[text]:'' a[text]:'' new-tuple: a[text]:'' b[text]:''",
            43,
        ),
    ] {
        let error = replay(&mut decoder, line.as_bytes()).unwrap_err();
        assert_eq!(error.fault, Fault::Expected("a column that the new row has"));
        assert_eq!(error.position, at);
    }
}

#[test]
fn a_delete_takes_its_places_from_the_table() {
    let mut decoder = replaying();
    let first = b"table public.t: INSERT: a[text]:'x' id[integer]:1 k[text]:'y'";
    let number = replay(&mut decoder, first).unwrap().relation.number;
    let change =
        replay(&mut decoder, b"table public.t: DELETE: id[integer]:1 k[text]:'''z'").unwrap();
    assert_eq!((change.action, change.image), ("DELETE", Image::Key));
    assert_eq!(change.relation.number, number);
    assert_eq!(change.old, values(&["-", "1", "'z"]));
}

#[test]
fn a_delete_that_the_known_columns_do_not_fit_describes_itself() {
    let mut decoder = replaying();
    replay(&mut decoder, b"table public.t: INSERT: id[integer]:1 a[text]:'x'").unwrap();
    let change = replay(&mut decoder, b"table public.t: DELETE: id[bigint]:1").unwrap();
    assert_eq!(change.relation.number, 1);
    assert_eq!(described(&change.relation), ["id bigint"]);
    assert_eq!(change.old, values(&["1"]));
    // nothing about this table is known
    let change =
        replay(&mut decoder, b"table public.u: DELETE: id[integer]:2 c[text]:'3'").unwrap();
    assert_eq!(described(&change.relation), ["id integer", "c text"]);
    assert_eq!(change.old, values(&["2", "3"]));
    // and what is known of it stays where the next line names less
    let change = replay(&mut decoder, b"table public.u: DELETE: c[text]:'4'").unwrap();
    assert_eq!((change.relation.number, change.old), (2, values(&["-", "4"])));
}

#[test]
fn columns_come_and_go() {
    let mut decoder = replaying();
    let mut number = |line: &str| {
        let change = replay(&mut decoder, line.as_bytes()).unwrap();
        (change.relation.number, described(&change.relation).len())
    };
    assert_eq!(number("table a.t: INSERT: a[integer]:1 b[text]:'2'"), (0, 2));
    assert_eq!(number("table a.t: INSERT: a[integer]:1 b[text]:'2' c[text]:null"), (1, 3));
    assert_eq!(number("table a.t: INSERT: a[integer]:1"), (2, 1));
    assert_eq!(number("table a.t: INSERT: a[bigint]:1"), (3, 1));
    assert_eq!(number("table a.u: INSERT: a[bigint]:1"), (4, 1));
    assert_eq!(number("table a.t: INSERT: a[integer]:1 b[text]:'2'"), (5, 2));
    assert_eq!(number("table a.\"t\": INSERT: a[integer]:1 b[text]:'2'"), (5, 2));
}

#[test]
fn a_table_without_columns() {
    let mut decoder = replaying();
    for (line, action) in [
        ("table public.nocols: INSERT:", "INSERT"),
        ("table public.nocols: UPDATE: old-key: new-tuple:", "UPDATE"),
        ("table public.nocols: DELETE:", "DELETE"),
    ] {
        let change = replay(&mut decoder, line.as_bytes()).unwrap();
        assert_eq!((change.action, change.old.len(), change.new.len()), (action, 0, 0));
    }
}

#[test]
fn a_change_without_its_row_tells_only_the_table() {
    let mut decoder = replaying();
    replay(&mut decoder, b"table public.t: INSERT: id[integer]:1").unwrap();
    for action in ["DELETE", "UPDATE", "INSERT"] {
        let line = format!("table public.t: {action}: (no-tuple-data)");
        let Event::Row(op, relation) = decoder.replay(line.as_bytes()).unwrap() else { panic!() };
        assert!(matches!(op.change, RowChange::Delete { old: OldImage::Absent }));
        assert_eq!((relation.name.name.as_str(), relation.columns.len()), ("t", 0));
    }
    let line = b"table public.t: UPDATE: old-key: id[integer]:1 new-tuple: (no-tuple-data)";
    replay(&mut decoder, line).unwrap_err();
    let row = replay(&mut decoder, b"table public.t: INSERT: id[integer]:2").unwrap();
    assert_eq!(row.new.len(), 1);
}

#[test]
fn truncates() {
    for (line, names, restart_identity, cascade) in [
        ("table public.t: TRUNCATE: (no-flags)", vec![("public", "t")], false, false),
        (
            "table public.a, public.\"B, c\": TRUNCATE: restart_seqs",
            vec![("public", "a"), ("public", "B, c")],
            true,
            false,
        ),
        ("table \"x:\".a: TRUNCATE: cascade", vec![("x:", "a")], false, true),
        (
            "table s.a, s.b: TRUNCATE: restart_seqs cascade",
            vec![("s", "a"), ("s", "b")],
            true,
            true,
        ),
    ] {
        let mut decoder = replaying();
        let Event::Truncate(truncate) = decoder.replay(line.as_bytes()).unwrap() else { panic!() };
        assert_eq!(truncate.options, TruncateOptions { restart_identity, cascade });
        let got: Vec<_> =
            truncate.tables.iter().map(|one| (&*one.name.schema, &*one.name.name)).collect();
        assert_eq!(got, names);
        assert!(truncate.tables.iter().all(|table| table.oid.is_none()));
    }
}

#[test]
fn messages() {
    for (line, transactional, prefix, content) in [
        ("message: transactional: 0 prefix: p, sz: 3 content:abc", false, "p", "abc"),
        ("message: transactional: 0 prefix: , sz: 0 content:", false, "", ""),
        ("message: transactional: 0 prefix: q, sz: 4 content:a\nb ", false, "q", "a\nb "),
        // this one was outside of a transaction: Postgres 15
        (
            "message: transactional: 1 prefix: p, sz: 1 content:, sz: 2 content:, ",
            true,
            "p, sz: 1 content:",
            ", ",
        ),
        (
            "message: transactional: 0 prefix: p, sz: 17 content:, sz: 1 content:x",
            false,
            "p",
            ", sz: 1 content:x",
        ),
    ] {
        let mut decoder = Decoder::new();
        let Event::Message(got) = decoder.decode(Lsn::new(9), line.as_bytes()).unwrap() else {
            panic!()
        };
        let content = content.as_bytes();
        assert_eq!(
            got,
            LogicalMessage { transactional, lsn: Lsn::new(9), prefix, content },
            "{line}"
        );
    }
}

#[test]
fn broken_lines() {
    for (line, position, fault) in [
        ("table public.t", 14, Fault::Expected("a colon after the table")),
        ("table public: INSERT:", 12, Fault::Expected("a dot between schema and table")),
        ("table public.t: UPSERT:", 15, Fault::Expected("INSERT, UPDATE, DELETE or TRUNCATE")),
        ("table public.t: INSERT: id[integer]:1  ", 38, Fault::Expected("a name")),
        ("table public.t: INSERT: id[text]:'it''s", 34, Fault::Truncated("a value in quotes")),
        ("table public.t: INSERT: id[text]:'x'y", 36, Fault::Expected("a space and a column")),
        ("table public.t: UPDATE: old-key: id[integer]:1", 46, Fault::Truncated("the old row")),
        ("table public.t: TRUNCATE:", 25, Fault::Expected("the options of TRUNCATE")),
        (
            "table public.t, : TRUNCATE: cascade",
            14,
            Fault::Expected("\": TRUNCATE:\" after the tables"),
        ),
        ("table public.t: TRUNCATE: cascade x", 33, Fault::Expected("the end of the line")),
        (
            "message: transactional: 1 prefix: p, sz: 3 content:ab",
            34,
            Fault::Expected("a prefix, a length and a content"),
        ),
        ("BEGIN 7", 0, Fault::OutOfPlace("no line that is ever held")),
    ] {
        let error = replaying().replay(line.as_bytes()).map(|_| ()).unwrap_err();
        assert_eq!((error.position, &error.fault), (position, &fault), "{line}");
    }
}

#[test]
fn errors_read_well() {
    let error = replaying().replay(b"table public.t: INSERT: id[text]:1").map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "table line of public.t, byte 33: a value in quotes expected");
    let error = replaying().replay(b"table public").map(|_| ()).unwrap_err();
    assert_eq!(error.to_string(), "table line, byte 12: a dot between schema and table expected");
}

#[test]
fn errors_name_the_table_if_the_line_does() {
    let t = TableName::new("public", "t");
    for (line, name) in [
        (&b"table public.t: UPSERT:"[..], Some(&t)),
        (b"table public.t: INSERT: id[integer", Some(&t)),
        (b"table public.t: INSERT: a[text]:'\xff", Some(&t)),
        (b"table public.t: INSERT: \"\xff\"[text]:''", Some(&t)),
        (b"table public.t: UPDATE: old-key: b[text]:'' new-tuple: a[text]:''", Some(&t)),
        (b"table public.t: DELETE: a[text]:'' a[text]:''", Some(&t)),
        (b"table public.t: TRUNCATE: x", Some(&t)),
        (b"table \"S c\".\"a\"\":\": UPSERT:", Some(&TableName::new("S c", "a\":"))),
        // It may go on, there are two, it is no name.
        (b"table public.t", None),
        (b"table public.t, public.u: UPSERT:", None),
        (b"table public.\"\xff\": INSERT:", None),
        (b"table T.t: INSERT:", None),
        (b"message: transactional: 1 prefix: table public.t: x", None),
    ] {
        let error = replaying().replay(line).map(|_| ()).unwrap_err();
        assert_eq!(error.relation.as_deref(), name, "{error}");
        // The second time the table may be known.
        let mut decoder = replaying();
        let _ = decoder.replay(b"table public.t: INSERT: a[text]:''").map(|_| ());
        let error = decoder.replay(line).map(|_| ()).unwrap_err();
        assert_eq!(error.relation.as_deref(), name, "{error}");
    }
    let outside = Decoder::new().decode(Lsn::new(8), b"table public.t: INSERT:").map(|_| ());
    assert_eq!(outside.unwrap_err().relation.as_deref(), Some(&t));
}
