//! The applier: from writes to a durable, visible index, and the one position that may be confirmed.
//!
//! ```text
//! begin, write, write, commit ──► Batch ──► deliver ──► durable ──► show (refresh, alias) ──► visible
//!                                                          └──────► state document ──► confirmed
//! ```
//!
//! One task owns the [`Applier`] and decides order, versions, batches and progress. Nothing of it is confirmed to
//! Postgres but what the state document holds, and the state document holds nothing but what is durable in the index.
//! The crate knows positions and documents, but no wire format of Postgres.

mod applier;
mod backoff;
mod bulk;
mod error;
mod indices;
pub mod letters;
mod loader;
#[cfg(test)]
mod model;
mod own_index;
mod repair;
mod replicas;
mod report;
mod standing;
mod state;
#[cfg(test)]
mod stub;
mod suspects;
mod target;
mod tombstones;
mod version;

pub use applier::{Applier, ApplierConfig, Session, drop_unneeded_of_detached};
pub use bulk::{Batch, Current, CurrentRow, Limits, Origin, RowRef, Rows, Write, answer};
pub use error::{Error, Kind};
pub use indices::{IndexPlan, Indices, Managed, check, connector_id};
pub use loader::{Lane, Loader};
pub use repair::{Repair, Repaired};
pub use replicas::Replicas;
pub use report::{Progress, Report, Reports, TableProgress};
pub use standing::{Claim, claims};
pub use state::{
    ColumnState, IndexState, KeptIndex, LastCommit, State, Step, Store, generation_of,
};
pub use suspects::SuspectChunk;
pub use target::{
    ApiError, Credentials, Distribution, Found, Hit, IndexFacts, Part, Point, Room, Secret,
    ServerInfo, Target, TargetConfig,
};
pub use version::{FORMULA, Version};
