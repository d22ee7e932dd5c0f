//! What is known of a table of which only DELETEs have come.
//!
//! A DELETE leaves out what is NULL, so under `REPLICA IDENTITY FULL` there are as many kinds of lines as there are
//! patterns of NULLs. Described one by one they would fill the memory: instead the columns of each line are joined to
//! those of the ones before. What must hold:
//! - A description only ever grows, or gets another type for a column: there are at most as many of them as columns, if
//!   nobody alters the table. So a column keeps its place in the description, new ones come last.
//! - Lines name columns in the order of the table, which no single line shows. What is known of it is an order of its
//!   own, and a line that contradicts it sorts the columns that it names, within the positions that they have. With each
//!   such line fewer pairs of columns stand the wrong way round, so in the end all lines fit.

use std::collections::HashMap;

use super::table::Column;
use crate::relation::RelationColumn;

/// Joins the columns that a line names to those that are known. Each of the two is a description and the order in which
/// lines name its columns; the line's are in the same order.
///
/// A column that the line names twice is taken once, so the line does not fit what comes out.
pub(super) fn join(
    known: &[RelationColumn],
    order: &[Column],
    line: Vec<RelationColumn>,
    spelled: Vec<Column>,
) -> (Vec<RelationColumn>, Vec<Column>) {
    let places = places(known, &line);
    let mut described = known.to_vec();
    let mut named = vec![false; known.len()];
    let mut columns = Vec::new();
    for ((column, spelled), place) in line.into_iter().zip(spelled).zip(places) {
        match (described.get_mut(place), named.get_mut(place)) {
            (Some(_), Some(true)) => continue,
            (Some(before), Some(named)) => {
                *before = column;
                *named = true;
            }
            _ => {
                described.push(column);
                named.push(true);
            }
        }
        columns.push(Column { place, ..spelled });
    }
    (described, sort(order, columns, known.len(), &named))
}

/// Where each column of the line is in the description; a new one behind all others.
fn places<'a>(known: &'a [RelationColumn], line: &'a [RelationColumn]) -> Vec<usize> {
    let mut places: HashMap<&str, usize> =
        known.iter().enumerate().map(|(place, column)| (column.name.as_str(), place)).collect();
    let mut next = known.len();
    let mut place = |column| {
        *places.entry(column).or_insert_with(|| {
            next += 1;
            next - 1
        })
    };
    line.iter().map(|column| place(column.name.as_str())).collect()
}

/// The known order, in which the columns that the line names take each other's positions until they are in its order.
/// New ones stand before the next known one of the line, or last.
fn sort(order: &[Column], line: Vec<Column>, known: usize, named: &[bool]) -> Vec<Column> {
    let mut line = line.into_iter();
    let mut sorted = Vec::with_capacity(named.len());
    for column in order {
        if named.get(column.place) != Some(&true) {
            sorted.push(column.clone());
            continue;
        }
        for column in line.by_ref() {
            let new = column.place >= known;
            sorted.push(column);
            if !new {
                break;
            }
        }
    }
    sorted.extend(line);
    sorted
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::relation::ColumnType;
    use crate::test_decoding::value::Form;

    type Known = (Vec<RelationColumn>, Vec<Column>);

    fn line(names: &[&str]) -> Known {
        let describe = |name: &&str| RelationColumn {
            in_identity: false,
            name: (*name).to_owned(),
            ty: ColumnType::Name("text".to_owned()),
        };
        let spell = |(place, name): (usize, &&str)| {
            let head = format!(" {name}[text]:").into_bytes().into();
            Column { head, form: Form::Quoted, place }
        };
        (names.iter().map(describe).collect(), names.iter().enumerate().map(spell).collect())
    }

    fn join_to(known: &mut Known, names: &[&str]) {
        let (described, spelled) = line(names);
        *known = join(&known.0, &known.1, described, spelled);
    }

    fn described(known: &Known) -> Vec<&str> {
        known.0.iter().map(|column| column.name.as_str()).collect()
    }

    /// The names in the order of lines, by way of the places.
    fn ordered(known: &Known) -> Vec<&str> {
        known.1.iter().map(|column| described(known)[column.place]).collect()
    }

    fn fits(known: &Known, names: &[&str]) -> bool {
        let ordered = ordered(known);
        let mut rest = ordered.iter();
        names.iter().all(|name| rest.any(|one| one == name))
    }

    #[test]
    fn the_description_keeps_its_places_and_the_order_follows_the_lines() {
        let mut known = Known::default();
        for (names, columns, order) in [
            (&["c", "e"][..], "ce", "ce"),
            (&["a", "c"], "cea", "ace"),
            (&["e", "f"], "ceaf", "acef"),
            (&["b", "d"], "ceafbd", "acefbd"),
            (&["a", "b", "c", "d"], "ceafbd", "abefcd"),
            (&["a", "b", "c", "d", "e", "f"], "ceafbd", "abcdef"),
            (&["b", "e"], "ceafbd", "abcdef"),
            (&[], "ceafbd", "abcdef"),
        ] {
            join_to(&mut known, names);
            assert_eq!(
                (described(&known).concat(), ordered(&known).concat()),
                (columns.into(), order.into())
            );
            let heads = known.1.iter().map(|column| String::from_utf8_lossy(&column.head));
            assert!(heads.eq(order.chars().map(|name| format!(" {name}[text]:"))));
        }
    }

    #[test]
    fn a_column_that_is_named_twice_counts_once() {
        for before in [&[][..], &["a"], &["b"]] {
            let mut known = Known::default();
            join_to(&mut known, before);
            join_to(&mut known, &["a", "b", "a"]);
            assert_eq!(known.0.len(), 2);
            assert!(fits(&known, &["a", "b"]) && !fits(&known, &["a", "b", "a"]));
        }
    }

    const NAMES: [&str; 12] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];

    proptest! {
        /// Each line that does not fit brings a column or puts a pair right.
        #[test]
        fn lines_soon_fit(lines in vec(0..1_usize << NAMES.len(), 1..300)) {
            let mut known = Known::default();
            let mut misfits = 0;
            for pattern in lines {
                let names = NAMES.iter().enumerate().filter(|(at, _)| pattern & (1 << at) != 0);
                let names: Vec<&str> = names.map(|(_, name)| *name).collect();
                if !fits(&known, &names) {
                    misfits += 1;
                    join_to(&mut known, &names);
                    prop_assert!(fits(&known, &names));
                }
            }
            let len = NAMES.len();
            prop_assert!(misfits <= len + len * (len - 1) / 2);
        }
    }
}
