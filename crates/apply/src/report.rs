//! The report: what people like to know of a connector that runs, kept beside its state document.
//!
//! It is written over whatever is there, now and then, and may be missing, old, or of another version. Nothing is ever
//! decided by it: what is true stands in the state document.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::target::{ApiError, Target};

/// Where the state documents are.
const INDEX: &str = "wal2es-state";

/// How far a copy is. Numbers are rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Copied by now.
    pub rows: u64,
    /// How many there may be in all.
    pub estimated_rows: u64,
    /// Rows per second, of late.
    pub rate: u64,
    /// Seconds to go at that rate, if that can be said.
    pub remaining_seconds: Option<u64>,
    /// Tables that are complete.
    pub tables_done: usize,
    /// All tables.
    pub tables_total: usize,
    /// One by one, those under way first when there are too many to name.
    pub tables: Vec<TableProgress>,
}

/// How far one table is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableProgress {
    /// Its name.
    pub table: String,
    /// Copied by now.
    pub rows: u64,
    /// How many there may be.
    pub estimated_rows: u64,
    /// All of them are copied.
    pub done: bool,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// When it was written, by the clock of the writer: `2026-01-02T03:04:05Z`.
    pub updated_at: String,
    /// The machine of the writer.
    pub host: String,
    /// The process of the writer.
    pub pid: u32,
    /// `starting`, `copying`, `streaming` or `stopping`.
    pub state: String,
    /// The copy that is under way, if any.
    pub progress: Option<Progress>,
    /// Row operations per second that the target took, of late.
    pub rate: Option<u64>,
    /// Deletes that are sent again for a while.
    pub suspects: Option<usize>,
    /// Log that is written and not applied.
    pub lag_bytes: Option<u64>,
    /// How long there has been something that is committed and not applied.
    pub lag_seconds: Option<f64>,
    /// Log that the server keeps for the slot.
    pub wal_held_bytes: Option<u64>,
    /// How much more log may be written before the slot may be lost.
    pub safe_wal_size: Option<i64>,
    /// What people should see to.
    pub warnings: Vec<String>,
}

/// Reads and writes the report of one connector.
pub struct Reports {
    target: Arc<Target>,
    id: String,
}

impl Reports {
    /// For the connector of `slot`.
    pub fn new(target: Arc<Target>, system_id: &str, database: &str, slot: &str) -> Self {
        Reports { target, id: format!("{system_id}.{database}.{slot}.report") }
    }

    /// The last report. None when there is none that can be read.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn load(&self) -> Result<Option<Report>, ApiError> {
        let found = self.target.get_doc::<serde_json::Value>(INDEX, &self.id).await?;
        Ok(found.and_then(|(source, _)| serde_json::from_value(source).ok()))
    }

    /// Writes it over the one before.
    ///
    /// # Errors
    /// The target does not answer or does not take it.
    pub async fn save(&self, report: &Report) -> Result<(), ApiError> {
        let source = serde_json::to_value(report).map_err(|error| ApiError::Unreadable {
            what: "the report".to_owned(),
            why: error.to_string(),
        })?;
        self.target.overwrite_doc(INDEX, &self.id, &source).await
    }

    /// Deletes it if it is there.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn delete(&self) -> Result<(), ApiError> {
        self.target.delete_doc(INDEX, &self.id, None).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_another_version_is_read_as_far_as_it_goes() {
        let text = r#"{"updated_at": "2026-01-02T03:04:05Z", "new": 1, "progress": {"rows": 2}}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!(report.progress.unwrap().rows, 2);
        assert_eq!(report.lag_seconds, None);
    }
}
