//! The rows of one table.

use change::{Row, Table};
use wal::{Connection, CopyChunk, CopyOut};

use crate::error::{Error, Result};
use crate::text::LineReader;

/// Rows of a table on their way.
pub struct Copy<'a> {
    table: &'a Table,
    out: CopyOut<'a>,
    row: u64,
    reader: LineReader,
}

/// The statement that copies the published rows and columns of `table`, in the order of its columns.
pub fn statement(table: &Table) -> String {
    let columns: Vec<_> = table.columns.iter().map(|c| wal::identifier(&c.name)).collect();
    let filter = match &table.row_filter {
        Some(filter) => format!(" WHERE {filter}"),
        None => String::new(),
    };
    // The rows of tables that inherit from this one are published as theirs.
    let only = if table.partitioned { "" } else { "ONLY " };
    let (columns, name) = (columns.join(", "), table.name.quoted());
    format!("COPY (SELECT {columns} FROM {only}{name}{filter}) TO STDOUT")
}

impl<'a> Copy<'a> {
    /// Begins to copy. The session is free again when [`Copy::next_chunk`] has come to its end.
    ///
    /// # Errors
    /// No right to read the table, the connection fails.
    pub async fn start(session: &'a mut Connection, table: &'a Table) -> Result<Self> {
        let out = session
            .copy_out(&statement(table))
            .await
            .map_err(|source| Error::Wal { doing: format!("copying {}", table.name), source })?;
        Ok(Copy { table, out, row: 0, reader: LineReader::default() })
    }

    /// Some rows that have arrived; none at the end.
    ///
    /// # Errors
    /// The server stops the copy, the connection fails.
    pub async fn next_chunk(&mut self) -> Result<Option<CopyChunk>> {
        self.out
            .next_chunk()
            .await
            .map_err(|source| Error::Wal { doing: format!("copying {}", self.table.name), source })
    }

    /// Reads one message of a chunk: one row.
    ///
    /// # Errors
    /// It is not a line of COPY's text format.
    pub fn read<'s>(&'s mut self, message: &'s [u8]) -> Result<Row<'s>> {
        self.row += 1;
        let (table, row) = (self.table, self.row);
        self.reader.read(message, table.columns.len()).map_err(|what| Error::Line {
            table: table.name.clone(),
            row,
            what,
        })
    }
}

#[cfg(test)]
mod tests {
    use change::{Column, PgType, ReplicaIdentity, TableName};

    use super::*;

    #[test]
    fn names_are_quoted_and_the_filter_of_the_publication_kept() {
        let column = |name: &str| Column {
            name: name.into(),
            ty: PgType::Int4,
            type_name: "integer".into(),
            bare_type_name: "integer".into(),
            number: 0,
            type_oid: 23,
            type_modifier: -1,
            not_null: true,
            in_identity: true,
            toastable: false,
        };
        let mut table = Table {
            oid: 1,
            name: TableName::new("S", "a\"b"),
            columns: vec![column("id"), column("Id")],
            primary_key: vec!["id".into()],
            identity: ReplicaIdentity::Default,
            unpublished: Vec::new(),
            row_filter: Some("(id > 1)".into()),
            partitioned: false,
        };
        assert_eq!(
            statement(&table),
            r#"COPY (SELECT "id", "Id" FROM ONLY "S"."a""b" WHERE (id > 1)) TO STDOUT"#
        );
        table = Table { partitioned: true, row_filter: None, columns: vec![], ..table };
        assert_eq!(statement(&table), r#"COPY (SELECT  FROM "S"."a""b") TO STDOUT"#);
    }
}
