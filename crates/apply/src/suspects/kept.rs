//! The form in which suspects are kept: documents of bounded size beside the state document, which names them.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::chunk::Chunk;
use super::deletes::Again;
use crate::state::unix_seconds;
use crate::version::Version;

/// A document with suspects, as the state names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuspectChunk {
    /// Its id.
    pub id: String,
    /// When nothing in it is suspect any more, in seconds since 1970.
    pub until: u64,
}

/// What is in such a document.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Document {
    /// Every key is suspect.
    #[serde(default)]
    pub(super) every: bool,
    /// Hashes of 8 bytes, the lowest first, in base64.
    keys: String,
    /// Index, id and version of each delete.
    deletes: Vec<(String, String, String)>,
}

/// What to write before the state, what the state says then, and what nobody needs afterwards.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    pub(crate) write: Vec<(String, Document)>,
    pub(crate) refs: Vec<SuspectChunk>,
    pub(crate) over: Vec<String>,
    /// What the indices have must be on disk first: see [`crate::bulk::Delivered::unsynced`].
    pub(crate) flush: bool,
}

impl Document {
    pub(super) fn of(chunk: &Chunk, deletes: &[&Again]) -> Self {
        let keys: Vec<u8> = chunk.keys.iter().flat_map(|key| key.to_le_bytes()).collect();
        let delete = |again: &&Again| {
            let id = serde_json::from_slice(&again.id).unwrap_or_default();
            (again.index.to_string(), id, again.version.to_string())
        };
        Document {
            every: chunk.every,
            keys: STANDARD.encode(keys),
            deletes: deletes.iter().map(delete).collect(),
        }
    }

    pub(super) fn keys(&self) -> Vec<u64> {
        let bytes = STANDARD.decode(&self.keys).unwrap_or_default();
        bytes
            .chunks_exact(8)
            .filter_map(|key| Some(u64::from_le_bytes(key.try_into().ok()?)))
            .collect()
    }

    pub(super) fn deletes(&self) -> impl Iterator<Item = Again> {
        self.deletes.iter().filter_map(|(index, id, version)| {
            let mut escaped = Vec::new();
            document::write_json_string(id.as_bytes(), &mut escaped);
            let version = Version::from_raw(version.parse().ok()?);
            Some(Again { index: index.as_str().into(), id: escaped.into(), version })
        })
    }
}

/// The time of day at `instant`, rounded up.
pub(super) fn unix_seconds_at(instant: Instant, now: Instant) -> u64 {
    unix_seconds() + instant.saturating_duration_since(now).as_secs() + 1
}
