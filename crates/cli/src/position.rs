//! The source's current position, as something that the stream will reach.

use change::Lsn;
use tokio_postgres::Client;

use crate::failure::Failure;

/// Everything committed before this call ends at or before the position that it gives.
///
/// See [`Lsn::without_header`].
///
/// # Errors
/// The query fails, or the server is a standby.
pub(crate) async fn current(client: &Client) -> Result<Lsn, Failure> {
    const QUERY: &str = "SELECT pg_catalog.pg_current_wal_insert_lsn()::text, \
                         pg_catalog.current_setting('wal_segment_size')::text";
    let row = client.query_one(QUERY, &[]).await?;
    let insert = parse(row.get(0))?;
    let segment: &str = row.get(1);
    Ok(insert.without_header(segment_size(segment)))
}

/// Up to where the log is on disk: nothing beyond it can have been sent to anybody.
///
/// # Errors
/// The query fails, or the server is a standby.
pub(crate) async fn flushed(client: &Client) -> Result<Lsn, Failure> {
    let row = client.query_one("SELECT pg_catalog.pg_current_wal_flush_lsn()::text", &[]).await?;
    parse(row.get(0))
}

/// Has the server flush its log soon, if it has not by now: what an asynchronous commit wrote last may otherwise lie in
/// memory until the next one.
///
/// # Errors
/// The query fails.
pub(crate) async fn nudge(client: &Client) -> Result<(), Failure> {
    client.simple_query("SELECT pg_catalog.pg_current_xact_id()").await?;
    Ok(())
}

fn parse(text: &str) -> Result<Lsn, Failure> {
    text.parse().map_err(|error| Failure::stop(format!("Postgres: {error}"), "report this"))
}

/// `16MB` as `SHOW wal_segment_size` prints it.
fn segment_size(text: &str) -> u64 {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "GB" => 1 << 30,
        "kB" => 1 << 10,
        _ => 1 << 20,
    };
    digits.parse::<u64>().ok().filter(|size| *size > 0).map_or(16 << 20, |size| size * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_as_the_server_prints_them() {
        assert_eq!((segment_size("16MB"), segment_size("1GB")), (16 << 20, 1 << 30));
    }
}
