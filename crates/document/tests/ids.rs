//! Two keys never share an id, and every id is one that search servers take.

use change::PgType;
use document::{IndexSpec, MAX_ID_BYTES, Plan};
use proptest::prelude::*;

use crate::support::{table, with_row};

fn id(key: &[String]) -> String {
    let names = ["a", "b", "c"];
    let columns: Vec<_> = names.iter().take(key.len()).map(|name| (*name, PgType::Text)).collect();
    let plan = Plan::new(&table(&columns, key.len()), &IndexSpec::default());
    let texts: Vec<_> = key.iter().map(String::as_bytes).collect();
    let mut id = Vec::new();
    let written = with_row(&texts, |row| plan.map(|plan| plan.write_id(&row, &mut id)));
    assert!(matches!(written, Ok(Ok(()))), "{written:?}");
    String::from_utf8_lossy(&id).into_owned()
}

/// Texts of the bytes that ids are built of, some of them long, so that two encodings come close to each other.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => r#"["\[\],\\ a]{0,4}"#,
        1 => any::<String>(),
        1 => Just("sha256:".to_owned()),
        1 => (500..520usize).prop_map(|len| "x".repeat(len)),
    ];
    prop::collection::vec(part, 0..3).prop_map(|parts| parts.concat())
}

fn keys(columns: usize) -> impl Strategy<Value = (Vec<String>, Vec<String>)> {
    (prop::collection::vec(text(), columns), prop::collection::vec(text(), columns))
}

proptest! {
    #[test]
    fn different_keys_have_different_ids((one, two) in (1..=3usize).prop_flat_map(keys)) {
        prop_assert_eq!(one == two, id(&one) == id(&two), "{:?} {:?}", one, two);
    }

    #[test]
    fn an_id_of_a_single_key_is_not_the_id_of_its_id(key in text()) {
        let once = id(std::slice::from_ref(&key));
        prop_assert_eq!(once == key, id(std::slice::from_ref(&once)) == once);
    }

    #[test]
    fn every_id_is_of_a_length_that_servers_take(key in prop::collection::vec(text(), 1..=3)) {
        prop_assert!((1..=MAX_ID_BYTES).contains(&id(&key).len()));
    }

    #[test]
    fn a_shift_between_columns_shows(text in r#"[a,"\[\]\\|-]{1,8}"#, at in 0..8usize, to in 0..8usize) {
        let split = |at: usize| {
            let (left, right) = text.split_at(at.min(text.len()));
            vec![left.to_owned(), right.to_owned()]
        };
        let (one, two) = (split(at), split(to));
        prop_assert_eq!(one == two, id(&one) == id(&two));
    }
}
