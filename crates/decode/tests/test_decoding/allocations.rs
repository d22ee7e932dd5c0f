//! What rows cost in memory.

use change::{Lsn, RowChange, TableName};
use decode::test_decoding::Decoder;
use decode::{Event, Relation};

use crate::support::replaying;

#[test]
fn rows_of_known_tables_allocate_nothing() {
    let mut decoder = replaying();
    let lines: [&[u8]; 6] = [
        b"table public.t: INSERT: id[integer]:1 a[text]:'it''s' b[boolean]:true c[bit]:B'1' d[text]:null",
        b"table public.t: UPDATE: id[integer]:1 a[text]:'x' b[boolean]:true c[bit]:B'1' d[text]:'''y'''",
        b"table public.t: UPDATE: old-key: id[integer]:1 new-tuple: id[integer]:2 a[text]:unchanged-toast-datum \
            b[boolean]:true c[bit]:B'1' d[text]:null",
        b"table public.t: DELETE: id[integer]:2",
        b"table public.\"U\": INSERT: id[integer]:1",
        b"table public.\"V\": DELETE: id[integer]:1",
    ];
    let mut read = || {
        for line in lines {
            assert!(matches!(decoder.replay(line), Ok(Event::Row(..))));
        }
    };
    read();
    let info = allocation_counter::measure(|| (0..100).for_each(|_| read()));
    assert_eq!(info.count_total, 0);
}

#[test]
fn deletes_of_an_unknown_table_soon_allocate_nothing() {
    let mut decoder = replaying();
    // Every pattern of NULLs, those that contradict what seemed to be the order among them.
    let lines: Vec<String> = (0..1_u32 << 8)
        .rev()
        .map(|pattern| {
            let named = (0..8).filter(|bit| pattern & (1 << bit) == 0);
            let columns = named.map(|bit| format!(" c{bit}[integer]:{pattern}"));
            format!("table public.t: DELETE:{}", columns.collect::<String>())
        })
        .collect();
    let mut read = || {
        for line in &lines {
            assert!(matches!(decoder.replay(line.as_bytes()), Ok(Event::Row(..))));
        }
    };
    read();
    let info = allocation_counter::measure(|| (0..10).for_each(|_| read()));
    assert_eq!(info.count_total, 0);
}

#[test]
fn holding_allocates_nothing() {
    let mut decoder = Decoder::new();
    decoder.decode(Lsn::new(8), b"BEGIN 7").unwrap();
    let line = b"table public.t: INSERT: id[integer]:1 a[text]:'it''s'";
    let info = allocation_counter::measure(|| drop(decoder.decode(Lsn::new(8), line).unwrap()));
    assert_eq!(info.count_total, 0);
}

#[test]
fn a_line_costs_no_more_than_a_small_multiple_of_itself() {
    let some = |head: &str, one: &str, many| format!("{head}{}", one.repeat(many)).into_bytes();
    let many = |head: &str, one: &str| some(head, one, 100_000);
    for line in [
        many("table public.t: INSERT:", " a[t]:''"),
        many("table public.t: UPDATE: old-key:", " a[t]:''"),
        many("table public.t: INSERT: a[t]:'", "''"),
        some("table public.t: INSERT:", " a[t]:''''", 1_600),
        many("table public.t: INSERT: \"", "\"\""),
        many("table public.t: INSERT: a[", "[]"),
        many("table a.b", ", a.b"),
        many("message: transactional: 1 prefix: ", ", sz: 1 content:"),
        many("table public.t: INSERT: a[integer]:", "1"),
        many("table public.t: DELETE:", " a[t]:''"),
        many("message: transactional: 1 prefix: table \"", ", sz: 1 content:"),
        some("table public.t: DELETE: a[t]:'' \"", "a", 1 << 20),
    ] {
        let info = allocation_counter::measure(|| drop(replaying().replay(&line).map(|_| ())));
        let limit = 40 * u64::try_from(line.len()).unwrap();
        assert!(
            info.bytes_max < limit,
            "{}: {}",
            String::from_utf8_lossy(&line[..40]),
            info.bytes_max
        );
    }
}

#[test]
fn the_memory_of_a_huge_row_is_given_back() {
    let relation = Relation {
        number: 0,
        oid: None,
        name: TableName::new("public", "t"),
        identity: None,
        columns: vec![crate::support::column("a", "text")],
    };
    let line = |text: &[u8]| {
        let cells = [change::Cell::text(0, text.len()).unwrap()];
        let mut line = Vec::new();
        let new = change::Row::new(text, &cells);
        decode::test_decoding::encode::row(&relation, &RowChange::Insert { new }, &mut line);
        line
    };
    let (huge, small) = (line(&vec![b'\''; 4 << 20]), line(b"it's"));
    let mut decoder = replaying();
    let info = allocation_counter::measure(|| {
        decoder.replay(&huge).unwrap();
        decoder.replay(&small).unwrap();
    });
    assert!(info.bytes_max > 4 << 20);
    assert!(info.bytes_current < 1 << 16, "{}", info.bytes_current);
}
