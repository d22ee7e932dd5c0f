//! A payload is what a field of its column would be, without the name.

use change::{OldImage, PgType};
use document::{DocumentError, IndexSpec, Payload, Plan, PlanError, Scratch};
use proptest::prelude::*;

use crate::support::{table, with_row, written};

fn plan() -> Result<Plan, PlanError> {
    let payload = Payload { column: "v".to_owned(), ..Payload::default() };
    let spec = IndexSpec { payload: Some(payload), ..IndexSpec::default() };
    Plan::new(&table(&[("id", PgType::Int4), ("v", PgType::Json)], 1), &spec)
}

fn document(plan: &Plan, text: &[u8]) -> Result<String, DocumentError> {
    let mut out = Vec::new();
    with_row(&[b"1", text], |row| {
        plan.write_source(&row, OldImage::Absent, &mut Scratch::default(), &mut out)
    })?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Objects and what is nearly one.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: &[&[u8]] = &[
        b"{", b"}", b"[", b"]", b",", b":", b"\"a\"", b"\"a\":", b"null", b"-2.50e3", b" ", b"\n",
        b"{}", b"\xff",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..10).prop_map(|pieces| pieces.concat())
}

fn object() -> impl Strategy<Value = Vec<u8>> {
    let inner = prop_oneof![pieces(), Just(b"1".to_vec()), Just(b"{ \"b\" : [ ] }".to_vec())];
    inner.prop_map(|inner| [b" { \"a\": ", &inner[..], b", \"b\": 1.0 }\n"].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn it_is_the_value_if_that_is_an_object(text in prop_oneof![pieces(), object()]) {
        let plan = plan()?;
        match (document(&plan, &text), written(&PgType::Json, &text)) {
            (Ok(document), value) => {
                prop_assert!(document.starts_with('{'), "{document}");
                prop_assert_eq!(Ok(document), value);
            }
            (Err(_), Ok(value)) => prop_assert!(!value.starts_with('{'), "{value}"),
            (Err(error), Err(other)) => {
                let no_object = matches!(error, DocumentError::Malformed { expected: "a JSON object", .. });
                prop_assert!(no_object || error == other, "{error} {other}");
            }
        }
    }
}

#[test]
fn the_steady_state_allocates_nothing() {
    let (plan, mut scratch, mut out) = (plan().unwrap(), Scratch::default(), Vec::new());
    with_row(&[b"1", br#"{"b": [1, {"c": null}], "a": 1.50, "b": 2}"#], |row| {
        let mut write = || {
            out.clear();
            plan.write_source(&row, OldImage::Absent, &mut scratch, &mut out).unwrap();
        };
        write();
        let info = allocation_counter::measure(|| (0..100).for_each(|_| write()));
        assert_eq!(info.count_total, 0);
    });
}
