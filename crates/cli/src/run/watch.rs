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

use std::collections::HashMap;
use std::time::Duration;

use ::feed::{Feed, Known, Plugin, Shape};
use change::{ReplicaIdentity, Table, TableName};
use snapshot::catalog::{self, Part, Publication};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_postgres::Client;
use wal::ConnInfo;

use super::{ANEW, Context};
use crate::failure::Failure;
use crate::planned::{Planned, membership};
use crate::source::{self, Source};

/// What a look into the catalog has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compared {
    Same,
    /// The publication has other tables than before.
    Reload,
}

/// Between two looks.
const AT_LEAST: Duration = Duration::from_secs(1);

/// How long a look waits for a lock before it gives up and the next one tries.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '10s'";

/// What the catalog says of all followed tables.
pub(super) struct Facts {
    publication: Option<Publication>,
    tables: Vec<Table>,
    /// See [`catalog::entries`].
    entries: HashMap<u32, u32>,
    /// With the place of the followed table that they are partitions of.
    parts: Vec<(usize, Part)>,
}

/// Looks into the catalog now and then, over all sessions of a run.
pub(super) struct Watch {
    due: Instant,
    looked: Instant,
    /// Something new was named while a look was under way.
    again: bool,
    looking: Option<JoinHandle<Result<Facts, Failure>>>,
    /// As of the last look.
    parts: Option<Vec<(usize, Part)>>,
    /// The version of each followed table's row in `pg_class` when it was first read.
    versions: Option<Vec<String>>,
}

