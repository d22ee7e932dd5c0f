//! Entries of a trigger queue, about rows as they are now.

use std::collections::{BTreeMap, HashMap};

use apply::Version;
use change::PgType;
use outbox::{Captured, Consumer, Entry, Installed, Queue, Session, Taken, What};
use snapshot::catalog;
use tracing::warn;

use super::{Batch, Receipt, Write};
use crate::config::Config;
use crate::failure::Failure;
use crate::run::{ANEW, Context, load};
use crate::source::Source;

/// So many entries are taken at once at most.
const MOST: usize = 4_000;
/// So many rows are asked for by one statement.
const KEYS: usize = 1_000;
const SETUP: &str = "run `wal2es setup`";

/// What triggers are for: every planned table with its partitions.
pub(crate) async fn captured(context: &Context, source: &Source) -> Result<Vec<Captured>, Failure> {
    let mut tables = Vec::new();
    for one in &context.planned {
        tables.push(Captured {
            oid: one.table.oid,
            name: one.table.name.clone(),
            key: one.plan.key_columns().map(str::to_owned).collect(),
            depends_on_settings: one.table.columns.iter().any(|column| {
                one.plan.key_columns().any(|key| key == column.name) && !is_plain(&column.ty)
            }),
            parts: catalog::descendants(&source.client, one.table.oid).await?,
        });
    }
    Ok(tables)
}

/// A value has the same text whatever a session has set.
fn is_plain(ty: &PgType) -> bool {
    use PgType::{Bool, Enum, Int2, Int4, Int8, Numeric, Oid, Text, Uuid};
    matches!(ty, Bool | Int2 | Int4 | Int8 | Oid | Numeric | Text | Uuid | Enum)
}

/// Nobody takes from the queue.
pub(crate) async fn is_free(config: &Config, source: &Source) -> Result<bool, Failure> {
    let queue = Queue::new(&config.queue.schema);
    let mut session = Session::connect(&source.info).await?;
    match queue.look(session.connection(), &[]).await?.queue {
        Some(oid) => Ok(session.lock(lock_of(&name_of(oid))).await?),
        None => Ok(true),
    }
}

/// What the state says of the queue.
fn name_of(oid: u32) -> String {
    format!("queue {oid}")
}

/// The lock of the consumer of the queue of that name.
pub(super) fn lock_of(name: &str) -> i64 {
    crate::run::point::key("consumer", name)
}

/// See the module.
pub(super) struct Entries {
    pub(super) consumer: Consumer,
    pub(super) queue: Queue,
}

impl Entries {
    pub(super) async fn connect(config: &Config, source: &Source) -> Result<Self, Failure> {
        let queue = Queue::new(&config.queue.schema);
        let consumer = Consumer::connect(&source.info, queue.clone()).await?;
        Ok(Entries { consumer, queue })
    }

    /// The queue is there, and ours, and every table is captured.
    pub(super) async fn check(
        &mut self,
        context: &Context,
        source: &Source,
    ) -> Result<String, Failure> {
        let tables = captured(context, source).await?;
        let connection = self.consumer.session().connection();
        let installed = self.queue.look(connection, &tables).await?;
        let name = must_be_installed(&context.config.queue.schema, installed)?;
        must_be_ours(context, &mut self.consumer).await?;
        Ok(name)
    }

    /// A partition that was attached or went, a trigger that was dropped.
    pub(super) async fn look(&mut self, context: &Context, source: &Source) -> Result<(), Failure> {
        let parts: Vec<u32> =
            context.planned.iter().flat_map(|one| one.index.parts.iter().copied()).collect();
        if !load::has_parts(context, source, &parts).await? {
            return Err(Failure::reload("a partition went, with its rows"));
        }
        let tables = captured(context, source).await?;
        let connection = self.consumer.session().connection();
        let installed = self.queue.look(connection, &tables).await?;
        let uncaptured = [installed.without, installed.strays].concat();
        if !uncaptured.is_empty() {
            warn!(
                tables = uncaptured.join(", "),
                "these have no triggers, or are no partitions any more: run `wal2es setup`, and `wal2es resync` if something was \
                 written to them directly"
            );
        }
        Ok(())
    }

    /// The next entries, and the documents of their keys.
    pub(super) async fn take(&mut self, context: &Context) -> Result<Batch, Failure> {
        let Taken { entries, before, flushed, complete } = self.consumer.take(MOST).await?;
        let Touched { emptied, keys } = touched(context, &entries)?;
        let mut writes = Vec::new();
        for (at, keys) in keys {
            self.read(context, at, &keys, &mut writes).await?;
        }
        let receipt = Receipt::Entries(entries);
        Ok(Batch {
            emptied,
            writes,
            before,
            flushed,
            complete,
            at_end: complete,
            within: false,
            held: false,
            receipt,
        })
    }

