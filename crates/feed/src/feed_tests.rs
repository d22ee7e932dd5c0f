//! Whole sessions, in the words of each plugin.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use change::{Column, CommitLsn, PgType, ReplicaIdentity, Table};
use document::{IndexSpec, Payload, Plan};

use super::*;
use crate::Resync;

/// Writes down what it is told.
#[derive(Default)]
struct Log {
    lines: Vec<String>,
    changes: u32,
}

impl Sink for Log {
    type Change = u32;

    fn begin(&mut self, commit: CommitLsn, _: u32, _: Duration) {
        self.changes = 0;
        self.lines.push(format!("begin {commit}"));
    }

    fn change(&mut self) -> u32 {
        self.changes += 1;
        self.changes
    }

    fn index(
        &mut self,
        at: usize,
        id: &[u8],
        change: u32,
        source: impl FnOnce(&mut Vec<u8>) -> Result<(), DocumentError>,
    ) -> Result<(), DocumentError> {
        let mut out = Vec::new();
        source(&mut out)?;
        let (id, out) = (String::from_utf8_lossy(id), String::from_utf8_lossy(&out));
        self.lines.push(format!("{change}: {at}/{id} {out}"));
        Ok(())
    }

    fn partial(
        &mut self,
        at: usize,
        id: &[u8],
        before: Option<&[u8]>,
        change: u32,
        partial: &Partial,
    ) {
        let [id, before, source] =
            [id, before.unwrap_or(id), &partial.source].map(String::from_utf8_lossy);
        let holes: Vec<_> = partial.holes.iter().map(|hole| &*hole.field).collect();
        self.lines.push(format!("{change}: {at}/{id} {source} with {holes:?} of {before}"));
    }

    fn refuse(&mut self, at: usize, id: &[u8], change: u32, error: &DocumentError) {
        self.lines.push(format!("{change}: {at}/{} {error}", String::from_utf8_lossy(id)));
    }

    fn delete(&mut self, at: usize, id: &[u8], change: u32) {
        self.lines.push(format!("{change}: {at}/{} gone", String::from_utf8_lossy(id)));
    }

    fn shape(&mut self, at: usize, shape: &Shape) {
        self.lines
            .push(format!("shape of {at}: {:?}", shape.0.last().map(|column| column.modifier)));
    }

    fn commit(&mut self, end: Lsn) {
        self.lines.push(format!("commit {end}"));
    }
}

struct TempDir(PathBuf);

impl TempDir {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        TempDir(std::env::temp_dir().join(format!("wal2es-feed-{}-{number}", std::process::id())))
    }

    fn spool(&self) -> Spool {
        Spool::open(&self.0, 1 << 20).unwrap()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `public.name` with an integer `id` and a varchar(10) `a`.
fn table(oid: u32, name: &str) -> Table {
    let column = |name: &str, ty, bare: &str, type_oid, type_modifier| Column {
        name: name.into(),
        ty,
        type_name: bare.into(),
        bare_type_name: bare.into(),
        number: 0,
        type_oid,
        type_modifier,
        not_null: name == "id",
        in_identity: name == "id",
        toastable: false,
    };
    Table {
        oid,
        name: TableName::new("public", name),
        columns: vec![
            column("id", PgType::Int4, "integer", 23, -1),
            column("a", PgType::Text, "character varying", 1043, 14),
        ],
        unpublished: vec!["made".into()],
        primary_key: vec!["id".into()],
        identity: ReplicaIdentity::Default,
        row_filter: None,
        query: None,
        partitioned: false,
    }
}

struct Made {
    tables: Vec<Table>,
    plans: Vec<Plan>,
    spec: IndexSpec,
    since: Lsn,
}

impl Made {
    fn new(spec: IndexSpec) -> Self {
        let tables = vec![table(0x4000, "t"), table(0x4001, "u")];
        let plans = tables.iter().map(|table| Plan::new(table, &spec).unwrap()).collect();
        Made { tables, plans, spec, since: Lsn::ZERO }
    }

    fn followed(&self) -> Vec<Followed<'_>> {
        let pairs = self.tables.iter().zip(&self.plans);
        let (spec, since) = (&self.spec, self.since);
        pairs.map(|(table, plan)| Followed { table, plan, spec, since }).collect()
    }

    fn shapes(&self) -> Vec<Shape> {
        self.followed().iter().map(|one| Shape::of(one.table, one.plan)).collect()
    }
}