impl Watch {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Watch { due: now, looked: now, again: false, looking: None, parts: None, versions: None }
    }

    /// At the start of a session: is it still the same, and which names are those of partitions? A look follows at once.
    pub(super) async fn begin_session(
        &mut self,
        context: &Context,
        source: &Source,
        feed: &mut Feed<'_>,
    ) -> Result<(), Failure> {
        let oids = oids(context);
        let (versions, parts) =
            tokio::try_join!(must_be_the_same(context, source), parts(&source.client, &oids))?;
        for (at, part) in &parts {
            feed.learn(part.name.clone(), Known::Part(*at));
        }
        self.versions.get_or_insert(versions);
        self.parts.get_or_insert(parts);
        // One that is under way may be so for ever, over a connection that nobody knows any more.
        if let Some(looking) = self.looking.take() {
            looking.abort();
        }
        self.due = Instant::now();
        Ok(())
    }

    /// Something new was named: look soon, but not again and again.
    pub(super) fn hurry(&mut self) {
        self.again = self.looking.is_some();
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
        let pause = if self.again { AT_LEAST } else { context.config.source.catalog_interval };
        self.again = false;
        self.due = self.looked + pause;
        facts.map_err(|error| Failure::retry(format!("the look failed: {error}"), "report this"))?
    }

    /// Compares what was found with what the plan was made of.
    pub(super) fn compare(
        &mut self,
        context: &Context,
        feed: &Feed<'_>,
        facts: Facts,
    ) -> Result<Compared, Failure> {
        let plugin = context.config.plugin()?;
        if let Some(leaves_out) = facts.publication.as_ref().and_then(Publication::leaves_out) {
            let problem = format!("the publication does not publish {leaves_out} any more");
            return Err(Failure::resync(format!("everything needs resync: {problem}"), ANEW, None));
        }
        if context.follows_publication && other_tables(context, &facts.tables) {
            return Ok(Compared::Reload);
        }
        let publication = facts.publication.as_ref().map_or(0, |publication| publication.oid);
        let stayed = |one: &Planned| {
            one.index.membership == membership(publication, &facts.entries, one.table.oid)
        };
        let published = |one: &Planned| facts.tables.iter().any(|now| now.oid == one.table.oid);
        if context.planned.iter().any(|one| published(one) && !stayed(one)) {
            return Ok(Compared::Reload);
        }
        for (at, one) in context.planned.iter().enumerate() {
            let now = facts.tables.iter().find(|now| now.oid == one.table.oid);
            let difference = match now {
                Some(now) => difference(one, now, plugin),
                None => Some("it was dropped, or is not published any more".to_owned()),
            };
            if let Some(difference) = difference {
                return Err(changed(context, at, &difference));
            }
        }
        for (at, part) in &facts.parts {
            let Some(one) = context.planned.get(*at) else { continue };
            if let Some((problem, _)) = weaker(one, part) {
                return Err(changed(context, *at, &problem));
            }
            if feed.is_other(&part.name) {
                let problem = format!("{} was attached after it had rows", part.name);
                return Err(changed(context, *at, &problem));
            }
        }
        for (at, part) in self.parts.iter().flatten() {
            let still = facts.parts.iter().any(|(_, now)| now.oid == part.oid);
            if !still && *at < context.planned.len() {
                let problem = format!("its partition {} was detached or dropped", part.name);
                return Err(changed(context, *at, &problem));
            }
        }
        self.parts = Some(facts.parts);
        Ok(Compared::Same)
    }

    /// The partitions of the planned table `at` as of the last look, by their OIDs.
    pub(super) fn parts_of(&self, at: usize) -> Vec<u32> {
        let parts = self.parts.iter().flatten().filter(|(of, _)| *of == at);
        parts.map(|(_, part)| part.oid).collect()
    }

    /// What a name stands for that the stream has used and that nobody has told of. `could_be`: a followed table with the
    /// same columns.
    pub(super) async fn lookup(
        &self,
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
        let versions = must_be_the_same(context, source).await?;
        let above: Vec<u32> = rows.iter().map(|row| row.get(0)).collect();
        if !above.is_empty() {
            let root = context.planned.iter().position(|one| above.contains(&one.table.oid));
            return Ok(root.map_or(Known::Other, Known::Part));
        }
        // A table that is gone may be a followed one under a name of the past, if that was altered at all.
        let altered = |at: &usize| {
            let before = self.versions.as_ref().and_then(|versions| versions.get(*at));
            before != versions.get(*at)
        };
        if let Some(at) = could_be.filter(altered) {
            let problem =
                format!("it may have been {name} for a time, a table that is not there any more");
            return Err(changed(context, at, &problem));
        }
        tracing::debug!(table = %name, "rows of a table that is not there any more are passed over");
        Ok(Known::Other)
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
    client.batch_execute(LOCK_TIMEOUT).await?;
    // One view of the catalog for all of it.
    client.batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let publication_now = catalog::publication(&client, &publication).await?;
    let tables = catalog::published_tables(&client, &publication, version).await?;
    let entries = catalog::entries(&client, &publication).await?;
    let parts = parts(&client, &oids).await?;
    Ok(Facts { publication: publication_now, tables, entries, parts })
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
pub(super) fn difference(one: &Planned, now: &Table, plugin: Plugin) -> Option<String> {
    let before = &one.table;
    if now.row_filter != before.row_filter {
        return Some("the row filter of the publication changed".to_owned());
    }
    if plugin == Plugin::TestDecoding && now.name != before.name {
        return Some(format!("it was renamed to {}, which test_decoding does not tell", now.name));
    }
    // pgoutput tells it with the rows, and Postgres refuses those that it could not tell.
    let unidentified = |key: &&str| {
        plugin == Plugin::TestDecoding
            && !now.columns.iter().any(|column| column.name == **key && column.in_identity)
    };
    if let Some(key) = one.plan.key_columns().find(unidentified) {
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
/// (That a key image may be marked as a whole row is dealt with where values are taken from one.)
pub(super) fn weaker(one: &Planned, part: &Part) -> Option<(String, String)> {
    let full = part.identity == ReplicaIdentity::Full;
    let missing =
        one.plan.key_columns().find(|key| !full && !part.identity_columns.iter().any(|c| c == key));
    missing.map(|key| {
        let part = &part.name;
        let problem = format!(
            "the replica identity of its partition {part} does not hold column {key:?} of the id"
        );
        (problem, format!("ALTER TABLE {} REPLICA IDENTITY FULL", part.quoted()))
    })
}

/// With test_decoding: the followed tables have the names that they were planned with. Gives the versions of their rows in
/// the catalog, which every ALTER TABLE changes.
async fn must_be_the_same(context: &Context, source: &Source) -> Result<Vec<String>, Failure> {
    const QUERY: &str = "SELECT n.nspname::text, c.relname::text, c.xmin::text \
           FROM unnest($1::oid[]) WITH ORDINALITY AS t(oid, at) \
           LEFT JOIN pg_catalog.pg_class c ON c.oid = t.oid \
           LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ORDER BY t.at";
    if context.config.plugin()? == Plugin::PgOutput {
        return Ok(Vec::new());
    }
    let rows = source.client.query(QUERY, &[&oids(context)]).await?;
    for ((at, one), row) in context.planned.iter().enumerate().zip(&rows) {
        let table = &one.table;
        let name = match (row.get::<_, Option<String>>(0), row.get::<_, Option<String>>(1)) {
            (Some(schema), Some(name)) => TableName::new(schema, name),
            _ if context.follows_publication => return Err(Failure::reload("a table was dropped")),
            _ => return Err(changed(context, at, "it was dropped")),
        };
        if name != table.name {
            let why = format!("it was renamed to {name}, which test_decoding does not tell");
            return Err(changed(context, at, &why));
        }
    }
    Ok(rows.iter().map(|row| row.get::<_, Option<String>>(2).unwrap_or_default()).collect())
}

/// Tables have come into the publication, or have gone.
fn other_tables(context: &Context, now: &[Table]) -> bool {
    let known = |oid: u32| {
        context.elsewhere.contains(&oid) || context.planned.iter().any(|one| one.table.oid == oid)
    };
    let planned = context.planned.iter().map(|one| one.table.oid);
    let followed = planned.chain(context.elsewhere.iter().copied());
    let published = |oid: u32| now.iter().any(|table| table.oid == oid);
    let mut followed = followed;
    now.iter().any(|table| !known(table.oid)) || followed.any(|oid| !published(oid))
}

fn changed(context: &Context, at: usize, why: &str) -> Failure {
    let table = context.planned.get(at).map_or_else(String::new, |one| one.table.name.to_string());
    Failure::resync(format!("{table} needs resync: {why}"), ANEW, Some(at))
}
