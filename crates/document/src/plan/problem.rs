//! Why there is no plan, and what to do about it.

use change::TableName;

/// One reason why a table can't be indexed as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No column tells one row from another.
    #[error("it has no primary key, or only a deferrable one")]
    NoKey,
    /// `id: []`.
    #[error("`id` names no column")]
    EmptyId,
    /// Postgres sends nothing of a row that is deleted.
    #[error(
        "its replica identity is NOTHING, so updates and deletes don't say which row they mean"
    )]
    IdentityNothing {
        /// The primary key would do.
        has_primary_key: bool,
    },
    /// A column of the id is not part of what Postgres sends of a row that is deleted.
    #[error(
        "deletes don't show {}, which the id is made of: not in the replica identity",
        list(columns)
    )]
    NotInIdentity {
        /// The columns of the id that are missing.
        columns: Vec<String>,
        /// All columns of the id.
        id: Vec<String>,
    },
    /// A column of `id` may be NULL.
    #[error("column {column:?} in `id` may be NULL")]
    NullableId {
        /// The column.
        column: String,
    },
    /// A column of the primary key is not published.
    #[error("column {column:?} of the primary key is not published")]
    KeyNotPublished {
        /// The column.
        column: String,
    },
    /// There is no such column.
    #[error("column {column:?} in `{option}` does not exist, or is not published")]
    UnknownColumn {
        /// The option that names it: `columns`, `exclude`, `id` or `payload`.
        option: &'static str,
        /// What it says.
        column: String,
        /// The column that was probably meant.
        nearest: Option<String>,
    },
    /// A column is listed twice.
    #[error("column {column:?} is twice in `{option}`")]
    ListedTwice {
        /// The option that names it.
        option: &'static str,
        /// The column.
        column: String,
    },
    /// Both `columns` and `exclude` were given.
    #[error("`columns` and `exclude` are both given")]
    ColumnsAndExclude,
    /// Columns were chosen where the document is the content of one.
    #[error("`payload` and `{option}` are both given")]
    BesidePayload {
        /// `columns` or `exclude`.
        option: &'static str,
    },
    /// The column of `payload` can't hold a document.
    #[error("column {column:?} in `payload` is of type {type_name}, not json or jsonb")]
    PayloadType {
        /// The column.
        column: String,
        /// Its type as SQL writes it.
        type_name: String,
    },
    /// A field of the payload's mapping can't be one.
    #[error("{field:?} in `properties` can't be a field: {reason}")]
    Property {
        /// The field.
        field: String,
        /// What is wrong with its name.
        reason: &'static str,
    },
    /// The name of a column can't be the name of a field.
    #[error("column {column:?} can't be a field: {reason}")]
    FieldName {
        /// The column.
        column: String,
        /// What is wrong with its name.
        reason: &'static str,
    },
    /// Two columns would become one field.
    #[error("two columns would become the field {field:?}")]
    SameField {
        /// The field.
        field: String,
    },
    /// One field's name would make an object of another one.
    #[error(
        "columns {outer:?} and {inner:?} exclude each other: to a search server the second is a field within the first"
    )]
    FieldWithin {
        /// For example `a`.
        outer: String,
        /// For example `a.b`.
        inner: String,
    },
}

impl Problem {
    /// What to do: a sentence without a full stop, with the SQL to run where there is any.
    pub fn remedy(&self, table: &TableName) -> String {
        let alter = format!("ALTER TABLE {}", table.quoted());
        match self {
            Problem::NoKey => format!(
                "give it one with {alter} ADD PRIMARY KEY (…), or name unique columns in `id`"
            ),
            Problem::EmptyId => {
                "name unique columns, or leave `id` out to take the primary key".to_owned()
            }
            Problem::IdentityNothing { has_primary_key: true } => {
                format!("{alter} REPLICA IDENTITY DEFAULT")
            }
            Problem::IdentityNothing { has_primary_key: false } => {
                format!("{alter} REPLICA IDENTITY FULL")
            }
            Problem::NotInIdentity { id, .. } => {
                let columns: Vec<_> = id.iter().map(|column| quote(column)).collect();
                format!(
                    "{alter} REPLICA IDENTITY FULL; or, with a unique index on ({}): {alter} REPLICA IDENTITY USING INDEX …",
                    columns.join(", ")
                )
            }
            Problem::NullableId { column } => {
                format!("{alter} ALTER COLUMN {} SET NOT NULL", quote(column))
            }
            Problem::KeyNotPublished { column } => {
                format!("add {} to the publication's columns of {}", quote(column), table.quoted())
            }
            Problem::UnknownColumn { nearest: Some(nearest), .. } => {
                format!("did you mean {nearest:?}?")
            }
            Problem::UnknownColumn { option: "payload", nearest: None, .. } => {
                "name a published column of type json or jsonb".to_owned()
            }
            Problem::UnknownColumn { option, nearest: None, .. } => {
                format!("take it out of `{option}`")
            }
            Problem::ListedTwice { option, .. } => format!("take it out of `{option}` once"),
            Problem::ColumnsAndExclude => "keep one of them".to_owned(),
            Problem::BesidePayload { option } => {
                format!("take out `{option}`: the document is the content of the payload alone")
            }
            Problem::PayloadType { column, .. } => {
                let column = quote(column);
                format!(
                    "name another one, or, if it holds JSON as text: {alter} ALTER COLUMN {column} TYPE jsonb USING {column}::jsonb"
                )
            }
            Problem::Property { .. } => "take it out of `properties`".to_owned(),
            Problem::FieldName { column, .. } => {
                format!("leave it out with `exclude: [{column:?}]`")
            }
            Problem::SameField { field } => {
                format!("leave one of them out with `exclude: [{field:?}]`")
            }
            Problem::FieldWithin { inner, .. } => {
                format!("leave one of them out, for example with `exclude: [{inner:?}]`")
            }
        }
    }
}

/// All reasons why a table can't be indexed as asked, each on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanError {
    /// The table.
    pub table: TableName,
    /// At least one.
    pub problems: Vec<Problem>,
}

impl std::error::Error for PlanError {}

impl std::fmt::Display for PlanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (place, problem) in self.problems.iter().enumerate() {
            let newline = if place > 0 { "\n" } else { "" };
            write!(
                f,
                "{newline}table {}: {problem}. Remedy: {}",
                self.table,
                problem.remedy(&self.table)
            )?;
        }
        Ok(())
    }
}

fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn list(names: &[String]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    quoted.join(", ")
}
