//! From the messages of a stream to writes of documents.
//!
//! ```text
//!             ┌─────────┐ events  ┌───────┐ rows of the plan's shape ┌──────┐ id, source ┌──────┐
//!  messages ─►│ decoder ├────────►│ bound ├─────────────────────────►│ plan ├───────────►│ Sink │
//!             └──┬───▲──┘         └───────┘                          └──────┘            └──────┘
//!           held │   │ released
//!             ┌──▼───┴──┐
//!             │  spool  │  transactions whose commit is not known yet
//!             └─────────┘
//! ```
//! [`Feed`] reads one session, message by message, and knows no I/O but that of the spool: what has to be waited for (a
//! TRUNCATE, a name to be looked up in the catalog) it gives back to its caller as [`Taken`].
//!
//! What must hold:
//! - Every row change of a committed transaction is counted ([`Sink::change`]), whether its table is followed or not,
//!   and nothing else is: versions are made of that count, and a replay must count the same.
//! - A row is written by the plan only in the shape that the plan was made for. The stream describes tables as they were
//!   when the row changed; the plan was made of the catalog as it is. Where the difference can change what a document
//!   holds, the feed stops with [`FeedError::Resync`]; where it can't, the columns are put in their places.

mod bound;
mod error;
mod feed;
mod names;
mod plugin;
mod shape;
mod sink;

pub use bound::Followed;
pub use error::{FeedError, Resync};
pub use feed::{Feed, Taken};
pub use names::Known;
pub use plugin::Plugin;
pub use shape::{ColumnShape, Shape};
pub use sink::Sink;
