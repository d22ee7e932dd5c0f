//! Rows as they are now in their tables, for the values that neither the stream nor the index has: see
//! [`apply::Rows`]. Asked for one at a time over a connection of its own, which is made when it is first needed.

use apply::{Current, CurrentRow, Error, RowRef};
use change::{Lsn, OldImage, Table};
use document::{Plan, Scratch};
use snapshot::copy::Copy;
use tokio::sync::Mutex;
use tracing::warn;
use wal::{ConnInfo, Connection, Mode};

use super::prepare::Context;
use crate::source::Source;

/// How long to wait before the source is asked again.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// See the module.
pub(super) struct CurrentRows {
    info: ConnInfo,
    tables: Vec<(Table, Plan)>,
    session: Mutex<Option<Connection>>,
}

impl CurrentRows {
    /// Those of the planned tables.
    pub(super) fn new(context: &Context, source: &Source) -> Self {
        let tables = context.planned.iter().map(|one| (one.table.clone(), one.plan.clone()));
        CurrentRows {
            info: source.info.clone(),
            tables: tables.collect(),
            session: Mutex::new(None),
        }
    }

    async fn ask(&self, wanted: &RowRef) -> Result<(Current, Lsn), snapshot::Error> {
        let Some((table, plan)) = self.tables.get(wanted.at) else {
            return Ok((Current::Gone, Lsn::ZERO));
        };
        let mut session = self.session.lock().await;
        let connected = match session.take() {
            Some(connected) => connected,
            None => connect(&self.info).await?,
        };
        let connected = session.insert(connected);
        while !is_visible(connected, wanted.xid).await? {
            tokio::time::sleep(PAUSE).await;
        }
        let found = row(connected, table, plan, &wanted.key).await?;
        Ok((found, written(connected).await?))
    }
}

impl apply::Rows for CurrentRows {
    fn current<'a>(&'a self, row: &'a RowRef) -> CurrentRow<'a> {
        Box::pin(async move {
            loop {
                match self.ask(row).await {
                    Ok(found) => return Ok(found),
                    Err(error) if error.is_of_connection() => {
                        warn!(%error, "a row could not be read; trying again");
                    }
                    Err(error) => {
                        return Err(Error::stop(
                            error.to_string(),
                            "look into the server's log, then start again",
                        ));
                    }
                }
                *self.session.lock().await = None;
                tokio::time::sleep(PAUSE).await;
            }
        })
    }
}

async fn connect(info: &ConnInfo) -> Result<Connection, snapshot::Error> {
    let failed = |source| snapshot::Error::Wal { doing: "connecting for a row".to_owned(), source };
    let mut session = Connection::connect(info, Mode::Ordinary).await.map_err(failed)?;
    session.simple_query("SET row_security = off").await.map_err(failed)?;
    Ok(session)
}

/// Whether queries that begin from now on see the transaction. The stream may tell of one that they do not: a commit is in
/// the log before it is visible, and waits in between for a synchronous standby. The log has 32 bits of its id.
async fn is_visible(session: &mut Connection, xid: u32) -> Result<bool, snapshot::Error> {
    let sql = format!(
        "SELECT pg_catalog.pg_visible_in_snapshot(
                    (next - (next - {xid}) % 4294967296)::text::xid8, pg_catalog.pg_current_snapshot())
           FROM (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::numeric) now(next)"
    );
    let failed = |source| snapshot::Error::Wal { doing: "looking for a row".to_owned(), source };
    let rows = session.simple_query(&sql).await.map_err(failed)?;
    Ok(rows.first().and_then(|row| row.first()?.as_deref()) == Some("t"))
}

/// What is visible now commits before this.
async fn written(session: &mut Connection) -> Result<Lsn, snapshot::Error> {
    let failed = |source| snapshot::Error::Wal { doing: "looking for a row".to_owned(), source };
    let sql = "SELECT pg_catalog.pg_current_wal_insert_lsn()";
    let rows = session.simple_query(sql).await.map_err(failed)?;
    let lsn = rows.first().and_then(|row| row.first()?.as_deref()?.parse().ok());
    // Without a position nothing of before is trusted.
    Ok(lsn.unwrap_or(Lsn::new(u64::MAX)))
}

/// The document of the row with this key.
async fn row(
    session: &mut Connection,
    table: &Table,
    plan: &Plan,
    key: &[String],
) -> Result<Current, snapshot::Error> {
    let key = plan.key_columns().zip(key.iter().map(String::as_str));
    let mut copy = Copy::of_key(session, table, key).await?;
    let mut found = Current::Gone;
    while let Some(chunk) = copy.next_chunk().await? {
        for message in chunk.messages() {
            let (row, mut source) = (copy.read(message)?, Vec::new());
            let written =
                plan.write_source(&row, OldImage::Absent, &mut Scratch::default(), &mut source);
            found = match written {
                Ok(()) => Current::Document(source),
                Err(error) => Current::Impossible(error.to_string()),
            };
        }
    }
    Ok(found)
}
