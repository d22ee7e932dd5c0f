//! The search server: connections, requests, and the few calls of its API that are needed.
//!
//! [`client::Client`] is HTTP/1.1 on hyper and knows what went over the wire: whether a failed request can have been executed
//! decides whether its effect is known, and an answer is read up to a bound and no further. The API is Elasticsearch 7
//! to 9 and OpenSearch 1 to 3, in the forms that all of them share.

mod answers;
mod api;
mod client;
mod config;
mod connect;
mod copies;
mod disk;
mod documents;
mod heap;
mod info;
mod look;
mod point;

pub use api::{ApiError, IndexFacts, Target};
pub(crate) use api::{DocVersion, explain, shorten};
pub(crate) use client::{Answer, SendError};
pub use config::{Credentials, Secret, TargetConfig};
pub use disk::Room;
pub(crate) use documents::Document;
pub use info::{Distribution, ServerInfo};
pub use look::Found;
pub use point::{Hit, Part, Point};
