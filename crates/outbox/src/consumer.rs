//! Takes entries of the queue, and the rows that they are about.

use std::collections::HashMap;

use change::{Lsn, OldImage, Table};
use document::{DocumentError, Plan, Scratch};
use snapshot::copy::Copy;
use wal::{ConnInfo, literal};

use crate::error::{Error, Result};
use crate::queue::{EMPTIED, Queue};
use crate::session::{Position, Session};

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Rises, for each key, with the commits.
    pub id: u64,
    /// The OID of the table, the root of its partitions.
    pub table: u32,
    /// What happened.
    pub what: What,
}

/// What an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A row was inserted, updated or deleted: the text of each column of its key.
    Row(Vec<String>),
    /// The table was truncated, with all of its partitions.
    Emptied,
    /// A partition was truncated. It also follows the entry of the table, if that was.
    PartEmptied,
}

/// What there was to take.
#[derive(Debug)]
pub struct Taken {
    /// In the order of their ids.
    pub entries: Vec<Entry>,
    /// Whoever reads this position, or one below, after a commit was answered finds that among the entries, if they are
    /// `complete`.
    pub before: Lsn,
    /// The log is on disk up to here.
    pub flushed: Lsn,
    /// There were no more.
    pub complete: bool,
}

/// The document of a key, as its row is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Document {
    /// Its source, without the end of the line.
    Is(Vec<u8>),
    /// The row has no document.
    Impossible(String),
    /// There is no row.
    Gone,
}

/// Takes entries. One at a time for each queue: see [`Session::lock`].
pub struct Consumer {
    session: Session,
    queue: Queue,
}

impl Consumer {
    /// Connects.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn connect(info: &ConnInfo, queue: Queue) -> Result<Self> {
        Ok(Consumer { session: Session::connect(info).await?, queue })
    }

    /// The session, for other questions.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The first `most` entries, and all of TRUNCATE.
    ///
    /// # Errors
    /// The connection fails, there is no queue.
    pub async fn take(&mut self, most: usize) -> Result<Taken> {
        const DOING: &str = "reading the trigger queue";
        let Position { before, flushed } = self.session.position().await?;
        // One of TRUNCATE may be early: a row that is there now was written after it, and has an entry of its own.
        let queue = self.queue.entries();
        let sql = format!(
            "SELECT id, tbl, pg_catalog.to_json(key) FROM (\
                (SELECT * FROM {queue} ORDER BY id LIMIT {most}) UNION SELECT * FROM {queue} WHERE {EMPTIED}) taken \
              ORDER BY id"
        );
        let entries = self.entries(DOING, &sql).await?;
        let complete = entries.len() < most;
        Ok(Taken { entries, before, flushed, complete })
    }

    /// Remembers all entries that are there: a copy whose snapshot is made after this call has what they are about.
    ///
    /// # Errors
    /// The connection fails, there is no queue.
    pub async fn remember(&mut self) -> Result<()> {
        let sql = format!(
            "DROP TABLE IF EXISTS pg_temp.covered; CREATE TEMP TABLE covered AS SELECT id FROM {}",
            self.queue.entries()
        );
        self.session.rows("remembering the entries that the copy covers", &sql).await.map(drop)
    }

    /// Deletes what was remembered: the copy is complete.
    ///
    /// # Errors
    /// The connection fails. Then they are taken as others are.
    pub async fn forget(&mut self) -> Result<()> {
        let sql = format!(
            "DELETE FROM {} q USING pg_temp.covered c WHERE q.id = c.id; DROP TABLE pg_temp.covered",
            self.queue.entries()
        );
        self.session.rows("deleting the entries that the copy covers", &sql).await.map(drop)
    }

    /// Makes the queue that of the connector `owner`, if it is nobody's yet, and tells whose it is.
    ///
    /// # Errors
    /// The connection fails, there is no queue.
    pub async fn claim(&mut self, owner: &str) -> Result<Option<String>> {
        let (flag, owner) = (self.queue.flag(), literal(owner));
        let sql = format!(
            "UPDATE {flag} SET owner = {owner} WHERE owner IS NULL; SELECT owner FROM {flag}"
        );
        self.session.one("claiming the trigger queue", &sql).await
    }

    async fn entries(&mut self, doing: &'static str, sql: &str) -> Result<Vec<Entry>> {
        let rows = self.session.rows(doing, sql).await?;
        let entries = rows.iter().map(|row| {
            let text = |at: usize| row.get(at).and_then(Option::as_deref);
            let nonsense = || Error::Answer { doing, what: format!("{row:?}") };
            let key = text(2).map(serde_json::from_str::<Vec<String>>).transpose();
            Ok(Entry {
                id: text(0).and_then(|id| id.parse().ok()).ok_or_else(nonsense)?,
                table: text(1).and_then(|oid| oid.parse().ok()).ok_or_else(nonsense)?,
                what: match key.map_err(|_| nonsense())? {
                    None => What::Emptied,
                    Some(key) if key.is_empty() => What::PartEmptied,
                    Some(key) => What::Row(key),
                },
            })
        });
        entries.collect()
    }

    /// The documents of these keys, by their ids, as the rows are now: not as they were when their entries were read.
    ///
    /// # Errors
    /// The table can't be read, the connection fails.
    pub async fn documents(
        &mut self,
        table: &Table,
        plan: &Plan,
        keys: &[&[String]],
        mut take: impl FnMut(&[u8], Document),
    ) -> Result<()> {
        let mut wanted: HashMap<Vec<u8>, bool> = HashMap::with_capacity(keys.len());
        for key in keys {
            let mut id = Vec::new();
            plan.write_id_of(key.iter().map(String::as_str), &mut id);
            wanted.insert(id, false);
        }
        let columns: Vec<&str> = plan.key_columns().collect();
        let mut copy = Copy::of_keys(self.session.connection(), table, &columns, keys).await?;
        let (mut id, mut scratch) = (Vec::new(), Scratch::default());
        while let Some(chunk) = copy.next_chunk().await? {
            for message in chunk.messages() {
                let row = copy.read(message)?;
                id.clear();
                let mut source = Vec::new();
                let written = plan.write_id(&row, &mut id).and_then(|()| {
                    plan.write_source(&row, OldImage::Absent, &mut scratch, &mut source)
                });
                // A key may be equal to one that is spelt otherwise.
                let Some(found) = wanted.get_mut(id.as_slice()) else { continue };
                *found = true;
                take(&id, Document::of(source, written));
            }
        }
        for (id, _) in wanted.iter().filter(|(_, found)| !**found) {
            take(id, Document::Gone);
        }
        Ok(())
    }

    /// Deletes entries: the index has what they are about.
    ///
    /// # Errors
    /// The connection fails. Then they are read again.
    pub async fn done(&mut self, entries: &[Entry]) -> Result<()> {
        let ids = entries.iter().map(|entry| entry.id.to_string()).collect::<Vec<_>>().join(",");
        let sql = format!("DELETE FROM {} WHERE id = ANY ('{{{ids}}}')", self.queue.entries());
        self.session.rows("deleting entries", &sql).await.map(drop)
    }
}

impl Document {
    /// What was written, or why it can't be.
    pub(crate) fn of(source: Vec<u8>, written: Result<(), DocumentError>) -> Self {
        match written {
            Ok(()) => Document::Is(source),
            Err(error) => Document::Impossible(error.to_string()),
        }
    }
}
