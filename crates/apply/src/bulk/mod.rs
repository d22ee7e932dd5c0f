//! Bulk requests: building one, sending it until every item has a definite outcome, reading the answer.

pub mod answer;
mod batch;
mod deliver;
mod outcome;

pub use batch::{Batch, Limits, Origin, Write};
pub(crate) use deliver::{Delivered, Guard, deliver};
pub(crate) use outcome::current_version;