/// Reads whole transactions of test_decoding's lines. `known` answers when a name is looked up.
fn text(
    made: &Made,
    transactions: &[&[&str]],
    known: impl Fn(&TableName) -> Known,
) -> Result<Vec<String>, FeedError> {
    let dir = TempDir::new();
    let mut spool = dir.spool();
    let mut feed = Feed::test_decoding(made.followed(), made.shapes(), &mut spool);
    let mut log = Log::default();
    for (number, lines) in (1..).zip(transactions) {
        let end = Lsn::new(0x1000 * number);
        assert_eq!(feed.take(&mut log, Lsn::ZERO, b"BEGIN 7")?, Taken::Done);
        for line in *lines {
            assert_eq!(feed.take(&mut log, Lsn::ZERO, line.as_bytes())?, Taken::Done);
        }
        let commit = b"COMMIT 7 (at 2024-02-29 12:34:56+00)";
        assert_eq!(feed.take(&mut log, end, commit)?, Taken::Released);
        while let Some(mut taken) = feed.released(&mut log)? {
            while let Taken::Lookup { name, .. } = taken {
                log.lines.push(format!("what is {name}?"));
                feed.learn(name.clone(), known(&name));
                taken = feed.again(&mut log)?;
            }
            if let Taken::Truncated(emptied) = taken {
                log.lines.push(format!("emptied {emptied:?}"));
            }
        }
    }
    Ok(log.lines)
}

fn other(_: &TableName) -> Known {
    Known::Other
}

