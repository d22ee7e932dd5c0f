//! What test_decoding does not tell, from the catalog: which table a name stands for, and whether the followed tables are
//! still the same.
//!
//! pgoutput describes a table by its OID before its rows; test_decoding writes a name, as it was when the row changed. So
//! names of partitions are told to the feed beforehand, an unknown name is looked up, and once a minute the followed tables
//! are compared with what they were: one that was renamed, made anew or given another replica identity needs a resync,
//! because rows in between may have been taken for another table's, or a changed key not seen.

use std::time::Duration;

use ::feed::{Feed, Known, Plugin};
use change::{ReplicaIdentity, TableName};
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::{ANEW, Context};
use crate::failure::Failure;
use crate::planned::Planned;
use crate::source::Source;

const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Reminds of the catalog, where the plugin makes that necessary.
pub(super) struct Watch(Option<Interval>);

impl Watch {
    /// Tells the feed the names of partitions, and takes the first look.
    pub(super) async fn start(
        context: &Context,
        source: &Source,
        feed: &mut Feed<'_>,
    ) -> Result<Watch, Failure> {
        if context.config.plugin()? == Plugin::PgOutput {
            return Ok(Watch(None));
        }
        must_be_the_same(context, source).await?;
        for (name, at) in parts(context, source).await? {
            feed.learn(name, Known::Part(at));
        }
        let mut timer = interval(LOOK_EVERY);
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer.reset();
        Ok(Watch(Some(timer)))
    }

    /// Comes back when it is time for [`must_be_the_same`]. May be dropped at any time.
    pub(super) async fn due(&mut self) {
        match &mut self.0 {
            Some(timer) => {
                timer.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

/// The partitions of the followed tables.
async fn parts(context: &Context, source: &Source) -> Result<Vec<(TableName, usize)>, Failure> {
    const QUERY: &str = "SELECT t.at, n.nspname::text, c.relname::text \
           FROM unnest($1::oid[]) WITH ORDINALITY AS t(oid, at) \
          CROSS JOIN LATERAL pg_catalog.pg_partition_tree(t.oid::regclass) p \
           JOIN pg_catalog.pg_class c ON c.oid = p.relid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
          WHERE p.level > 0";
    let oids: Vec<u32> = context.planned.iter().map(|one| one.table.oid).collect();
    let rows = source.client.query(QUERY, &[&oids]).await?;
    let part = |row: &tokio_postgres::Row| {
        let at = usize::try_from(row.get::<_, i64>(0) - 1).unwrap_or(usize::MAX);
        (TableName::new(row.get::<_, String>(1), row.get::<_, String>(2)), at)
    };
    Ok(rows.iter().map(part).collect())
}

/// What a name stands for that the stream has used and that nobody has told of.
pub(super) async fn lookup(
    context: &Context,
    source: &Source,
    name: &TableName,
) -> Result<Known, Failure> {
    const QUERY: &str = "SELECT c.oid, ARRAY(SELECT relid::oid FROM pg_catalog.pg_partition_ancestors(c.oid)) \
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
          WHERE n.nspname = $1 AND c.relname = $2";
    let row = source.client.query_opt(QUERY, &[&name.schema, &name.name]).await?;
    // A table that is gone may be a followed one under a name of the past.
    must_be_the_same(context, source).await?;
    let Some(row) = row else {
        tracing::warn!(table = %name, "rows of a table that is not there any more are passed over");
        return Ok(Known::Other);
    };
    let (oid, ancestors): (u32, Vec<u32>) = (row.get(0), row.get(1));
    let followed = |one: &Planned| one.table.oid != oid && ancestors.contains(&one.table.oid);
    let root = context.planned.iter().position(followed);
    Ok(root.map_or(Known::Other, Known::Part))
}

/// The followed tables have the names and replica identities that they were planned with.
pub(super) async fn must_be_the_same(context: &Context, source: &Source) -> Result<(), Failure> {
    const QUERY: &str = "SELECT n.nspname::text, c.relname::text, c.relreplident \
           FROM unnest($1::oid[]) WITH ORDINALITY AS t(oid, at) \
           LEFT JOIN pg_catalog.pg_class c ON c.oid = t.oid \
           LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY t.at";
    let oids: Vec<u32> = context.planned.iter().map(|one| one.table.oid).collect();
    let rows = source.client.query(QUERY, &[&oids]).await?;
    for (one, row) in context.planned.iter().zip(&rows) {
        let table = &one.table;
        let name = match (row.get::<_, Option<String>>(0), row.get::<_, Option<String>>(1)) {
            (Some(schema), Some(name)) => TableName::new(schema, name),
            _ => return Err(changed(table, "it was dropped")),
        };
        if name != table.name {
            return Err(changed(
                table,
                &format!("it was renamed to {name}, which test_decoding does not tell"),
            ));
        }
        if row.get::<_, Option<i8>>(2).map(i8::to_be_bytes) != Some([letter(table.identity)]) {
            let why = "its replica identity changed, which test_decoding does not tell";
            return Err(changed(table, why));
        }
    }
    Ok(())
}

/// As `pg_class.relreplident` has it.
fn letter(identity: ReplicaIdentity) -> u8 {
    match identity {
        ReplicaIdentity::Default => b'd',
        ReplicaIdentity::Index => b'i',
        ReplicaIdentity::Full => b'f',
        ReplicaIdentity::Nothing => b'n',
    }
}

fn changed(table: &change::Table, why: &str) -> Failure {
    Failure::resync(format!("{} needs a resync: {why}", table.name), ANEW)
}
