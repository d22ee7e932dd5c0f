//! What a logical decoding plugin wrote, as row operations.
//!
//! Pure: bytes in, [`change`]'s vocabulary out, no I/O and no clock. Nothing is skipped: a byte that is not understood
//! is an error, because after it the state of the stream is unknown and every further row might be the wrong one.
//!
//! Two plugins, one vocabulary ([`Event`], [`Relation`]): [`pgoutput`] in binary messages, [`test_decoding`] in text.
//! Rows are borrowed, see [`change::Row`].

mod cursor;
mod error;
mod event;
pub mod pgoutput;
mod relation;
pub mod test_decoding;

pub use error::{DecodeError, Fault};
pub use event::{Begin, Commit, Event, LogicalMessage, Part, Release, Truncate, TruncatedTable};
pub use relation::{ColumnType, Relation, RelationColumn};