fn needs_resync(result: Result<Vec<String>, FeedError>) -> String {
    match result {
        Err(FeedError::Resync(Resync { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_an_index_has_already_is_passed_over_and_counted() {
    let made = Made { since: Lsn::new(0x1800), ..Made::new(IndexSpec::default()) };
    let lines = text(
        &made,
        &[
            // In a shape that would need a resync, were it not before the index was made.
            &[
                "table public.t: INSERT: id[integer]:1 a[integer]:7",
                "table public.t: TRUNCATE: (no-flags)",
            ],
            &["table public.t: INSERT: id[integer]:2 a[character varying]:'b'"],
        ],
        other,
    );
    let made = r#"1: 0/2 {"id":2,"a":"b"}"#;
    assert_eq!(
        lines.unwrap(),
        ["begin 0/FF8", "commit 0/1000", "begin 0/1FF8", made, "commit 0/2000"]
    );
}

#[test]
fn a_value_that_was_left_alone_is_that_of_the_document_before() {
    let made = Made::new(IndexSpec::default());
    let lines = text(
        &made,
        &[&[
            "table public.t: UPDATE: id[integer]:1 a[character varying]:unchanged-toast-datum",
            "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 a[character varying]:unchanged-toast-datum",
        ]],
        other,
    );
    assert_eq!(
        lines.unwrap()[1..4],
        [
            r#"1: 0/1 {"id":1,"a":} with ["a"] of 1"#,
            r#"2: 0/2 {"id":2,"a":} with ["a"] of 1"#,
            "2: 0/1 gone",
        ]
    );
}

#[test]
fn a_transaction_in_text() {
    let made = Made::new(IndexSpec::default());
    let lines = text(
        &made,
        &[&[
            "table public.t: INSERT: id[integer]:1 a[character varying]:'it''s'",
            "table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 a[character varying]:null",
            "table public.u: DELETE: id[integer]:5",
            "table public.u, public.t: TRUNCATE: (no-flags)",
        ]],
        other,
    );
    assert_eq!(
        lines.unwrap(),
        [
            "begin 0/FF8",
            r#"1: 0/1 {"id":1,"a":"it's"}"#,
            r#"2: 0/2 {"id":2,"a":null}"#,
            "2: 0/1 gone",
            "3: 1/5 gone",
            "emptied [1, 0]",
            "commit 0/1000",
        ]
    );
}

#[test]
fn columns_are_found_by_their_names() {
    let made = Made::new(IndexSpec::default());
    let line = "table public.t: INSERT: a[character varying]:'x' made[integer]:7 id[integer]:1";
    let lines = text(&made, &[&[line]], other).unwrap();
    assert_eq!(lines[1], r#"1: 0/1 {"id":1,"a":"x"}"#);
}

#[test]
fn every_row_counts_also_of_tables_that_nobody_follows() {
    let made = Made::new(IndexSpec::default());
    let (noise, row) = (
        "table public.noise: INSERT: id[integer]:1",
        "table public.t: INSERT: id[integer]:1 a[character varying]:'x'",
    );
    let lines = text(&made, &[&[noise, noise, row], &[noise, row]], other).unwrap();
    assert_eq!(lines[1], "what is public.noise?");
    assert_eq!(lines[2], r#"3: 0/1 {"id":1,"a":"x"}"#);
    assert_eq!(lines[5], r#"2: 0/1 {"id":1,"a":"x"}"#, "the name is asked for once: {lines:?}");
}

#[test]
fn partitions_write_to_the_index_of_their_root() {
    let made = Made::new(IndexSpec::default());
    let part = |_: &TableName| Known::Part(1);
    let row = "table public.u_1: INSERT: id[integer]:1 a[character varying]:'x'";
    let whole = "table public.u_1, public.u: TRUNCATE: (no-flags)";
    let lines = text(&made, &[&[row, whole]], part).unwrap();
    assert_eq!(lines[2], r#"1: 1/1 {"id":1,"a":"x"}"#);
    assert_eq!(lines[3], "emptied [1]");
    let alone = "table public.u_1: TRUNCATE: (no-flags)";
    assert_eq!(
        needs_resync(text(&made, &[&[row, alone]], part)),
        "its partition public.u_1 was truncated alone"
    );
}

#[test]
fn a_changed_table_needs_a_resync_unless_documents_do_not_show_it() {
    let all = Made::new(IndexSpec::default());
    let chosen = Made::new(IndexSpec { columns: Some(vec!["id".into()]), ..IndexSpec::default() });
    let without = Made::new(IndexSpec { exclude: vec!["a".into()], ..IndexSpec::default() });
    let row = |columns: &str| {
        format!("table public.t: INSERT: id[integer]:1 {columns}").trim_end().to_owned()
    };
    let resync =
        |made: &Made, columns: &str| needs_resync(text(made, &[&[row(columns).as_str()]], other));
    let fine = |made: &Made, columns: &str| {
        text(made, &[&[row(columns).as_str()]], other).unwrap()[1].clone()
    };
    let a = "a[character varying]:'x'";
    // Whether it is published the line does not say: the catalog will.
    assert_eq!(fine(&all, &format!("{a} b[integer]:2")), r#"1: 0/1 {"id":1,"a":"x"}"#);
    assert_eq!(fine(&chosen, &format!("{a} b[integer]:2")), r#"1: 0/1 {"id":1}"#);
    assert_eq!(fine(&without, a), r#"1: 0/1 {"id":1}"#);
    assert_eq!(fine(&without, ""), r#"1: 0/1 {"id":1}"#);
    assert_eq!(resync(&all, ""), "column \"a\" was dropped or renamed");
    assert_eq!(resync(&all, "a[text]:'x'"), "column \"a\" was of type text, not character varying");
    assert_eq!(fine(&chosen, "a[text]:'x'"), r#"1: 0/1 {"id":1}"#);
}

#[test]
fn another_type_of_the_payload_is_noticed() {
    let mut table = table(0x4000, "t");
    table.columns[1].ty = PgType::Jsonb;
    let payload = Some(Payload { column: "a".into(), ..Payload::default() });
    let plan = Plan::new(&table, &IndexSpec { payload, ..IndexSpec::default() }).unwrap();
    let jsonb = Shape::of(&table, &plan);
    table.columns[1].type_oid = 114;
    let broken = jsonb.broken_by(&Shape::of(&table, &plan));
    assert_eq!(broken.unwrap(), "the type of column \"a\" changed (OID 1043 to 114)");
}

#[test]
fn a_change_without_its_row_stops_only_where_it_matters() {
    let made = Made::new(IndexSpec::default());
    let noise = "table public.noise: DELETE: (no-tuple-data)";
    assert_eq!(text(&made, &[&[noise]], other).unwrap().len(), 3);
    let broken = needs_resync(text(&made, &[&["table public.t: DELETE: (no-tuple-data)"]], other));
    assert_eq!(broken, "a delete does not show column \"id\" of the id");
}

#[test]
fn a_delete_that_names_only_the_key_does_not_hide_a_later_change() {
    let made = Made::new(IndexSpec::default());
    let gone = "table public.t: DELETE: id[integer]:1";
    let row = "table public.t: INSERT: id[integer]:1";
    assert_eq!(text(&made, &[&[gone, gone]], other).unwrap()[1..3], ["1: 0/1 gone", "2: 0/1 gone"]);
    let broken = needs_resync(text(&made, &[&[gone, row]], other));
    assert_eq!(broken, "column \"a\" was dropped or renamed");
}

/// A table that had the name before the followed one was made.
#[test]
fn rows_of_a_table_of_before_are_passed_over_as_well() {
    let made = Made { since: Lsn::new(0x1800), ..Made::new(IndexSpec::default()) };
    let mut tables = Tables::new(made.followed(), made.shapes(), true);
    let before = Relation {
        number: 0,
        oid: Some(0x3FFF),
        name: TableName::new("public", "t"),
        identity: None,
        columns: Vec::new(),
    };
    assert!(tables.is_ahead(&before, Lsn::new(0x1700)));
    assert!(!tables.is_ahead(&before, Lsn::new(0x1800)));
    let found = tables.find(&before, false, Lsn::new(0x1800), &mut None);
    assert!(matches!(found, Err(FeedError::Resync(_))), "it has come after the followed one");
}
