//! The vocabulary of wal2es: what a change is, between the bytes of Postgres and the documents of a search server.
//!
//! Everything here is plain data. A row is borrowed from the buffer that it arrived in: [`Row`] is a slice of that
//! buffer and a table of [`Cell`]s, which the reader of rows keeps and fills anew for each row, so that a row costs
//! no allocation. The stream, the first copy and (later) the outbox all speak in [`RowOp`]s; whatever comes after
//! them cannot tell the difference, and a value has the same text from each.

mod lsn;
mod op;
mod pg_type;
mod row;
mod table;

pub use lsn::{CommitLsn, Lsn, ParseLsnError};
pub use op::{OldImage, RowChange, RowOp, TruncateOptions};
pub use pg_type::{PgType, RangeBound};
pub use row::{Cell, Row, Value};
pub use table::{Column, ReplicaIdentity, Table, TableName};
