//! What is in the tables before the stream begins, and what the catalog says of them.
//!
//! [`catalog`] describes the published tables; [`Snapshot`] is a consistent point of the database that sessions can look
//! at, made together with a temporary slot: the stream has every commit from there on, the snapshot all before. [`cut`]
//! divides a table into ranges, and [`copy`] reads the rows of one as of that point by `COPY … TO STDOUT`, chunk by chunk
//! as they come, in the same [`change::Row`]s that the stream uses. A table is never in memory as a whole.

pub mod catalog;
pub mod copy;
mod error;
mod point;
mod range;
mod text;
mod types;

pub use error::{Error, Result};
pub use point::{Keeper, Snapshot};
pub use range::{Range, cut};
pub use text::LineReader;
