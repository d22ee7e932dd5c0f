//! Takes entries of the queue, and the rows that they are about.

use std::collections::HashMap;
use std::time::Duration;

use change::{Lsn, OldImage, Table};
use document::{DocumentError, Plan, Scratch};
use snapshot::copy::Copy;
use wal::{ConnInfo, Connection, Mode};

use crate::error::{Error, Result};
use crate::queue::{EMPTIED, Queue};

/// Between two looks whether the log is on disk: it is soon, if anybody waits for a commit; else the server does it a few times
/// a second.
const LOOK_EVERY: Duration = Duration::from_millis(2);

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

/// A session that takes entries. One at a time for each queue: see [`Consumer::lock`].
pub struct Consumer {
    session: Connection,
    queue: Queue,
}

impl Consumer {
    /// Connects.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn connect(info: &ConnInfo, queue: Queue) -> Result<Self> {
        let failed = Error::of("connecting for the trigger queue");
        let mut session = Connection::connect(info, Mode::Ordinary).await.map_err(&failed)?;
        // An entry that comes back after a crash is only done once more.
        // What this session itself writes must not be what it waits for in `until_flushed`; no standby needs it.
        session.simple_query("SET synchronous_commit = local").await.map_err(&failed)?;
        match session.simple_query("SET client_connection_check_interval = '2s'").await {
            // Some systems have no such check.
            Err(error) if error.db_error().is_none() => Err(failed(error)),
            _ => Ok(Consumer { session, queue }),
        }
    }

    /// The session, for other questions.
    pub fn session(&mut self) -> &mut Connection {
        &mut self.session
    }

    /// Takes the [advisory lock](https://www.postgresql.org/docs/current/explicit-locking.html#ADVISORY-LOCKS) `key`, which goes
    /// with the session. False if another consumer has it.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn lock(&mut self, key: i64) -> Result<bool> {
        let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
        Ok(self.one("locking the trigger queue", &sql).await?.as_deref() == Some("t"))
    }

    /// The first `most` entries, and all of TRUNCATE.
    ///
    /// # Errors
    /// The connection fails, there is no queue.
    pub async fn take(&mut self, most: usize) -> Result<Taken> {
        const DOING: &str = "reading the trigger queue";
        // By a statement of its own: the next one sees whatever was committed before. A commit is in the log before it can be
        // seen: whoever reads the very same position once it is answered would take the one for the other.
        let at = self.position(DOING, "pg_current_wal_insert_lsn").await?;
        let before = Lsn::new(at.get().saturating_sub(1));
        // One of TRUNCATE may be early: a row that is there now was written after it, and has an entry of its own.
        let first = format!(
            "id <= (SELECT max(id) FROM (SELECT id FROM {0} ORDER BY id LIMIT {most}) first)",
            self.queue.entries()
        );
        let entries = self.entries(DOING, &format!("{first} OR {EMPTIED} ORDER BY id")).await?;
        let complete = entries.len() < most;
        Ok(Taken { entries, before, complete })
    }

    /// Entries of tables that were truncated: a copy whose snapshot is made after this call has what they are about.
    ///
    /// # Errors
    /// As [`Consumer::take`].
    pub async fn truncations(&mut self) -> Result<Vec<Entry>> {
        self.entries("reading the trigger queue", EMPTIED).await
    }

    async fn entries(&mut self, doing: &'static str, which: &str) -> Result<Vec<Entry>> {
        let sql = format!(
            "SELECT id, tbl, pg_catalog.to_json(key) FROM {} WHERE {which}",
            self.queue.entries()
        );
        let rows = self.session.simple_query(&sql).await.map_err(Error::of(doing))?;
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
        let mut copy = Copy::of_keys(&mut self.session, table, &columns, keys).await?;
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
                take(&id, document(source, written));
            }
        }
        for (id, _) in wanted.iter().filter(|(_, found)| !**found) {
            take(id, Document::Gone);
        }
        Ok(())
    }

    /// Waits until everything that could be seen before this call is on disk.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn until_flushed(&mut self) -> Result<()> {
        const DOING: &str = "waiting for the log";
        let seen = self.position(DOING, "pg_current_wal_insert_lsn").await?;
        // Right behind a boundary the position is that behind the header of a page, where nothing has been written yet.
        let seen = Lsn::new(seen.get().saturating_sub(40));
        while self.position(DOING, "pg_current_wal_flush_lsn").await? < seen {
            tokio::time::sleep(LOOK_EVERY).await;
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
        self.session.simple_query(&sql).await.map(drop).map_err(Error::of("deleting entries"))
    }

    /// Says whether the consumer has to be notified. From the moment that nobody who may have read the flag before is
    /// running any more, every writer does; [`Consumer::is_known`] tells.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn set_asleep(&mut self, asleep: bool) -> Result<u64> {
        const DOING: &str = "changing the flag of the consumer";
        let sql = format!(
            "UPDATE {} SET asleep = {asleep} RETURNING pg_catalog.pg_current_xact_id()",
            self.queue.flag()
        );
        let xid = self.one(DOING, &sql).await?;
        let nonsense = || Error::Answer { doing: DOING, what: format!("{xid:?}") };
        xid.as_deref().and_then(|xid| xid.parse().ok()).ok_or_else(nonsense)
    }

    /// Every transaction that writes sees what the transaction `xid` has written.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn is_known(&mut self, xid: u64) -> Result<bool> {
        let sql = format!(
            "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) > '{xid}'::xid8"
        );
        Ok(self.one("waiting for writers", &sql).await?.as_deref() == Some("t"))
    }

    async fn position(&mut self, doing: &'static str, function: &str) -> Result<Lsn> {
        let text = self.one(doing, &format!("SELECT pg_catalog.{function}()")).await?;
        let nonsense = || Error::Answer { doing, what: format!("{text:?}") };
        text.as_deref().and_then(|text| text.parse().ok()).ok_or_else(nonsense)
    }

    async fn one(&mut self, doing: &'static str, sql: &str) -> Result<Option<String>> {
        let rows = self.session.simple_query(sql).await.map_err(Error::of(doing))?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()))
    }
}

fn document(source: Vec<u8>, written: Result<(), DocumentError>) -> Document {
    match written {
        Ok(()) => Document::Is(source),
        Err(error) => Document::Impossible(error.to_string()),
    }
}
