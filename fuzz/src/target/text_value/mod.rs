//! The text of one value, of the type that the first byte chooses, as a field of a document.
//!
//! The document is JSON in one line or there is none and nothing was written; the memory that writers reuse carries
//! nothing from one row to the next. What else must hold depends on the type: [`form`]. And since random text is hardly
//! ever an array or an hstore, [`built`] makes some of the text.

mod built;
mod form;
mod json;
mod types;

use std::cell::RefCell;

use change::{Cell, Column, OldImage, PgType, ReplicaIdentity, Row, Table, TableName};
use document::{DocumentError, IndexSpec, Plan, Scratch};

use super::Target;

pub use types::{TYPES, of};

/// See the module.
pub static TARGET: Target =
    Target { name: "text_value", rounds: 200_000, run, mutate: crate::bytes };

fn run(data: &[u8]) -> bool {
    let Some((&kind, text)) = data.split_first() else { return false };
    let ty = of(kind);
    let plan = plan(&ty);
    let value = written(&plan, text);
    form::check(&ty, text, value.as_deref().ok());
    if let Ok(value) = &value {
        form::again(&ty, value, |text| written(&plan, text));
    }
    built::check(&ty, text, |text| written(&plan, text));
    value.is_ok()
}

thread_local! {
    static USED: RefCell<Scratch> = RefCell::default();
}

/// The JSON value that `text` becomes.
fn written(plan: &Plan, text: &[u8]) -> Result<String, DocumentError> {
    let data = [b"1", text].concat();
    let (Some(id), Some(value)) = (Cell::text(0, 1), Cell::text(1, text.len())) else {
        panic!("an input of more than 2 GiB");
    };
    let cells = [id, value];
    let row = Row::new(&data, &cells);
    let mut fresh = b"before".to_vec();
    let result = plan.write_source(&row, OldImage::Absent, &mut Scratch::default(), &mut fresh);
    let mut again = b"before".to_vec();
    let with = |scratch: &RefCell<Scratch>| {
        plan.write_source(&row, OldImage::Absent, &mut scratch.borrow_mut(), &mut again)
    };
    assert_eq!(USED.with(with), result);
    assert_eq!(again, fresh, "what is left of other rows makes a difference");
    if let Err(error) = result {
        assert_eq!(fresh, b"before", "an error leaves something behind");
        return Err(error);
    }
    let Ok(document) = String::from_utf8(fresh) else { panic!("a document that is not UTF-8") };
    let value =
        document.strip_prefix("before{\"id\":1,\"v\":").and_then(|rest| rest.strip_suffix('}'));
    let Some(value) = value else { panic!("no document with two fields: {document}") };
    assert!(!value.contains('\n'), "a document of more than one line: {document}");
    assert!(json::is_one_value(value), "no JSON: {document}");
    Ok(value.to_owned())
}

/// A table with a key and a column `v`.
fn plan(ty: &PgType) -> Plan {
    let column = |name: &str, ty: PgType| Column {
        name: name.to_owned(),
        type_name: String::new(),
        bare_type_name: String::new(),
        number: 0,
        type_oid: 0,
        type_modifier: -1,
        not_null: name == "id",
        in_identity: name == "id",
        toastable: false,
        ty,
    };
    let table = Table {
        oid: 16384,
        name: TableName::new("public", "t"),
        columns: vec![column("id", PgType::Int4), column("v", ty.clone())],
        primary_key: vec!["id".to_owned()],
        identity: ReplicaIdentity::Default,
        unpublished: Vec::new(),
        row_filter: None,
        query: None,
        partitioned: false,
    };
    match Plan::new(&table, &IndexSpec::default()) {
        Ok(plan) => plan,
        Err(error) => panic!("{error}"),
    }
}
