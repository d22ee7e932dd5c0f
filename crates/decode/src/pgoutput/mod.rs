//! The plugin `pgoutput`, protocol version 1.
//!
//! One file per
//! [message](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html), and the [`Decoder`],
//! which holds the relations and the order of messages. Version 1 sends committed transactions only, each whole, in
//! the order of their commit records, and tells the commit position at the beginning: all that is needed to release a
//! transaction while it is still being received.

mod decoder;
mod delete;
mod insert;
mod logical_message;
mod relation;
mod transaction;
mod truncate;
mod tuple;
mod update;

pub use decoder::{Decoder, Event};
pub use logical_message::LogicalMessage;
pub use relation::{Relation, RelationColumn};
pub use transaction::{Begin, Commit};
pub use truncate::Truncate;
