//! What a logical decoding plugin wrote, as row operations.
//!
//! Pure: bytes in, [`change`]'s vocabulary out, no I/O and no clock. Nothing is skipped: a byte that is not understood
//! is an error, because after it the state of the stream is unknown and every further row might be the wrong one.
//!
//! [`pgoutput`] has one file per message and, above them, the [`Decoder`](pgoutput::Decoder) which knows what may
//! follow what. Rows are borrowed from the message, see [`change::Row`].

mod cursor;
mod error;
pub mod pgoutput;

pub use error::{DecodeError, Fault};
