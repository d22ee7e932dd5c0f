//! The documents of suspects beside the state document, which names them.

use std::time::Instant;

use super::{INDEX, State, Store, not_json};
use crate::Error;
use crate::backoff::persist;
use crate::indices::Indices;
use crate::suspects::{Document, Kept, SuspectChunk};

impl Store {
    /// Keeps what is suspect of `indices` after a copy into them, and says so in `state`, which is to be saved next.
    ///
    /// # Errors
    /// The target will never take it.
    pub async fn keep_suspects(&self, indices: &Indices, state: &mut State) -> Result<(), Error> {
        let now = Instant::now();
        let kept = indices.suspects(|suspects| suspects.keep(&self.id, state.applied_lsn, now));
        state.suspects.clone_from(&kept.refs);
        state.sent_below = state.applied_lsn;
        self.write_suspects(&kept).await
    }

    /// Writes the documents that a state is about to name.
    pub(crate) async fn write_suspects(&self, kept: &Kept) -> Result<(), Error> {
        for (id, document) in &kept.write {
            let document = serde_json::to_value(document).map_err(not_json)?;
            persist(|| async { Ok(self.target.overwrite_doc(INDEX, id, &document).await?) })
                .await?;
        }
        Ok(())
    }

    /// Deletes the documents that no state names any more. What can't be deleted now is found at the next start.
    pub(crate) async fn delete_suspects(&self, ids: &[String]) {
        for id in ids {
            if let Err(error) = self.target.delete_doc(INDEX, id, None).await {
                tracing::debug!(%error, id, "a document of suspects is left behind");
            }
        }
    }

    /// What is in such a document. None when it is not there or can't be read.
    pub(crate) async fn read_suspects(&self, id: &str) -> Result<Option<Document>, Error> {
        let read = || async { Ok(self.target.get_doc::<serde_json::Value>(INDEX, id).await?) };
        let found = persist(read).await?;
        Ok(found.and_then(|(source, _)| serde_json::from_value(source).ok()))
    }

    /// Deletes every document of suspects of this connector and of builds beside it, whose state was `state`.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn drop_suspects(&self, state: Option<&State>) -> Result<(), Error> {
        let named = state.iter().flat_map(|state| &state.suspects).map(|chunk| chunk.id.clone());
        let named: Vec<String> = named.collect();
        self.delete_suspects(&named).await;
        let own = [format!("{}.suspects.", self.id), format!("{}_next.suspects.", self.id)];
        let mut left = self.target.ids(INDEX).await?;
        left.retain(|id| own.iter().any(|prefix| id.starts_with(prefix)));
        self.delete_suspects(&left).await;
        Ok(())
    }

    /// Deletes the documents of suspects of this connector but those in `kept`.
    ///
    /// # Errors
    /// The target does not answer.
    pub(crate) async fn sweep_suspects(&self, kept: &[SuspectChunk]) -> Result<(), Error> {
        let prefix = format!("{}.suspects.", self.id);
        let mut left = self.target.ids(INDEX).await?;
        left.retain(|id| id.starts_with(&prefix) && !kept.iter().any(|kept| kept.id == *id));
        self.delete_suspects(&left).await;
        Ok(())
    }

    /// Whether somebody has changed the document on purpose since `state` was read, as a resync and a rollback do.
    ///
    /// # Errors
    /// The target does not answer.
    pub(crate) async fn is_superseded(&self, state: &State) -> Result<bool, Error> {
        let found = self.target.get_doc::<serde_json::Value>(INDEX, &self.id).await?;
        let revision = found.and_then(|(found, _)| found["revision"].as_u64());
        Ok(revision.is_some_and(|revision| revision > state.revision))
    }
}
