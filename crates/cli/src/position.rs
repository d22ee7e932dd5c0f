//! The source's current position, as something that the stream will reach.

use change::Lsn;
use tokio_postgres::Client;

use crate::failure::Failure;

/// Size of a page of the log and of the headers at its beginning, which hold no record.
const PAGE: u64 = 8192;
const PAGE_HEADER: u64 = 24;
const SEGMENT_HEADER: u64 = 40;

/// Everything committed before this call ends at or before the position that it gives.
///
/// Right behind a page boundary the insert position is reported behind the page's header, where no record has ended yet:
/// on an idle server nothing would ever reach it, so the header is taken off.
///
/// # Errors
/// The query fails, or the server is a standby.
pub(crate) async fn current(client: &Client) -> Result<Lsn, Failure> {
    const QUERY: &str = "SELECT pg_catalog.pg_current_wal_insert_lsn()::text, \
                         pg_catalog.current_setting('wal_segment_size')::text";
    let row = client.query_one(QUERY, &[]).await?;
    let insert = parse(row.get(0))?;
    let segment: &str = row.get(1);
    Ok(without_header(insert, segment_size(segment)))
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

fn without_header(insert: Lsn, segment: u64) -> Lsn {
    let at = insert.get();
    if at % segment == SEGMENT_HEADER {
        Lsn::new(at - SEGMENT_HEADER)
    } else if at % PAGE == PAGE_HEADER && at % segment != PAGE_HEADER {
        Lsn::new(at - PAGE_HEADER)
    } else {
        insert
    }
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
    fn headers_are_taken_off() {
        let segment = 16 << 20;
        let at = |lsn: u64| without_header(Lsn::new(lsn), segment).get();
        assert_eq!(at(0x0300_0028), 0x0300_0000);
        assert_eq!(at(0x0300_2018), 0x0300_2000);
        assert_eq!(at(0x0300_2020), 0x0300_2020);
        assert_eq!(at(0x0300_0018), 0x0300_0018);
        assert_eq!((segment_size("16MB"), segment_size("1GB")), (16 << 20, 1 << 30));
    }
}
