//! The state document: how far the index is, and whose it is.
//!
//! One document per connector in the index `wal2es-state`, written by compare-and-set: two connectors on one slot can't
//! both write it, and an edit from outside is noticed. It is written after the writes that it speaks of are durable
//! and before their position is confirmed to Postgres, so a restart finds a position from which nothing is missing.

mod suspects;

use std::sync::Arc;
use std::time::Duration;

use change::Lsn;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::backoff::Backoff;
use crate::own_index;
use crate::suspects::SuspectChunk;
use crate::target::{DocVersion, IndexFacts, Target};
use crate::{Error, Kind};

const INDEX: &str = "wal2es-state";

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// The rows at the consistent point are being copied; an interruption begins anew.
    Copying,
    /// The copy is complete, the stream goes on from `applied_lsn`.
    Streaming,
}

/// What is kept of one managed index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IndexState {
    /// The name that readers use.
    pub alias: String,
    /// The table, for people.
    pub table: String,
    /// The index that is written.
    pub index: String,
    /// Its uuid and the histories of its primaries.
    pub uuid: String,
    /// See [`IndexFacts::histories`].
    pub histories: Vec<String>,
    /// The index behind the alias; another one than `index` while a truncated or new table is not shown yet.
    pub shown: Option<String>,
    /// How far `shown` followed the stream, when it is of another generation than `index`.
    #[serde(default, with = "as_text")]
    pub shown_lsn: Lsn,
    /// Indices that nobody needs any more.
    pub retired: Vec<String>,
    /// The index that is being made for what follows a TRUNCATE: whoever abandons this generation finds it here.
    #[serde(default)]
    pub making: Option<String>,
    /// How many times the table was truncated, for the names of indices.
    pub truncations: u32,
    /// What the mapping and the choice of columns were when the index was made.
    pub plan_hash: String,
    /// The columns that its documents are made of, as they were at `applied_lsn`.
    #[serde(default)]
    pub columns: Vec<ColumnState>,
    /// `pg_class.oid` of the table; 0 where it was not kept.
    #[serde(default)]
    pub table_oid: u32,
    /// How the table came into the publication: the OID of that and of the table's entry in it. Empty where it was not kept.
    #[serde(default)]
    pub membership: String,
    /// The OIDs of its partitions, as they were when the catalog was last looked into.
    #[serde(default)]
    pub parts: Vec<u32>,
    /// Commits before this are in the index already, whatever `applied_lsn` says: it was built beside the stream.
    #[serde(default, with = "as_text")]
    pub since: Lsn,
    /// The alias is left as it is: it was turned back by `rollback`, or the index is still being built.
    #[serde(default)]
    pub held: bool,
    /// Indices of earlier generations that `rollback` can turn the alias back to.
    #[serde(default)]
    pub kept: Vec<KeptIndex>,
}

/// An index that does not follow the stream any more and is kept for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptIndex {
    /// Its name.
    pub index: String,
    /// When it may be dropped, in seconds since 1970.
    pub until: u64,
    /// It shows the table as of here.
    #[serde(with = "as_text")]
    pub applied_lsn: Lsn,
}

/// A commit, known by its place in the log and its time: another history has another one there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LastCommit {
    /// Where its record ends.
    #[serde(with = "as_text")]
    pub end: Lsn,
    /// When it was, by the server's clock, in microseconds since 1970.
    pub at: u64,
}

/// One column of the table of an index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnState {
    /// Its name.
    pub name: String,
    /// `pg_attribute.attnum`.
    #[serde(default)]
    pub number: i16,
    /// The OID of its type.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub type_modifier: i32,
}

impl IndexState {
    /// The facts, as the target tells them.
    pub fn facts(&self) -> IndexFacts {
        IndexFacts { uuid: self.uuid.clone(), histories: self.histories.clone() }
    }

    /// The generation of an index of this alias, by its name.
    pub fn generation_of(&self, index: &str) -> Option<u32> {
        generation_of(&self.alias, index)
    }

    /// Readers of the alias see another index than the one that is written, and are to be moved over.
    pub fn is_hidden(&self) -> bool {
        !self.held && self.shown.as_ref() != Some(&self.index)
    }

