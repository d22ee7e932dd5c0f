//! Tables and rows for tests.

use change::{Cell, Column, OldImage, PgType, ReplicaIdentity, Row, Table, TableName};
use document::{DocumentError, IndexSpec, Plan, Scratch};

/// A table whose primary key is its first `key` columns.
pub(crate) fn table(columns: &[(&str, PgType)], key: usize) -> Table {
    let column = |(place, (name, ty)): (usize, &(&str, PgType))| Column {
        name: (*name).to_owned(),
        ty: ty.clone(),
        type_name: String::new(),
        bare_type_name: String::new(),
        number: 0,
        type_oid: 0,
        type_modifier: -1,
        not_null: place < key,
        in_identity: place < key,
        toastable: false,
    };
    Table {
        oid: 16384,
        name: TableName::new("public", "t"),
        columns: columns.iter().enumerate().map(column).collect(),
        primary_key: columns[..key].iter().map(|(name, _)| (*name).to_owned()).collect(),
        identity: ReplicaIdentity::Default,
        row_filter: None,
        query: None,
        unpublished: Vec::new(),
        partitioned: false,
    }
}

/// Calls `with` with the row of these texts.
pub(crate) fn with_row<T>(texts: &[&[u8]], with: impl FnOnce(Row<'_>) -> T) -> T {
    let data = texts.concat();
    let mut start = 0;
    let cell = |text: &&[u8]| {
        let cell = Cell::text(start, text.len()).unwrap_or(Cell::NULL);
        start += text.len();
        cell
    };
    let cells: Vec<_> = texts.iter().map(cell).collect();
    with(Row::new(&data, &cells))
}

/// The value that `text` becomes in the document, as a column of type `ty`.
pub(crate) fn written(ty: &PgType, text: &[u8]) -> Result<String, DocumentError> {
    let table = table(&[("v", ty.clone())], 1);
    let mut out = Vec::new();
    if let Ok(plan) = Plan::new(&table, &IndexSpec::default()) {
        with_row(&[text], |row| {
            plan.write_source(&row, OldImage::Absent, &mut Scratch::default(), &mut out)
        })?;
    }
    let document = String::from_utf8_lossy(&out);
    let value = document.strip_prefix("{\"v\":").and_then(|rest| rest.strip_suffix('}'));
    Ok(value.unwrap_or("no document").to_owned())
}
