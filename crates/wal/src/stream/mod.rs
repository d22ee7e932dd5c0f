//! The stream of a slot: one task that owns the socket, one that reads the changes, one that confirms.
//!
//! ```text
//!            ┌────────┐  Chunks: bounded in number and bytes   ┌──────────┐
//!  socket ──►│  Pump  ├───────────────────────────────────────►│ Receiver │
//!         ◄──┤ (task) │◄──────────────────────────┐            └──────────┘
//!            └────────┘   confirmed position      │  ┌─────────┐
//!                                                 └──┤ Confirm │
//!                                                    └─────────┘
//! ```
//! - The [`Pump`] never waits for the consumer without minding the server: while the consumer is slow it stops
//!   reading, so that TCP slows the server down, but goes on sending status updates. A server that hears nothing for
//!   `wal_sender_timeout` would end the stream.
//! - Only [`Confirm`] moves the position that the server may forget WAL up to. Neither a keepalive nor time does.
//! - Nothing is parsed here but the few bytes that the Pump itself has to know. Keepalives stay in the stream at their
//!   place, so that the consumer knows what was sent before them.

mod chunk;
mod pump;
mod queue;
mod status;
#[cfg(test)]
mod tests;

use std::time::Duration;

use change::Lsn;
use tokio::sync::watch;

pub use chunk::{Chunk, Message, Messages};
pub use pump::Pump;
pub use queue::Receiver;

use crate::wire::Wire;

/// How the stream is kept up and bounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamOptions {
    /// The server's `wal_sender_timeout` or a guess at it: how long the server may be silent before it is asked for a
    /// sign of life, and how long it then has to give one. Status updates are sent at least three times as often, and
    /// every ten seconds. Zero turns the watch off, as it does there.
    pub wal_sender_timeout: Duration,
    /// The most chunks that wait for the consumer; at least 1.
    pub chunks: usize,
    /// The most bytes that wait for the consumer, but for a single larger message; at least 1.
    pub bytes: u32,
}

impl Default for StreamOptions {
    /// 60 s, 8 chunks, 4 MiB.
    fn default() -> Self {
        StreamOptions {
            wal_sender_timeout: Duration::from_secs(60),
            chunks: 8,
            bytes: 4 * 1024 * 1024,
        }
    }
}

/// A stream that has started; see [`Connection::start_replication`](crate::Connection::start_replication).
#[derive(Debug)]
pub struct Replication {
    wire: Wire,
    start: Lsn,
}

impl Replication {
    pub(crate) fn new(wire: Wire, start: Lsn) -> Self {
        Replication { wire, start }
    }

    /// Takes the stream apart: the [`Pump`] to be run by a task of its own, the [`Receiver`] of what it reads, and the
    /// [`Confirm`] for what is done with it.
    pub fn split(self, options: StreamOptions) -> (Pump, Receiver, Confirm) {
        let (sender, receiver) = queue::channel(options.chunks, options.bytes);
        let (confirm, confirmed) = watch::channel(self.start);
        let pump = Pump::new(self.wire, sender, confirmed, options.wal_sender_timeout);
        (pump, receiver, Confirm { position: confirm })
    }
}

/// Raises the position up to which every effect is durable at the target.
///
/// It can't be cloned: one place decides.
#[derive(Debug)]
pub struct Confirm {
    position: watch::Sender<Lsn>,
}

impl Confirm {
    /// Tells the server, soon, that it may forget WAL before `position`: the end of a commit whose every effect, and
    /// those of all commits before it, is durable. A position that is not higher than the last is ignored.
    pub fn confirm(&self, position: Lsn) {
        self.position.send_if_modified(|last| {
            let higher = position > *last;
            if higher {
                *last = position;
            }
            higher
        });
    }

    /// What was confirmed last; at first the position that the stream was started from.
    pub fn position(&self) -> Lsn {
        *self.position.borrow()
    }
}