    /// Readers have been moved over to `index`. What they saw before is kept for `keep` if it is of another generation, in
    /// place of what was kept so far; else nobody needs it any more.
    pub(crate) fn show(&mut self, keep: Duration) {
        let Some(before) = self.shown.replace(self.index.clone()) else { return };
        if self.generation_of(&before) == self.generation_of(&self.index) {
            self.retired.push(before);
            return;
        }
        self.retired.extend(self.kept.drain(..).map(|kept| kept.index));
        let until = unix_seconds().saturating_add(keep.as_secs());
        self.kept.push(KeptIndex { index: before, until, applied_lsn: self.shown_lsn });
        self.retire_kept();
    }

    /// Retires what has been kept long enough. Gives when the next will be due, in seconds since 1970.
    pub(crate) fn retire_kept(&mut self) -> Option<u64> {
        let now = unix_seconds();
        let due = self.kept.extract_if(.., |kept| kept.until <= now);
        self.retired.extend(due.map(|kept| kept.index));
        self.kept.iter().map(|kept| kept.until).min()
    }

    /// Another index will be written from now on: what readers see stays, and is known to show the table as of `applied`.
    #[must_use]
    pub fn left_behind(mut self, applied: Lsn) -> IndexState {
        if self.shown.as_ref() == Some(&self.index) {
            self.shown_lsn = applied;
        } else {
            self.retired.push(self.index.clone());
        }
        self.retired.extend(self.making.take());
        self
    }

    /// Every index of this alias that is ours.
    pub fn all(&self) -> impl Iterator<Item = &String> {
        let kept = self.kept.iter().map(|kept| &kept.index);
        let made = std::iter::once(&self.index).chain(&self.making);
        made.chain(&self.shown).chain(&self.retired).chain(kept)
    }
}

/// The state document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`crate::FORMULA`].
    pub formula: u32,
    /// `IDENTIFY_SYSTEM` of the source.
    pub system_id: String,
    /// Its timeline.
    pub timeline: u32,
    /// The database.
    pub database: String,
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// What the versions of the documents are of: empty for the log, else the trigger queue or the table of events, with its
    /// OID.
    #[serde(default)]
    pub capture: String,
    /// How far tables were read in place of the log, in the words of who reads them; empty for the log.
    #[serde(default)]
    pub read_to: String,
    /// 1 for the first.
    pub generation: u32,
    /// Where it stands.
    pub step: Step,
    /// Every commit that ends at or before this is durable in the indices.
    #[serde(with = "as_text")]
    pub applied_lsn: Lsn,
    /// Every commit that ends at or before this is found by searches.
    #[serde(with = "as_text")]
    pub visible_lsn: Lsn,
    /// The managed indices.
    pub indexes: Vec<IndexState>,
    /// Why the indices can't be made right by the stream alone, when they can't.
    #[serde(default)]
    pub needs_resync: Option<String>,
    /// The aliases that this is about; none for all.
    #[serde(default)]
    pub needs_resync_of: Vec<String>,
    /// Indices whose tables are not published any more: they stay as they are.
    #[serde(default)]
    pub detached: Vec<IndexState>,
    /// How many times somebody else than the connector has changed this document: whoever runs must read it again then.
    #[serde(default)]
    pub revision: u64,
    /// A build beside the stream is nearly as far and can't get any closer: the connector waits for it where it is.
    #[serde(default)]
    pub handing_over: bool,
    /// The slot is a failover slot and the standbys that could be promoted are waited for: what is in the index is on
    /// them too.
    #[serde(default)]
    pub failover: bool,
    /// The last commit of the stream at or before `applied_lsn`; none before the first.
    #[serde(default)]
    pub last_commit: Option<LastCommit>,
    /// Nothing that commits at or beyond this has been sent: before it is, a state that says more is saved. Zero when it is
    /// not known.
    #[serde(default, with = "as_text")]
    pub sent_below: Lsn,
    /// Where the keys and deletes are that a request which was given up may still concern.
    #[serde(default)]
    pub suspects: Vec<SuspectChunk>,
    /// The process that wrote last.
    #[serde(default)]
    pub writer: String,
    /// Its how manieth write this is.
    #[serde(default)]
    pub sequence: u64,
}

