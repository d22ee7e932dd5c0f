//! The connection to Postgres: logging in, queries, `COPY … TO STDOUT`, slots and the replication stream.
//!
//! No released `tokio-postgres` can replicate, so this crate has a small client of its own on `postgres-protocol`. It
//! carries bytes and positions and never looks inside of pgoutput.
//!
//! | what | by |
//! |---|---|
//! | where to connect and as whom | [`ConnInfo`]: URL or `key=value`, environment, password file |
//! | a session | [`Connection::connect`] with a [`Mode`]; [`Connection::simple_query`], [`Connection::terminate`] |
//! | many rows, fast | [`Connection::copy_out`] → [`CopyOut::next_chunk`] → [`CopyChunk::messages`] |
//! | slots | [`Connection::identify_system`], [`Connection::create_slot`], [`Connection::drop_slot`] |
//! | changes | [`Connection::start_replication`] → [`Replication::split`] → [`Pump`], [`Receiver`], [`Confirm`] |
//! | SQL with parameters and types | [`sql::connect`]: a `tokio-postgres` client on a session of ours |
//! | what to do about a failure | [`Error::kind`] |
//!
//! ```no_run
//! # async fn example() -> wal::Result<()> {
//! use wal::{ConnInfo, Connection, Message, Mode, StreamOptions, publication_names};
//!
//! let info = ConnInfo::from_process("postgresql://repl@db.example/shop?sslmode=verify-full")?;
//! let connection = Connection::connect(&info, Mode::Replication).await?;
//! let names = publication_names(&["wal2es"]);
//! let options = [("proto_version", "1"), ("publication_names", names.as_str())];
//! let stream = connection.start_replication("wal2es", change::Lsn::ZERO, &options).await?;
//!
//! let (pump, mut changes, confirm) = stream.split(StreamOptions::default());
//! let shutdown = wal::CancellationToken::new();
//! let pump = tokio::spawn(pump.run(shutdown.clone()));
//! while let Some(chunk) = changes.next().await {
//!     for message in chunk.messages() {
//!         if let Message::WalData { payload, .. } = message? {
//!             // Decode and apply; when a commit and all before it are durable:
//!             # let end_of_commit = change::Lsn::ZERO; let _ = payload;
//!             confirm.confirm(end_of_commit);
//!         }
//!     }
//! }
//! // The stream is over; the pump knows why.
//! # let _ =
//! pump.await
//! # ; Ok(()) }
//! ```
//!
//! Nothing here starts a task, sleeps to poll, or retries: the caller spawns the [`Pump`], and decides by
//! [`Error::kind`] whether to connect again.

mod connect;
mod connection;
mod conninfo;
mod copy_out;
mod error;
mod frame;
mod login;
mod pace;
mod quote;
mod replication;
pub mod sql;
mod sqlstate;
mod stream;
#[cfg(test)]
mod testing;
mod tls;
mod transport;
mod wire;

pub use tokio_util::sync::CancellationToken;

pub use connection::{Connection, TextRow};
pub use conninfo::{ChannelBinding, ConnInfo, Host, PasswordSource, RootCert, SslMode};
pub use copy_out::{CopyChunk, CopyOut};
pub use error::{DbError, Error, Kind, Result};
pub use login::Mode;
pub use quote::{identifier, literal, publication_names, slot_name};
pub use replication::{CreatedSlot, SlotOptions, Snapshot, System};
pub use stream::{Chunk, Confirm, Message, Messages, Pump, Receiver, Replication, StreamOptions};
