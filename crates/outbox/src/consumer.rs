//! Takes entries of the queue, and the rows that they are about.

use std::collections::HashMap;
use std::time::Duration;

use change::{Lsn, OldImage, Table};
use document::{DocumentError, Plan, Scratch};
use snapshot::copy::Copy;
use wal::{ConnInfo, Connection, Mode, literal};

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

/// A session that takes entries. One at a time for each queue: see [`Consumer::lock`].
pub struct Consumer {
    session: Connection,
    queue: Queue,
    /// `wal_segment_size`, in bytes.
    segment: u64,
    prepares: bool,
}

/// Size of a page of the log and of the headers at its beginning, which hold no record.
const PAGE: u64 = 8192;
const PAGE_HEADER: u64 = 24;
const SEGMENT_HEADER: u64 = 40;

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
            Err(error) if error.db_error().is_none() => return Err(failed(error)),
            _ => {}
        }
        let mut consumer = Consumer { session, queue, segment: 16 << 20, prepares: true };
        let setting =
            |name| format!("SELECT setting FROM pg_catalog.pg_settings WHERE name = '{name}'");
        const DOING: &str = "asking for settings";
        let segment = consumer.one(DOING, &setting("wal_segment_size")).await?;
        consumer.segment = segment.and_then(|text| text.parse().ok()).unwrap_or(consumer.segment);
        let prepared = consumer.one(DOING, &setting("max_prepared_transactions")).await?;
        consumer.prepares = prepared.as_deref() != Some("0");
        Ok(consumer)
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
        let flushed = self.position(DOING, "pg_current_wal_flush_lsn").await?;
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
        let done = self.session.simple_query(&sql).await;
        done.map(drop).map_err(Error::of("remembering the entries that the copy covers"))
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
        let done = self.session.simple_query(&sql).await;
        done.map(drop).map_err(Error::of("deleting the entries that the copy covers"))
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
        self.one("claiming the trigger queue", &sql).await
    }

    /// Where the server is: its timeline, and how far its log is on disk.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn history(&mut self) -> Result<(u32, Lsn)> {
        const DOING: &str = "asking for the history of the server";
        let sql = "SELECT timeline_id FROM pg_catalog.pg_control_checkpoint()";
        let timeline = self.one(DOING, sql).await?;
        let nonsense = || Error::Answer { doing: DOING, what: format!("{timeline:?}") };
        let timeline = timeline.as_deref().and_then(|text| text.parse().ok());
        let timeline = timeline.ok_or_else(nonsense)?;
        Ok((timeline, self.position(DOING, "pg_current_wal_flush_lsn").await?))
    }

    /// Transactions may be prepared, which none can be that has notified.
    pub fn prepares(&self) -> bool {
        self.prepares
    }

    async fn entries(&mut self, doing: &'static str, sql: &str) -> Result<Vec<Entry>> {
        let rows = self.session.simple_query(sql).await.map_err(Error::of(doing))?;
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
        let seen = self.without_header(seen);
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
        let sql = format!("UPDATE {} SET asleep = {asleep}", self.queue.flag());
        self.session.simple_query(&sql).await.map_err(Error::of(DOING))?;
        // Whoever begins from now on, or has not taken a snapshot yet.
        let sql = "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())";
        let xid = self.one(DOING, sql).await?;
        let nonsense = || Error::Answer { doing: DOING, what: format!("{xid:?}") };
        xid.as_deref().and_then(|xid| xid.parse().ok()).ok_or_else(nonsense)
    }

    /// Every transaction that was there when [`Consumer::set_asleep`] gave `xid` has ended.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn is_known(&mut self, xid: u64) -> Result<bool> {
        let sql = format!(
            "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) >= '{xid}'::xid8"
        );
        Ok(self.one("waiting for writers", &sql).await?.as_deref() == Some("t"))
    }

    /// Right behind the header of a page nothing has been written yet, so nothing would be flushed up to there.
    fn without_header(&self, at: Lsn) -> Lsn {
        let header = match at.get() {
            at if at % self.segment == SEGMENT_HEADER => SEGMENT_HEADER,
            at if at % PAGE == PAGE_HEADER => PAGE_HEADER,
            _ => 0,
        };
        Lsn::new(at.get() - header)
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
