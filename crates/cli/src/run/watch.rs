//! What the stream does not tell, from the catalog.
//!
//! pgoutput describes a table before its rows, but says nothing of a partition that was detached, of a publication that
//! was narrowed, or of a column that was dropped and made anew in the same words. test_decoding tells no more than names,
//! as they were when the row changed. So the followed tables are compared with what they were when the plan was made: at
//! the start of each session, when the stream names something unknown, and once a minute. Rows in between may have been
//! misread, so a difference that matters is a resync.
//!
//! The look runs as a task beside the stream, with a connection of its own: some of what it asks for waits for locks, which
//! an ALTER TABLE may hold for long. What the stream itself has to wait for asks only of tables of the catalog, which nobody
//! locks.

use std::time::Duration;

use ::feed::{Feed, Known, Plugin, Shape};
use change::{ReplicaIdentity, Table, TableName};
use snapshot::catalog::{self, Part};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::Client;
use wal::ConnInfo;

use super::{ANEW, Context};
use crate::failure::Failure;
use crate::planned::Planned;
use crate::source::{self, Source};

/// Between two looks.
const AT_LEAST: Duration = Duration::from_secs(1);

/// What the catalog says of all followed tables.
pub(super) struct Facts {
    tables: Vec<Table>,
    /// With the place of the followed table that they are partitions of.
    parts: Vec<(usize, Part)>,
}

/// Looks into the catalog now and then. Ends with it when dropped.
pub(super) struct Watch {
    due: Instant,
    looked: Instant,
    looking: Option<JoinHandle<Result<Facts, Failure>>>,
    parts: Vec<(usize, Part)>,
}

impl Watch {
    /// At the start of a session: the first look, whose partitions the feed is told.
    pub(super) async fn start(
        context: &Context,
        source: &Source,
        feed: &mut Feed<'_>,
    ) -> Result<Watch, Failure> {
        let names = must_be_the_same(context, source);
        let oids = oids(context);
        let ((), parts) = tokio::try_join!(names, parts(&source.client, &oids))?;
        for (at, part) in &parts {
            feed.learn(part.name.clone(), Known::Part(*at));
        }
        let now = Instant::now();
        Ok(Watch { due: now, looked: now, looking: None, parts })
    }

    /// Something new was named: look soon, but not again and again.
    pub(super) fn hurry(&mut self) {
        self.due = self.due.min(self.looked + AT_LEAST);
    }

    /// Comes back with what was found whenever a look is over. May be dropped at any time and called again.
    pub(super) async fn look(
        &mut self,
        context: &Context,
        source: &Source,
    ) -> Result<Facts, Failure> {
        let looking = match &mut self.looking {
            Some(looking) => looking,
            none => {
                sleep_until(self.due).await;
                let (info, version) = (source.info.clone(), source.version);
                let publication = context.config.source.publication.to_string();
                none.insert(tokio::spawn(facts(info, publication, version, oids(context))))
            }
        };
        let facts = looking.await;
        self.looking = None;
        self.looked = Instant::now();
        self.due = self.looked + context.config.source.catalog_interval;
        facts.map_err(|error| {
            Failure::stop(format!("the look into the catalog failed: {error}"), "report this")
        })?
    }

    /// Compares what was found with what the plan was made of.
    pub(super) fn compare(
        &mut self,
        context: &Context,
        feed: &Feed<'_>,
        facts: Facts,
    ) -> Result<(), Failure> {
        let plugin = context.config.plugin()?;
        for one in &context.planned {
            let now = facts.tables.iter().find(|now| now.oid == one.table.oid);
            let difference = match now {
                Some(now) => difference(one, now, plugin),
                None => Some("it was dropped, or is not published any more".to_owned()),
            };
            if let Some(difference) = difference {
                return Err(changed(&one.table, &difference));
            }
        }
        for (at, part) in &facts.parts {
            let Some(one) = context.planned.get(*at) else { continue };
            if let Some((problem, _)) = weaker(one, part) {
                return Err(changed(&one.table, &problem));
            }
            if feed.is_other(&part.name) {
                let problem = format!("{} was attached after it had rows", part.name);
                return Err(changed(&one.table, &problem));
            }
        }
        for (at, part) in &self.parts {
            let still = facts.parts.iter().any(|(_, now)| now.oid == part.oid);
            if let Some(one) = context.planned.get(*at).filter(|_| !still) {
                let problem = format!("its partition {} was detached or dropped", part.name);
                return Err(changed(&one.table, &problem));
            }
        }
        self.parts = facts.parts;
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(looking) = &self.looking {
            looking.abort();
        }
    }
}

fn oids(context: &Context) -> Vec<u32> {
    context.planned.iter().map(|one| one.table.oid).collect()
}

async fn facts(
    info: ConnInfo,
    publication: String,
    version: u32,
    oids: Vec<u32>,
) -> Result<Facts, Failure> {
    let client = source::open(&info).await?;
    let tables = catalog::published_tables(&client, &publication, version).await?;
    let parts = parts(&client, &oids).await?;
    Ok(Facts { tables, parts })
}

/// The partitions of these tables, with the places of the tables.
async fn parts(client: &Client, oids: &[u32]) -> Result<Vec<(usize, Part)>, Failure> {
    let mut parts = Vec::new();
    for part in catalog::partitions(client, oids).await? {
        parts.extend(oids.iter().position(|oid| *oid == part.root).map(|at| (at, part)));
    }
    Ok(parts)
}