    /// The documents of these keys of the planned table `at`, with the entries' ids as versions.
    async fn read(
        &mut self,
        context: &Context,
        at: usize,
        keys: &HashMap<Vec<String>, u64>,
        writes: &mut Vec<Write>,
    ) -> Result<(), Failure> {
        let Some(one) = context.planned.get(at) else { return Ok(()) };
        let mut versions = HashMap::with_capacity(keys.len());
        for (key, id) in keys {
            let mut name = Vec::new();
            one.plan.write_id_of(key.iter().map(String::as_str), &mut name);
            versions.insert(name, *id);
        }
        let all: Vec<&[String]> = keys.keys().map(Vec::as_slice).collect();
        for some in all.chunks(KEYS) {
            let take = |id: &[u8], document| {
                let Some(version) = versions.get(id) else { return };
                let version = Version::from_raw(*version);
                writes.push(Write { at, id: id.to_owned(), version, document });
            };
            self.consumer.documents(&one.table, &one.plan, some, take).await?;
        }
        Ok(())
    }
}

/// What entries are about.
#[derive(Default)]
struct Touched {
    /// Planned tables that were truncated.
    emptied: Vec<usize>,
    /// By planned table, the last entry of each key.
    keys: BTreeMap<usize, HashMap<Vec<String>, u64>>,
}

fn touched(context: &Context, entries: &[Entry]) -> Result<Touched, Failure> {
    let planned = &context.planned;
    let mut touched = Touched::default();
    let emptied = |table: u32| {
        entries.iter().any(|entry| entry.table == table && entry.what == What::Emptied)
    };
    for entry in entries {
        let at = planned.iter().position(|one| one.table.oid == entry.table);
        // A table that is not followed any more.
        let Some((at, one)) = at.and_then(|at| Some((at, planned.get(at)?))) else { continue };
        match &entry.what {
            // Of a key that the index had before it was built anew.
            What::Row(key) if key.len() != one.plan.key_columns().count() => {}
            What::Row(key) => {
                touched.keys.entry(at).or_default().insert(key.clone(), entry.id);
            }
            What::Emptied => {
                // What was written before is gone, or has a later entry.
                touched.keys.remove(&at);
                touched.emptied.push(at);
            }
            What::PartEmptied if emptied(entry.table) => {}
            What::PartEmptied => {
                let table = &one.table.name;
                return Err(Failure::resync(
                    format!(
                        "{table}: a partition was truncated alone, and nobody knows what was in it"
                    ),
                    ANEW,
                    Some(at),
                ));
            }
        }
    }
    Ok(touched)
}

/// What the state says of the queue.
fn must_be_installed(schema: &str, installed: Installed) -> Result<String, Failure> {
    if let Some(mark) = installed.other {
        return Err(Failure::config(
            format!("the table {schema}.queue is not this version's: it says {mark:?}"),
            "name another schema (queue.schema), or `wal2es teardown` with the version that made it",
        ));
    }
    let Some(oid) = installed.queue else {
        return Err(Failure::config(format!("there is no trigger queue {schema}.queue"), SETUP));
    };
    if !installed.without.is_empty() {
        let tables = installed.without.join(", ");
        return Err(Failure::config(
            format!("changes are not captured, or by other keys than those of the index: {tables}"),
            format!("{SETUP}, and `wal2es resync` if the table was written to meanwhile"),
        ));
    }
    if !installed.strays.is_empty() {
        return Err(Failure::config(
            format!("no partitions any more, and still captured: {}", installed.strays.join(", ")),
            format!("{SETUP}, which takes their triggers away, and then `wal2es resync`"),
        ));
    }
    if !installed.subscribed.is_empty() {
        return Err(Failure::config(
            format!(
                "a subscription writes to {}, and fires no statement triggers",
                installed.subscribed.join(", ")
            ),
            "index the tables of the publisher, or use source.capture: slot",
        ));
    }
    Ok(name_of(oid))
}

/// Two connectors would each miss what the other has taken.
async fn must_be_ours(context: &Context, consumer: &mut Consumer) -> Result<(), Failure> {
    match consumer.claim(&context.owner).await? {
        Some(owner) if owner != context.owner => Err(Failure::config(
            format!(
                "the trigger queue {}.queue is that of the connector {owner}",
                context.config.queue.schema
            ),
            "give this one a schema of its own (queue.schema), and run `wal2es setup`",
        )),
        _ => Ok(()),
    }
}
