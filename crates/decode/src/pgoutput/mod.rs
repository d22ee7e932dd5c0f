//! The plugin `pgoutput`, protocol versions 1 to 4.
//!
//! One file per
//! [message](https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html), and the [`Decoder`],
//! which holds the relations and the order of messages.
//!
//! Without streaming the server sends committed transactions only, each whole, in the order of their commit records,
//! and tells the commit position at the beginning: all that is needed to release a transaction while it is still being
//! received. Version 1 has nothing else.
//!
//! With streaming (from version 2) a large transaction comes in blocks while it still runs, between those of others
//! and before anyone knows whether it commits. Within a block every message says which subtransaction it belongs to,
//! by an id behind its first byte. Such messages are [held](crate::Event::Hold), unread; an abort voids them, whole
//! or of one subtransaction; a Stream Commit [releases](crate::Event::Release) them, in the same rising order of
//! commit records as the transactions that come whole. What the tables of a held message are called is told within
//! its own transaction, see `known.rs`.
//!
//! Versions 3 and 4 add prepared transactions, which are not asked for, and where and when an abort was.

mod changes;
mod decoder;
mod delete;
pub mod encode;
mod insert;
mod known;
mod logical_message;
mod protocol;
mod relation;
mod release;
mod stream;
mod streamed;
mod transaction;
mod truncate;
mod tuple;
mod update;

pub use decoder::Decoder;
pub use protocol::{Protocol, Streaming};