mod as_text {
    use change::Lsn;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(lsn: &Lsn, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(lsn)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Lsn, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Reads and writes the state document of one connector.
pub struct Store {
    target: Arc<Target>,
    id: String,
    at: Option<DocVersion>,
    /// We have not written yet. The slot is ours by then, so the process before us is gone; but one last write of it, which
    /// may have been killed, can arrive after we have read.
    may_be_late: bool,
    writer: String,
    sequence: u64,
}

impl Store {
    /// For the connector of `slot`.
    pub fn new(target: Arc<Target>, system_id: &str, database: &str, slot: &str) -> Self {
        let id = format!("{system_id}.{database}.{slot}");
        let writer = format!("{:016x}", fastrand::u64(..));
        Store { target, id, at: None, may_be_late: true, writer, sequence: 0 }
    }

    /// The id of the document.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The document, if there is one.
    ///
    /// # Errors
    /// The target does not answer, or the document is of another version of wal2es.
    pub async fn load(&mut self) -> Result<Option<State>, Error> {
        let found = self.target.get_doc::<serde_json::Value>(INDEX, &self.id).await?;
        let Some((source, at)) = found else {
            self.at = None;
            return Ok(None);
        };
        let state = serde_json::from_value(source).map_err(|error| {
            Error::stop(
                format!("the state document {INDEX}/{} can't be read: {error}", self.id),
                format!(
                    "it was edited or is of another version of wal2es: go on with that version, or delete it (DELETE \
                     /{INDEX}/_doc/{}): the next `wal2es run` copies everything into new indices",
                    self.id
                ),
            )
        })?;
        self.at = Some(at);
        Ok(Some(state))
    }

    /// Writes the document over the one that was last loaded or saved; tries again for as long as it takes.
    ///
    /// # Errors
    /// Somebody else has written it meanwhile ([`Kind::Superseded`] when that was a resync or a rollback), or the target
    /// will never take it.
    pub async fn save(&mut self, state: &State) -> Result<(), Error> {
        let mut backoff = Backoff::default();
        self.sequence += 1;
        let state = State { writer: self.writer.clone(), sequence: self.sequence, ..state.clone() };
        loop {
            match self.try_save(&state).await {
                Ok(true) => return Ok(()),
                // The last write of the process before us came in between: ours goes over it.
                Ok(false) => {}
                Err(error) if error.kind() == Kind::Transient => {
                    if backoff.attempts().is_multiple_of(12) {
                        tracing::warn!(%error, "the state could not be saved; trying again");
                    }
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// False when it is worth another attempt at once.
    async fn try_save(&mut self, state: &State) -> Result<bool, Error> {
        let source = serde_json::to_value(state).map_err(not_json)?;
        if let Some(at) = self.target.put_doc(INDEX, &self.id, &source, self.at).await? {
            self.at = Some(at);
            self.may_be_late = false;
            return Ok(true);
        }
        let found = self.target.get_doc::<serde_json::Value>(INDEX, &self.id).await?;
        if let Some((found, at)) = found {
            // Ours, the answer to an earlier attempt having been lost.
            if found["writer"] == state.writer && found["sequence"] == state.sequence {
                self.at = Some(at);
                return Ok(true);
            }
            if found["revision"].as_u64().unwrap_or(0) > state.revision {
                return Err(Error::superseded());
            }
            if std::mem::take(&mut self.may_be_late) {
                self.at = Some(at);
                return Ok(false);
            }
        }
        Err(Error::stop(
            format!(
                "the state document {INDEX}/{} was changed or deleted by somebody else",
                self.id
            ),
            "is a second connector running on this slot? Stop one of them, then start again",
        ))
    }

    /// Changes the document that was last loaded, whose connector may be running: it reads the document again then. False
    /// when that connector has written it meanwhile.
    ///
    /// # Errors
    /// The target does not answer or does not take it.
    pub async fn change(&mut self, state: &State) -> Result<bool, Error> {
        let mut backoff = Backoff::default();
        let revision = state.revision + 1;
        let state = State { writer: self.writer.clone(), sequence: 0, revision, ..state.clone() };
        let source = serde_json::to_value(state).map_err(not_json)?;
        loop {
            let put = self.target.put_doc(INDEX, &self.id, &source, self.at).await;
            match put.map_err(Error::from) {
                Ok(Some(at)) => {
                    self.at = Some(at);
                    return Ok(true);
                }
                // Ours, the answer to an earlier attempt having been lost?
                Ok(None) => {
                    let found = self.target.get_doc::<serde_json::Value>(INDEX, &self.id).await?;
                    let ours = |found: &serde_json::Value| {
                        found["writer"] == self.writer && found["revision"] == revision
                    };
                    return Ok(found.is_some_and(|(found, _)| ours(&found)));
                }
                Err(error) if error.kind() == Kind::Transient => {
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Deletes the document.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn delete(&mut self) -> Result<(), Error> {
        self.target.delete_doc(INDEX, &self.id, None).await?;
        self.at = None;
        Ok(())
    }

    /// Deletes the document that was last loaded or saved, unless somebody has written another one since.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn delete_unless_changed(&mut self) -> Result<(), Error> {
        self.target.delete_doc(INDEX, &self.id, self.at.take()).await?;
        Ok(())
    }

    /// Makes the index of state documents unless it is there.
    ///
    /// # Errors
    /// The target does not answer or does not allow it.
    pub async fn prepare(&self) -> Result<(), Error> {
        own_index::make(&self.target, INDEX, json!({})).await
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn not_json(error: serde_json::Error) -> Error {
    Error::stop(format!("the state can't be written as JSON: {error}"), "report this")
}

/// N of `ALIAS-gN` and `ALIAS-gN.tK`.
pub fn generation_of(alias: &str, index: &str) -> Option<u32> {
    let rest = index.strip_prefix(alias)?.strip_prefix("-g")?;
    rest.split('.').next()?.parse().ok()
}

pub(crate) fn unix_seconds() -> u64 {
    std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs()
}

/// How often the state is saved while something changes.
pub(crate) const SAVE_EVERY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stub::{Reply, Stub};

    fn state() -> State {
        State {
            formula: crate::FORMULA,
            system_id: "1".into(),
            timeline: 1,
            database: "d".into(),
            slot: "s".into(),
            publication: "p".into(),
            capture: String::new(),
            read_to: String::new(),
            generation: 1,
            step: Step::Streaming,
            applied_lsn: Lsn::new(0x1_0000_0010),
            visible_lsn: Lsn::ZERO,
            indexes: Vec::new(),
            writer: "before".into(),
            sequence: 7,
            needs_resync: None,
            needs_resync_of: Vec::new(),
            detached: Vec::new(),
            revision: 0,
            handing_over: false,
            failover: false,
            last_commit: None,
            sent_below: Lsn::ZERO,
            suspects: Vec::new(),
        }
    }

    fn document(writer: &str) -> Reply {
        let source = serde_json::to_value(State { writer: writer.into(), ..state() }).unwrap();
        let answer = json!({"_seq_no": 5, "_primary_term": 1, "_source": source});
        Reply::Answer(200, answer.to_string())
    }

    fn conflict() -> Reply {
        Reply::Answer(409, "{}".to_owned())
    }

    async fn loaded(documents: Vec<Reply>) -> (Stub, Store) {
        let stub = Stub::start(vec![]).await;
        let mut store = Store::new(Arc::new(stub.target().await), "1", "d", "s");
        stub.answer_documents(documents);
        let found = store.load().await.unwrap().unwrap();
        assert_eq!((found.applied_lsn, found.sequence), (state().applied_lsn, 7));
        (stub, store)
    }

    #[tokio::test]
    async fn one_last_write_of_a_killed_predecessor_may_come_late() {
        // Whoever it was: the first write of a process that nobody has seen is as late as any other.
        for writer in ["before", "another"] {
            let late = vec![document("before"), conflict(), document(writer)];
            let (stub, mut store) = loaded(late).await;
            store.save(&state()).await.unwrap();
            assert_eq!(stub.requests().iter().filter(|r| r.starts_with("PUT")).count(), 2);
        }
    }

    #[tokio::test]
    async fn somebody_who_goes_on_writing_stops_us() {
        let twice = vec![document("before"), conflict(), document("x"), conflict(), document("x")];
        let (_stub, mut store) = loaded(twice).await;
        assert_eq!(store.save(&state()).await.unwrap_err().kind(), Kind::Stop);
        // Also the predecessor itself, once we have written: it is alive.
        let written = Reply::Answer(200, r#"{"_seq_no":6,"_primary_term":1}"#.to_owned());
        let documents = vec![document("before"), written, conflict(), document("before")];
        let (_stub, mut store) = loaded(documents).await;
        store.save(&state()).await.unwrap();
        assert_eq!(store.save(&state()).await.unwrap_err().kind(), Kind::Stop);
    }

    #[tokio::test]
    async fn a_change_on_purpose_is_told_from_all_others() {
        let changed = State { revision: 1, ..state() };
        let source = serde_json::to_value(changed).unwrap();
        let answer = json!({"_seq_no": 9, "_primary_term": 1, "_source": source});
        let documents =
            vec![document("before"), conflict(), Reply::Answer(200, answer.to_string())];
        let (_stub, mut store) = loaded(documents).await;
        assert_eq!(store.save(&state()).await.unwrap_err().kind(), Kind::Superseded);
    }
}
