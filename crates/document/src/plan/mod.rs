//! What is made of each row of a table.
//!
//! A plan is fixed for one shape of a table: when columns come, go or change their type, a new one is made. It may be
//! shared between threads; the memory that writing needs is the caller's [`Scratch`](crate::Scratch).

mod field_name;
mod key;
mod make;
mod note;
mod partial;
mod payload;
mod problem;
mod write;

use change::{PgType, TableName};
use serde_json::{Map, Value};

pub use make::IndexSpec;
pub use note::Note;
pub use partial::{Hole, Partial};
pub use payload::Payload;
pub use problem::{PlanError, Problem};

use crate::value::Writer;
use payload::Content;

/// How rows of one table become documents.
#[derive(Debug, Clone)]
pub struct Plan {
    table: TableName,
    /// Columns of the table, projected or not.
    width: usize,
    key: Vec<KeyColumn>,
    fields: Vec<Field>,
    /// Where the document is the content of a column. There are no fields then.
    content: Option<Box<Content>>,
}

/// A column that the `_id` is made of.
#[derive(Debug, Clone)]
struct KeyColumn {
    index: usize,
    name: String,
}

/// A column that is part of the document.
#[derive(Debug, Clone)]
struct Field {
    /// The place of the column in the rows.
    index: usize,
    /// What stands before the value: `{"name":` in the first field, `,"name":` in the others.
    prefix: Box<[u8]>,
    writer: Writer,
    in_identity: bool,
    /// An update may leave the value out, and the image before it does not have it either.
    may_be_missing: bool,
    name: String,
    ty: PgType,
    type_name: String,
}

impl Plan {
    /// The table that the plan was made for.
    pub fn table(&self) -> &TableName {
        &self.table
    }

    /// The columns that the `_id` is made of, in its order.
    pub fn key_columns(&self) -> impl Iterator<Item = &str> {
        self.key.iter().map(|column| column.name.as_str())
    }

    /// The fields of a document in their order, with the type of the column as SQL writes it; none where the document is
    /// the content of a column.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|field| (field.name.as_str(), field.type_name.as_str()))
    }

    /// The column whose content is the document, where there is one.
    pub fn payload_column(&self) -> Option<&str> {
        self.content.as_ref().map(|content| content.field.name.as_str())
    }

    /// The mapping of the payload's fields.
    pub(crate) fn payload_properties(&self) -> Option<&Map<String, Value>> {
        self.content.as_ref().map(|content| &content.properties)
    }

    pub(crate) fn typed_fields(&self) -> impl Iterator<Item = (&str, &PgType)> {
        self.fields.iter().map(|field| (field.name.as_str(), &field.ty))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use change::{Column, PgType, ReplicaIdentity, Table, TableName};

    /// A table `public.t` whose first column is the primary key.
    pub(crate) fn table(columns: &[(&str, PgType)]) -> Table {
        let column = |(place, (name, ty)): (usize, &(&str, PgType))| Column {
            name: (*name).to_owned(),
            ty: ty.clone(),
            type_name: format!("{ty:?}").to_lowercase(),
            bare_type_name: String::new(),
            number: 0,
            type_oid: 0,
            type_modifier: -1,
            not_null: place == 0,
            in_identity: place == 0,
            toastable: matches!(ty, PgType::Text | PgType::Jsonb),
        };
        Table {
            oid: 16384,
            name: TableName::new("public", "t"),
            columns: columns.iter().enumerate().map(column).collect(),
            primary_key: columns.first().map(|(name, _)| (*name).to_owned()).into_iter().collect(),
            identity: ReplicaIdentity::Default,
            row_filter: None,
            query: None,
            unpublished: Vec::new(),
            partitioned: false,
        }
    }
}