/// What of a table is not as it was when the plan was made, if documents show it.
fn difference(one: &Planned, now: &Table, plugin: Plugin) -> Option<String> {
    let before = &one.table;
    if now.row_filter != before.row_filter {
        return Some("the row filter of the publication changed".to_owned());
    }
    if plugin == Plugin::TestDecoding && now.name != before.name {
        return Some(format!("it was renamed to {}, which test_decoding does not tell", now.name));
    }
    if plugin == Plugin::TestDecoding && now.identity != before.identity {
        return Some("its replica identity changed, which test_decoding does not tell".to_owned());
    }
    let identifies =
        |key: &&str| now.columns.iter().any(|column| column.name == **key && column.in_identity);
    if let Some(key) = one.plan.key_columns().find(|key| !identifies(key)) {
        return Some(format!("the replica identity does not hold column {key:?} of the id"));
    }
    let known = |name: &String| {
        before.columns.iter().any(|column| column.name == *name) || one.spec.exclude.contains(name)
    };
    let added = now.columns.iter().map(|column| &column.name).find(|name| !known(name));
    if let Some(added) = added.filter(|_| one.spec.columns.is_none()) {
        return Some(format!("column {added:?} was added"));
    }
    Shape::of(before, &one.plan).broken_by(&Shape::of(now, &one.plan))
}

/// Why rows of a partition can't be read by what their root says of them, and what to do about it.
///
/// pgoutput sends rows of a partition as the root's, and says of the image before what the *root's* replica identity is;
/// what the image holds, the partition's decides. `ALTER TABLE … REPLICA IDENTITY` on a root does not reach its partitions.
pub(super) fn weaker(one: &Planned, part: &Part) -> Option<(String, String)> {
    let full = part.identity == ReplicaIdentity::Full;
    let missing =
        one.plan.key_columns().find(|key| !full && !part.identity_columns.iter().any(|c| c == key));
    let remedy =
        |identity| format!("ALTER TABLE {} REPLICA IDENTITY {identity}", part.name.quoted());
    match missing {
        Some(key) => Some((
            format!(
                "the replica identity of its partition {} does not hold column {key:?} of the id",
                part.name
            ),
            remedy("FULL"),
        )),
        None if one.table.identity == ReplicaIdentity::Full && !full => Some((
            format!(
                "its partition {} has not the replica identity FULL that it has itself",
                part.name
            ),
            remedy("FULL"),
        )),
        None => None,
    }
}

/// What a name stands for that the stream has used and that nobody has told of. `could_be`: a followed table with the same
/// columns.
pub(super) async fn lookup(
    context: &Context,
    source: &Source,
    name: &TableName,
    could_be: Option<usize>,
) -> Result<Known, Failure> {
    const QUERY: &str = "WITH RECURSIVE up(oid) AS ( \
               SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
                WHERE n.nspname = $1 AND c.relname = $2 \
               UNION SELECT i.inhparent FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid \
                 JOIN pg_catalog.pg_class p ON p.oid = i.inhparent AND p.relkind = 'p') \
         SELECT oid FROM up";
    let rows = source.client.query(QUERY, &[&name.schema, &name.name]).await?;
    // A table that is gone may be a followed one under a name of the past.
    must_be_the_same(context, source).await?;
    let above: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
    if above.is_empty() {
        if let Some(one) = could_be.and_then(|at| context.planned.get(at)) {
            let problem =
                format!("it may have been {name} for a time, a table that is not there any more");
            return Err(changed(&one.table, &problem));
        }
        tracing::warn!(table = %name, "rows of a table that is not there any more are passed over");
        return Ok(Known::Other);
    }
    let root = context.planned.iter().position(|one| above.contains(&one.table.oid));
    Ok(root.map_or(Known::Other, Known::Part))
}

/// With test_decoding: the followed tables have the names and replica identities that they were planned with.
async fn must_be_the_same(context: &Context, source: &Source) -> Result<(), Failure> {
    const QUERY: &str = "SELECT n.nspname::text, c.relname::text, c.relreplident \
           FROM unnest($1::oid[]) WITH ORDINALITY AS t(oid, at) \
           LEFT JOIN pg_catalog.pg_class c ON c.oid = t.oid \
           LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY t.at";
    if context.config.plugin()? == Plugin::PgOutput {
        return Ok(());
    }
    let rows = source.client.query(QUERY, &[&oids(context)]).await?;
    for (one, row) in context.planned.iter().zip(&rows) {
        let table = &one.table;
        let name = match (row.get::<_, Option<String>>(0), row.get::<_, Option<String>>(1)) {
            (Some(schema), Some(name)) => TableName::new(schema, name),
            _ => return Err(changed(table, "it was dropped")),
        };
        if name != table.name {
            let why = format!("it was renamed to {name}, which test_decoding does not tell");
            return Err(changed(table, &why));
        }
        if row.get::<_, Option<i8>>(2).map(catalog::identity) != Some(table.identity) {
            let why = "its replica identity changed, which test_decoding does not tell";
            return Err(changed(table, why));
        }
    }
    Ok(())
}

fn changed(table: &Table, why: &str) -> Failure {
    Failure::resync(format!("{} needs resync: {why}", table.name), ANEW)
}
