//! The messages of transactions whose fate is not known yet: in memory up to a bound, then in one file per transaction.
//!
//! A server that [streams transactions in progress](https://www.postgresql.org/docs/current/protocol-logical-replication.html)
//! sends pieces of many of them, interleaved, before it knows which will commit; nothing may reach an index before. Per
//! transaction a [`Spool`] holds messages in the order in which they came, takes out those of aborted
//! subtransactions, and hands over the rest when the commit comes.
//!
//! What must hold:
//! - [`Released::next`] gives exactly the messages that were held and not aborted, byte for byte and in order, or an error.
//!   After an error the spool is poisoned until [`Spool::clear`]: it gives nothing rather than a part.
//! - At most `memory` bytes of messages are in memory; reading a released transaction needs one block (1 MiB) or one
//!   message more.
//! - Files hold nothing that anybody needs after the process: the server sends it all again. So nothing is synced, and the
//!   next process removes what a killed one left behind.
//!
//! A message is bytes and nothing else here. There is no async: a call may wait for the disk, and the task that calls waits
//! with it.
//!
//! ```
//! # fn main() -> Result<(), spool::SpoolError> {
//! # let dir = std::env::temp_dir().join(format!("wal2es-spool-doc-{}", std::process::id()));
//! let mut spool = spool::Spool::open(&dir, 64 << 20)?;
//! spool.hold(700, 700, b"kept")?;
//! spool.hold(700, 701, b"rolled back to a savepoint")?;
//! spool.abort(700, 701);
//! if let Some(mut released) = spool.release(700)? {
//!     assert_eq!(released.next()?, Some(&b"kept"[..]));
//!     assert_eq!(released.next()?, None);
//! }
//! # Ok(())
//! # }
//! ```

mod aborted;
mod directory;
mod error;
mod file;
mod held;
mod memory;
mod record;
mod released;
mod spool;

pub use error::{Damage, Exposure, SpoolError};
pub use released::Released;
pub use spool::{Spool, Stats};
