//! Tables of which DELETEs come before anything else, each with the columns only that are not NULL.

use crate::support::{Change, Image, Owned, described, replay, replaying, values};

/// The DELETE of a table of `names` whose columns at the bits of `pattern` are not NULL, and its values by name.
fn delete(names: &[&str], pattern: usize) -> (String, Vec<(String, Owned)>) {
    let named = names.iter().enumerate().filter(|(at, _)| pattern & (1 << at) != 0);
    let (mut line, mut values) = ("table public.t: DELETE:".to_owned(), Vec::new());
    for (_, name) in named {
        let value = format!("{name} {pattern}");
        line += &format!(" {name}[text]:'{value}'");
        values.push(((*name).to_owned(), Owned::Text(value.into_bytes())));
    }
    (line, values)
}

/// What a change says of the old row: each value that is not NULL by its column's name, in the order of the names.
fn old_values(change: &Change) -> Vec<(String, Owned)> {
    let names = change.relation.columns.iter().map(|column| column.name.clone());
    let values = names.zip(change.old.iter().cloned());
    let mut values: Vec<_> = values.filter(|(_, value)| *value != Owned::Null).collect();
    values.sort_by(|a, b| a.0.cmp(&b.0));
    values
}

#[test]
fn deletes_of_every_pattern_of_nulls_need_a_description_per_column_at_most() {
    const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let all = 1 << NAMES.len();
    // rising, falling, mixed
    for step in [1, all - 1, 101] {
        let mut decoder = replaying();
        let mut last = 0;
        for round in 0..2 {
            for at in 0..all {
                let (line, values) = delete(&NAMES, (at * step) % all);
                let change = replay(&mut decoder, line.as_bytes()).unwrap();
                assert_eq!((change.action, change.image), ("DELETE", Image::Key));
                assert_eq!(old_values(&change), values, "{line}");
                // The first one is of no columns at all.
                assert!(change.relation.number <= 8, "{line}");
                assert!(round == 0 || change.relation.number == last, "{line}");
                last = change.relation.number;
            }
        }
    }
}

#[test]
fn deletes_are_described_anew_when_a_column_is_another_one() {
    let mut decoder = replaying();
    let mut read = |line: &str| {
        let line = format!("table public.t: {line}");
        let change = replay(&mut decoder, line.as_bytes()).unwrap();
        (change.relation.number, described(&change.relation).join(", "), change.old)
    };
    let expected = |number, columns: &str, old: &[&str]| (number, columns.to_owned(), values(old));
    assert_eq!(read("DELETE: b[text]:'1'"), expected(0, "b text", &["1"]));
    let (number, columns, _) = read("DELETE: a[text]:'2'");
    assert_eq!((number, columns.as_str()), (1, "b text, a text"));
    // the order of lines is not that of the description
    let both = read("DELETE: a[text]:'3' b[text]:'4'");
    assert_eq!(both, expected(1, "b text, a text", &["4", "3"]));
    // another type
    let altered = read("DELETE: b[integer]:5");
    assert_eq!(altered, expected(2, "b integer, a text", &["5", "-"]));
    assert_eq!(read("DELETE: a[text]:'6'"), expected(2, "b integer, a text", &["-", "6"]));
    // an INSERT shows all there is, and in its order
    assert_eq!(read("INSERT: a[text]:null b[integer]:7"), expected(3, "a text, b integer", &[]));
    assert_eq!(read("INSERT: b[integer]:7 a[text]:'8'"), expected(4, "b integer, a text", &[]));
    assert_eq!(read("INSERT: a[text]:null b[integer]:7"), expected(5, "a text, b integer", &[]));
    assert_eq!(read("DELETE: b[integer]:9"), expected(5, "a text, b integer", &["-", "9"]));
    // what an INSERT has shown is not joined to what a later DELETE shows
    assert_eq!(read("DELETE: c[text]:'10'"), expected(6, "c text", &["10"]));
    assert_eq!(read("DELETE: b[integer]:11"), expected(7, "c text, b integer", &["-", "11"]));
    // and an UPDATE does as an INSERT
    let new = "a[text]:'12' b[integer]:null c[text]:null";
    let update = read(&format!("UPDATE: old-key: c[text]:'13' new-tuple: {new}"));
    assert_eq!(update, expected(8, "a text, b integer, c text", &["-", "-", "13"]));
    assert_eq!(
        read("DELETE: c[text]:'14'"),
        expected(8, "a text, b integer, c text", &["-", "-", "14"])
    );
}
