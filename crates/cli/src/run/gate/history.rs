//! Is the log up to the index's position the one that the index was made from?
//!
//! A copy of an older data directory has the same system, timeline and slot. While it is behind the index, its position
//! tells; but once it was written to for a while it is not behind any more, and its log holds other transactions at the same
//! positions. The slot gives it away: in the copy it stands where it stood then. Every commit between there and the
//! index's position is decoded once more, and the last one must be the last that went into the index, at its position and
//! of its time. After a crash of Postgres, which forgets how far the slot was, it is; mostly there is nothing to decode.

use std::time::{Duration, Instant};

use apply::LastCommit;
use change::Lsn;
use feed::Plugin;

use super::super::{ANEW, Context, SLOT_PATIENCE};
use crate::failure::Failure;
use crate::source::{Slot, Source};

/// Between the Unix and the Postgres epoch, in microseconds.
const EPOCH: i64 = 946_684_800_000_000;

/// The last commit up to `durable` is `last`. Not asked of an index that holds nothing but its copy.
pub(super) async fn must_be_ours(
    context: &Context,
    source: &Source,
    slot: &Slot,
    durable: Lsn,
    last: Option<LastCommit>,
) -> Result<(), Failure> {
    let (Some(last), Some(confirmed)) = (last, slot.confirmed) else { return Ok(()) };
    if confirmed >= durable {
        return Ok(());
    }
    let found = patiently(context, source, durable, last).await?;
    let same = match found {
        Some(found) => found == last,
        // What is in the index was confirmed, in the life of this slot.
        None => last.end <= confirmed,
    };
    if same {
        return Ok(());
    }
    let found = found.map_or_else(|| "none".to_owned(), |found| format!("one at {}", found.end));
    Err(Failure::rebuild(
        format!(
            "the log of Postgres is not the one that the index was made from: the index has a commit at {} as the last up to \
             {durable}, and the log has {found} (the database was restored from an older copy, or the state was edited)",
            last.end
        ),
        ANEW,
    ))
}

/// The session before may hold the slot for a moment.
async fn patiently(
    context: &Context,
    source: &Source,
    upto: Lsn,
    last: LastCommit,
) -> Result<Option<LastCommit>, Failure> {
    let began = Instant::now();
    loop {
        let error = match last_commit(context, source, upto).await {
            Ok(found) => return Ok(found),
            Err(error) => error,
        };
        // undefined_object: nobody can read the log before the birth of a publication, and nobody needs it.
        if error.as_db_error().is_some_and(|db| db.code().code() == "42704") {
            tracing::warn!(
                "the log up to the index can't be read any more, so it is not compared: {error}"
            );
            return Ok(Some(last));
        }
        let busy = error.as_db_error().is_some_and(|db| db.code().code() == "55006");
        if !busy || context.stop.is_cancelled() {
            return Err(error.into());
        }
        if began.elapsed() > SLOT_PATIENCE {
            return Err(super::slot::in_use(source, &context.config.source.slot).await);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The last commit that the slot has not confirmed and that ends at or before `upto`. Nothing is taken from the slot.
async fn last_commit(
    context: &Context,
    source: &Source,
    upto: Lsn,
) -> Result<Option<LastCommit>, tokio_postgres::Error> {
    // https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html: the time ends a Commit.
    // Ordered by the position, not by its text: 0/FFFFFF8 comes before 0/10000028.
    const PGOUTPUT: &str = "SELECT log.lsn::text, pg_catalog.encode(pg_catalog.substr(data, 19, 8), 'hex') \
          FROM pg_catalog.pg_logical_slot_peek_binary_changes($1, $2::text::pg_catalog.pg_lsn, NULL, \
               'proto_version', '1', 'publication_names', $3) log \
         WHERE pg_catalog.get_byte(data, 0) = 67 AND log.lsn <= $2::text::pg_catalog.pg_lsn ORDER BY log.lsn DESC LIMIT 1";
    const TEST_DECODING: &str = "SELECT log.lsn::text, \
               (EXTRACT(epoch FROM substring(data FROM '[(]at (.*)[)]')::timestamptz) * 1000000)::bigint::text \
          FROM pg_catalog.pg_logical_slot_peek_changes($1, $2::text::pg_catalog.pg_lsn, NULL, \
               'include-timestamp', '1', 'skip-empty-xacts', '1') log \
         WHERE data LIKE 'COMMIT %' AND log.lsn <= $2::text::pg_catalog.pg_lsn ORDER BY log.lsn DESC LIMIT 1";
    let config = &context.config.source;
    let (slot, upto) = (config.slot.as_str(), upto.to_string());
    let pgoutput = context.config.plugin().is_ok_and(|plugin| plugin == Plugin::PgOutput);
    let row = if pgoutput {
        let publications = wal::publication_names(&[&config.publication]);
        source.client.query_opt(PGOUTPUT, &[&slot, &upto, &publications]).await?
    } else {
        source.client.query_opt(TEST_DECODING, &[&slot, &upto]).await?
    };
    Ok(row.and_then(|row| {
        let time: &str = row.get(1);
        let since_1970 = match pgoutput {
            true => i64::from_str_radix(time, 16).ok()?.checked_add(EPOCH)?,
            false => time.parse().ok()?,
        };
        let at = u64::try_from(since_1970).ok()?;
        Some(LastCommit { end: row.get::<_, &str>(0).parse().ok()?, at })
    }))
}
