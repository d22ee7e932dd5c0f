//! Relation and Type: what the columns of a table are, sent before its first row and again when it has changed.

use change::{ReplicaIdentity, TableName};

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};
use crate::{ColumnType, Relation, RelationColumn};

/// [Relation](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-RELATION)
/// up to the columns, as it stands on the wire.
pub(super) struct Head<'a> {
    pub(super) oid: u32,
    /// Empty for `pg_catalog`.
    pub(super) schema: &'a str,
    pub(super) name: &'a str,
    pub(super) identity: ReplicaIdentity,
    /// How many columns follow, by [`read_column`]; a claim.
    pub(super) columns: usize,
}

/// Reads everything before the columns.
pub(super) fn read_head<'a>(cursor: &mut Cursor<'a>) -> Result<Head<'a>, DecodeError> {
    Ok(Head {
        oid: cursor.u32("the relation's OID")?,
        schema: cursor.string("the schema")?,
        name: cursor.string("the table's name")?,
        identity: read_identity(cursor)?,
        columns: cursor.count("the columns")?,
    })
}

fn read_identity(cursor: &mut Cursor<'_>) -> Result<ReplicaIdentity, DecodeError> {
    let at = cursor.position();
    match cursor.u8("the replica identity")? {
        b'd' => Ok(ReplicaIdentity::Default),
        b'i' => Ok(ReplicaIdentity::Index),
        b'f' => Ok(ReplicaIdentity::Full),
        b'n' => Ok(ReplicaIdentity::Nothing),
        byte => Err(cursor.error_at(at, Fault::UnknownByte { what: "replica identity", byte })),
    }
}

/// One column of a Relation, as it stands on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// See [`RelationColumn::in_identity`].
    pub in_identity: bool,
    /// Its name.
    pub name: &'a str,
    /// The OID of its type.
    pub type_oid: u32,
    /// The modifier of its type, -1 for none.
    pub type_modifier: i32,
}

/// Reads one column.
pub(super) fn read_column<'a>(cursor: &mut Cursor<'a>) -> Result<Column<'a>, DecodeError> {
    let at = cursor.position();
    let in_identity = match cursor.u8("the column's flags")? {
        0 => false,
        1 => true,
        byte => {
            return Err(cursor.error_at(at, Fault::UnknownByte { what: "column flag", byte }));
        }
    };
    Ok(Column {
        in_identity,
        name: cursor.string("the column's name")?,
        type_oid: cursor.u32("the column's type")?,
        type_modifier: cursor.i32("the column's type modifier")?,
    })
}

/// Reads the whole message; the number is still to be given.
pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Relation, DecodeError> {
    let head = read_head(cursor)?;
    // Collecting results reserves nothing for the count.
    let columns = (0..head.columns).map(|_| read_column(cursor).map(RelationColumn::from));
    let columns = columns.collect::<Result<_, _>>()?;
    // The plugin leaves the name of pg_catalog out.
    let schema = if head.schema.is_empty() { "pg_catalog" } else { head.schema };
    Ok(Relation {
        number: 0,
        oid: Some(head.oid),
        name: TableName::new(schema, head.name),
        identity: Some(head.identity),
        columns,
    })
}

impl From<Column<'_>> for RelationColumn {
    fn from(column: Column<'_>) -> Self {
        RelationColumn {
            in_identity: column.in_identity,
            name: column.name.to_owned(),
            ty: ColumnType::Oid { oid: column.type_oid, modifier: column.type_modifier },
        }
    }
}

/// [Type](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TYPE):
/// no more than the OID, schema and name of a type; what it is, the catalog knows.
pub(super) fn read_type<'a>(
    cursor: &mut Cursor<'a>,
) -> Result<(u32, &'a str, &'a str), DecodeError> {
    Ok((
        cursor.u32("the type's OID")?,
        cursor.string("the type's schema")?,
        cursor.string("the type's name")?,
    ))
}
