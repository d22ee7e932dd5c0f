//! Relation and Type: what the columns of a table are, sent before its first row and again when it has changed.

use change::{ReplicaIdentity, TableName};

use crate::cursor::Cursor;
use crate::error::{DecodeError, Fault};

/// [Relation](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-RELATION).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The table's OID, which its rows refer to.
    pub oid: u32,
    /// Its name at the time of the change.
    pub name: TableName,
    /// Its replica identity at the time of the change.
    pub identity: ReplicaIdentity,
    /// The columns that are published.
    pub columns: Vec<RelationColumn>,
}

/// One column of a [`Relation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Part of the replica identity. With [`ReplicaIdentity::Full`] every column is, so it does not tell the key.
    pub in_identity: bool,
    /// Its name.
    pub name: String,
    /// The OID of its type.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub type_modifier: i32,
}

impl Relation {
    pub(crate) fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let oid = cursor.u32("the relation's OID")?;
        // The plugin leaves the name of pg_catalog out.
        let schema = match cursor.string("the schema")? {
            "" => "pg_catalog",
            schema => schema,
        };
        let name = TableName::new(schema, cursor.string("the table's name")?);
        let at = cursor.position();
        let identity = match cursor.u8("the replica identity")? {
            b'd' => ReplicaIdentity::Default,
            b'i' => ReplicaIdentity::Index,
            b'f' => ReplicaIdentity::Full,
            b'n' => ReplicaIdentity::Nothing,
            byte => {
                return Err(
                    cursor.error_at(at, Fault::UnknownByte { what: "replica identity", byte })
                );
            }
        };
        let count = cursor.count("the columns")?;
        let columns = (0..count).map(|_| RelationColumn::read(cursor)).collect::<Result<_, _>>()?;
        Ok(Relation { oid, name, identity, columns })
    }
}

impl RelationColumn {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, DecodeError> {
        let at = cursor.position();
        let in_identity = match cursor.u8("the column's flags")? {
            0 => false,
            1 => true,
            byte => {
                return Err(cursor.error_at(at, Fault::UnknownByte { what: "column flag", byte }));
            }
        };
        Ok(RelationColumn {
            in_identity,
            name: cursor.string("the column's name")?.to_owned(),
            type_oid: cursor.u32("the column's type")?,
            type_modifier: cursor.i32("the column's type modifier")?,
        })
    }
}

/// Checks a [Type](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html#PROTOCOL-LOGICALREP-MESSAGE-FORMATS-TYPE),
/// which tells no more than the name of a type; what it is, the catalog knows.
pub(crate) fn read_type(cursor: &mut Cursor<'_>) -> Result<(), DecodeError> {
    cursor.u32("the type's OID")?;
    cursor.string("the type's schema")?;
    cursor.string("the type's name")?;
    Ok(())
}
