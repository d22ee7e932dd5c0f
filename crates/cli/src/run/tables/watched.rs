//! A session over a connection that somebody in between has forgotten never fails: the server is never asked, or its answer never
//! comes. So whoever waits for long asks the server over another connection whether it is working for us.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use wal::ConnInfo;

use crate::failure::Failure;
use crate::source;

/// Before the server is asked, and between two answers that have to be the same.
const PATIENCE: Duration = Duration::from_secs(10);

/// Comes back when `work`, which goes on in the session of the server's process `pid`, is done; or fails when that has been idle
/// for a while, or is gone.
pub(super) async fn watched<T>(
    info: &ConnInfo,
    pid: u32,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let mut before = None;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            () = tokio::time::sleep(PATIENCE) => {}
        }
        let now = tokio::select! {
            biased;
            done = &mut work => return done,
            now = tokio::time::timeout(PATIENCE, idle_since(info, pid)) => now,
        };
        // Whether the server can't be asked, or is at work: both end by themselves.
        let Ok(Ok(Some(since))) = now else { continue };
        if before.as_ref() == Some(&since) {
            return Err(Failure::retry(
                "the connection to the source is dead: nothing comes through any more",
                "look at what lies between, if it comes again",
            ));
        }
        before = Some(since);
    }
}

/// Since when the process has nothing to do, as a text; None while it has.
async fn idle_since(info: &ConnInfo, pid: u32) -> Result<Option<String>, Failure> {
    const QUERY: &str = "SELECT CASE WHEN state LIKE 'idle%' THEN state_change::text END \
                           FROM pg_catalog.pg_stat_activity WHERE pid = $1";
    let client = source::open(info).await?;
    let pid = i32::try_from(pid).unwrap_or_default();
    let row = client.query_opt(QUERY, &[&pid]).await?;
    Ok(row.map_or_else(|| Some("gone".to_owned()), |row| row.get(0)))
}

/// The same for what is asked of a session that only listens.
pub(super) async fn answers(listener: &mut wal::Connection) -> Result<(), Failure> {
    match tokio::time::timeout(PATIENCE, listener.simple_query("SELECT 1")).await {
        Ok(answered) => Ok(answered.map(drop)?),
        Err(_) => Err(Failure::retry(
            "the connection that listens is dead: nothing comes through any more",
            "look at what lies between, if it comes again",
        )),
    }
}
