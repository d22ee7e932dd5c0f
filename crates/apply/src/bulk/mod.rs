//! Bulk requests: building one, sending it until every item has a definite outcome, reading the answer.

pub mod answer;
mod batch;
mod deliver;
mod fill;
mod filling;
mod lanes;
mod outcome;
mod refused;

pub use batch::{Batch, Limits, Origin, Write};
pub(crate) use batch::{Op, Sealed};
pub(crate) use batch::{key_hash, write_deletion};
pub(crate) use deliver::{Delivered, Guard, deliver};
pub use fill::RowRef;
pub(crate) use filling::deliver_filled;
pub use filling::{Current, CurrentRow, Rows};
pub(crate) use lanes::deliver_in_lanes;
pub(crate) use outcome::current_version;
