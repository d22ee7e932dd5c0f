//! What a dead letter says.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::Refused;

/// Documents beyond this are not kept with their letter, in bytes: a target that refused one for its size would refuse
/// the letter too.
const LARGEST: usize = 5 << 20;

/// Why a row has no document.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// As it may be logged: without values of the row.
    pub short: String,
    /// As the letter tells it.
    pub full: String,
}

impl Reason {
    /// One that has no value of the row in it.
    pub fn plain(text: String) -> Self {
        Reason { short: text.clone(), full: text }
    }
}

/// One document of `wal2es-dead-letters`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Letter {
    /// The alias of the index.
    pub alias: String,
    /// The index.
    pub index: String,
    /// The table.
    pub table: String,
    /// The document's `_id`, which is the key of the row.
    pub id: String,
    /// Where the commit record starts of the transaction that made the row so.
    pub lsn: String,
    /// The version that the document would have.
    pub version: String,
    /// Why.
    pub reason: String,
    /// What was refused, as it would have been sent; none if the row can't become a document, or it is very large.
    pub document: Option<String>,
    /// Its size.
    pub document_bytes: Option<usize>,
    /// When it was written: `2026-01-02T03:04:05Z`.
    pub at: String,
}

impl Letter {
    pub(super) fn new(refused: &Refused, id: String, alias: String, table: String) -> Self {
        let document = refused.document.as_deref();
        let kept = document.filter(|document| document.len() <= LARGEST);
        Letter {
            alias,
            index: refused.index.clone(),
            table,
            id,
            lsn: refused.version.commit().to_string(),
            version: refused.version.to_string(),
            reason: refused.reason.full.clone(),
            document: kept.and_then(|document| String::from_utf8(document.to_vec()).ok()),
            document_bytes: document.map(<[u8]>::len),
            at: now(),
        }
    }
}

fn now() -> String {
    humantime::format_rfc3339_seconds(SystemTime::now()).to_string()
}
