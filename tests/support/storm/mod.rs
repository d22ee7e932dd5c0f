//! A load and faults, both from a seed, and what must be true while they last and when they are over.
//!
//! A [`Schedule`] says which faults happen and when. [`run`] has several sessions write meanwhile ([`load`]), a reader look
//! ([`watch`]), a supervisor start the connector again whenever it ends as if a restart would help, and at the end compares
//! each index with its table. A seed gives the same faults at the same times and the same statements in each session; how
//! the sessions' statements interleave is up to the servers.

mod drive;
mod load;
mod schedule;
mod statements;
mod total;
mod watch;

pub use drive::run;
pub use schedule::{QUEUE, Schedule};
pub use total::Total;
