//! The database as it is: what kind of server, which publication, which slot.

use std::time::Duration;

use change::Lsn;
use feed::Plugin;
use snapshot::catalog::{self, Publication};
use tokio_postgres::Client;
use wal::{ConnInfo, Connection, Mode, System};

use crate::config::Config;
use crate::failure::Failure;
use crate::planned::Planned;
use crate::relations;

/// The oldest server: the first whose pgoutput can be asked for all that is needed.
const OLDEST: u32 = 140_000;
/// A session that does not answer to nothing within this time is given up.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// A session for ordinary SQL.
pub(crate) struct Source {
    pub(crate) info: ConnInfo,
    pub(crate) client: Client,
    /// `server_version_num`.
    pub(crate) version: u32,
    /// Changes come from the log; else nothing is asked of it.
    pub(crate) by_log: bool,
}

/// A row of [`pg_replication_slots`](https://www.postgresql.org/docs/current/view-pg-replication-slots.html).
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(crate) plugin: Option<String>,
    pub(crate) database: Option<String>,
    pub(crate) active_pid: Option<i32>,
    pub(crate) confirmed: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub(crate) wal_status: Option<String>,
    /// Sends prepared transactions before they are committed.
    pub(crate) two_phase: bool,
    /// Why it can't be read any more, as the server calls it; from 16 on.
    pub(crate) invalidation: Option<String>,
    /// Kept on standbys too; from 17 on.
    pub(crate) failover: bool,
}

/// Why a slot can't be read any more.
pub(crate) struct Invalid {
    pub(crate) cause: String,
    /// What keeps it from happening again.
    pub(crate) prevention: &'static str,
}

impl Slot {
    /// Why it can't be read any more, if it can't.
    pub(crate) fn invalid(&self) -> Option<Invalid> {
        let lost = self.wal_status.as_deref() == Some("lost");
        let reason = self.invalidation.as_deref().or(lost.then_some("wal_removed"))?;
        // https://www.postgresql.org/docs/current/view-pg-replication-slots.html
        let (cause, prevention) = match reason {
            "wal_removed" => (
                "the server has removed log that was still needed",
                "raise max_slot_wal_keep_size, or keep wal2es running",
            ),
            "rows_removed" => (
                "the server has removed rows of the catalog that were still needed",
                "set hot_standby_feedback on the standby",
            ),
            "wal_level_insufficient" => {
                ("wal_level was lower than logical for a time", "leave wal_level at logical")
            }
            "idle_timeout" => (
                "nobody read it for longer than idle_replication_slot_timeout",
                "raise idle_replication_slot_timeout, or keep wal2es running",
            ),
            _ => ("the server has invalidated it", "look into the log of Postgres"),
        };
        Some(Invalid { cause: format!("{cause} ({reason})"), prevention })
    }
}

impl Source {
    /// Opens the session and checks that the server can be used.
    pub(crate) async fn connect(config: &Config) -> Result<Self, Failure> {
        let info = config.conn_info()?;
        let client = open(&info).await?;
        let row = client
            .query_one(
                "SELECT pg_catalog.current_setting('server_version_num')::int, \
                        pg_catalog.current_setting('wal_level'), pg_catalog.pg_is_in_recovery(), \
                        pg_catalog.current_setting('server_version')",
                &[],
            )
            .await?;
        let version = row.get::<_, i32>(0).unsigned_abs();
        if version < OLDEST {
            return Err(Failure::config(
                format!("Postgres {} is too old", row.get::<_, &str>(3)),
                "use Postgres 14 or newer",
            ));
        }
        if row.get::<_, bool>(2) {
            return Err(Failure::config(
                "this Postgres is a standby",
                "name the primary in source.url",
            ));
        }
        let level: &str = row.get(1);
        // From 19 on a slot turns logical decoding on by itself.
        if config.by_log() && level != "logical" && !(version >= 190_000 && level == "replica") {
            return Err(Failure::config(
                format!("wal_level is {level}"),
                "ALTER SYSTEM SET wal_level = logical, then restart Postgres; where that can't be: source.capture: queue, or events",
            ));
        }
        Ok(Source { info, client, version, by_log: config.by_log() })
    }

    /// Opens the session again if it has ended, or says nothing any more: what lies between may have forgotten it, and
    /// nobody would ever tell.
    pub(crate) async fn revive(&mut self) -> Result<(), Failure> {
        let asked = tokio::time::timeout(ANSWERS_WITHIN, self.client.simple_query("")).await;
        if !matches!(asked, Ok(Ok(_))) {
            self.client = open(&self.info).await?;
        }
        Ok(())
    }

    /// Who the server is, over a connection of its own that also shows the right to replicate.
    pub(crate) async fn identify(&self) -> Result<System, Failure> {
        if !self.by_log {
            const QUERY: &str = "SELECT s.system_identifier::text, c.timeline_id \
                                 FROM pg_catalog.pg_control_system() s, pg_catalog.pg_control_checkpoint() c";
            let row = self.client.query_one(QUERY, &[]).await?;
            let timeline = row.get::<_, i32>(1).unsigned_abs();
            let xlogpos = crate::position::flushed(&self.client).await?;
            let database = Some(self.info.dbname.clone());
            return Ok(System { system_id: row.get(0), timeline, xlogpos, database });
        }
        let mut connection = Connection::connect(&self.info, Mode::Replication).await?;
        let system = connection.identify_system().await?;
        connection.terminate().await;
        Ok(system)
    }

    /// The publication, which must be there and publish all that an index needs.
    pub(crate) async fn publication(&self, config: &Config) -> Result<Publication, Failure> {
        if config.by_events() {
            return Ok(Publication::none());
        }
        let name = &config.source.publication;
        let found = catalog::publication(&self.client, name).await?.ok_or_else(|| {
            Failure::config(
                format!("there is no publication {name} in the database {}", self.info.dbname),
                "run `wal2es setup`, or have its SQL run by an administrator: `wal2es setup --print`",
            )
        })?;
        if let Some(left_out) = found.leaves_out() {
            return Err(Failure::config(
                format!("the publication {name} does not publish {left_out}"),
                format!(
                    "ALTER PUBLICATION {} SET (publish = 'insert, update, delete, truncate')",
                    wal::identifier(name)
                ),
            ));
        }
        Ok(found)
    }

    /// The published tables, or that of events; those that can't be read are named.
    pub(crate) async fn tables(&self, config: &Config) -> Result<Vec<change::Table>, Failure> {
        if config.by_events() {
            let tables = vec![crate::events::table(config, self).await?];
            self.must_be_readable(&tables).await?;
            return Ok(tables);
        }
        let name = &config.source.publication;
        let tables = catalog::published_tables(&self.client, name, self.version).await?;
        let filtered = tables.iter().find(|table| table.row_filter.is_some());
        if let Some(table) =
            filtered.filter(|_| config.plugin().is_ok_and(|p| p == Plugin::TestDecoding))
        {
            return Err(Failure::config(
                format!(
                    "the publication {name} has a row filter on {}, which test_decoding knows nothing of",
                    table.name
                ),
                format!(
                    "use source.plugin: pgoutput, or publish the whole table: ALTER PUBLICATION {} SET TABLE …",
                    wal::identifier(name)
                ),
            ));
        }
        relations::explain_unpublished(self, config, &tables).await?;
        if config.indexes.is_none() {
            relations::warn_of_left_out(self, name).await?;
        }
        self.must_be_readable(&tables).await?;
        Ok(tables)
    }

    async fn must_be_readable(&self, tables: &[change::Table]) -> Result<(), Failure> {
        let oids: Vec<u32> = tables.iter().map(|table| table.oid).collect();
        const QUERY: &str = "SELECT oid FROM unnest($1::oid[]) AS t(oid) \
                             WHERE NOT pg_catalog.has_any_column_privilege(oid, 'SELECT')";
        let unreadable: Vec<u32> =
            self.client.query(QUERY, &[&oids]).await?.iter().map(|row| row.get(0)).collect();
        let unreadable: Vec<String> = tables
            .iter()
            .filter(|table| unreadable.contains(&table.oid))
            .map(|table| table.name.quoted())
            .collect();
        if unreadable.is_empty() {
            return Ok(());
        }
        Err(Failure::config(
            format!("the role {} may not read {}", self.info.user, unreadable.join(", ")),
            format!(
                "GRANT SELECT ON {} TO {}, and USAGE on the schema",
                unreadable.join(", "),
                wal::identifier(&self.info.user)
            ),
        ))
    }

    /// The plugin sends text in an encoding that we can read.
    pub(crate) async fn encoding(&self, config: &Config) -> Result<(), Failure> {
        if config.plugin()? == Plugin::PgOutput {
            return Ok(());
        }
        const QUERY: &str = "SELECT pg_catalog.current_setting('server_encoding')";
        let row = self.client.query_one(QUERY, &[]).await?;
        match row.get::<_, &str>(0) {
            "UTF8" | "SQL_ASCII" => Ok(()),
            // The walsender converts what a plugin hands over value by value, as pgoutput does; not lines of text.
            other => Err(Failure::config(
                format!(
                    "the database {} is in {other}, and test_decoding sends it as it is",
                    self.info.dbname
                ),
                "use source.plugin: pgoutput, whose values the server converts",
            )),
        }
    }

    /// How long the server waits for a sign of life from us; zero for ever.
    pub(crate) async fn wal_sender_timeout(&self) -> Result<Duration, Failure> {
        const QUERY: &str =
            "SELECT setting::bigint FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'";
        let row = self.client.query_one(QUERY, &[]).await?;
        Ok(Duration::from_millis(row.get::<_, i64>(0).unsigned_abs()))
    }

    /// The columns of an `id` that the configuration names must be unique together: two rows with one document would
    /// overwrite each other.
    pub(crate) async fn check_ids(&self, planned: &[Planned]) -> Result<(), Failure> {
        const QUERY: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_index i \
             WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL \
               AND (SELECT bool_and(a.attname = ANY ($2::text[])) FROM pg_catalog.pg_attribute a \
                     WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1])))";
        // Of events, the last one counts.
        for one in planned.iter().filter(|one| one.projection.is_none()) {
            let id: Vec<&str> = one.plan.key_columns().collect();
            let row = self.client.query_one(QUERY, &[&one.table.oid, &id]).await?;
            if !row.get::<_, bool>(0) {
                let columns: Vec<_> = id.iter().map(|column| wal::identifier(column)).collect();
                let columns = columns.join(", ");
                return Err(Failure::config(
                    format!(
                        "table {}: the columns of its id ({columns}) are not unique",
                        one.table.name
                    ),
                    format!(
                        "CREATE UNIQUE INDEX ON {} ({columns}) (a deferrable constraint does not do), or choose other columns as `id`",
                        one.table.name.quoted()
                    ),
                ));
            }
        }
        Ok(())
    }

    /// The slot of that name, if there is one.
    pub(crate) async fn slot(&self, name: &str) -> Result<Option<Slot>, Failure> {
        let since = match self.version {
            170_000.. => "invalidation_reason, failover",
            160_000.. => "CASE WHEN conflicting THEN 'conflicting' END, false",
            _ => "NULL::text, false",
        };
        let query = format!(
            "SELECT plugin::text, database::text, active_pid, confirmed_flush_lsn::text, wal_status, two_phase, {since} \
             FROM pg_catalog.pg_replication_slots WHERE slot_name = $1"
        );
        let row = self.client.query_opt(&query, &[&name]).await?;
        Ok(row.map(|row| Slot {
            plugin: row.get(0),
            database: row.get(1),
            active_pid: row.get(2),
            confirmed: row.get::<_, Option<&str>>(3).and_then(|text| text.parse().ok()),
            wal_status: row.get(4),
            two_phase: row.get(5),
            invalidation: row.get(6),
            failover: row.get(7),
        }))
    }

    /// What to say of a slot that was never made.
    pub(crate) fn no_slot(name: &str) -> Failure {
        Failure::config(
            format!("there is no replication slot {name}"),
            "run `wal2es setup`, or have its SQL run by an administrator: `wal2es setup --print`",
        )
    }

    /// Makes the slot anew if it is not there or can't be read any more: for a generation that needs nothing of the log so
    /// far.
    pub(crate) async fn renew_slot(&self, config: &Config) -> Result<(), Failure> {
        let name = &config.source.slot;
        match self.slot(name).await? {
            Some(slot) if slot.invalid().is_none() => return Ok(()),
            Some(_) => {
                const DROP: &str = "SELECT pg_catalog.pg_drop_replication_slot($1)";
                self.client.execute(DROP, &[&name.as_str()]).await?;
            }
            None => {}
        }
        const MAKE: &str = "SELECT pg_catalog.pg_create_logical_replication_slot($1, $2)";
        self.client.query(MAKE, &[&name.as_str(), &config.source.plugin.as_str()]).await?;
        tracing::info!(slot = %name, "made the slot anew");
        Ok(())
    }

    /// The slot is of the plugin and the database that are configured, and tells of transactions when they are committed.
    pub(crate) fn fits(&self, config: &Config, slot: &Slot) -> Result<(), Failure> {
        let (name, wanted) = (&config.source.slot, config.plugin()?);
        let another = "name another one in source.slot, or drop it: \
                       SELECT pg_drop_replication_slot(…), then `wal2es setup`";
        match slot.plugin.as_deref() {
            Some(plugin) if plugin == wanted.name() => {}
            Some(plugin) => {
                let wanted = wanted.name();
                let message = format!("the slot {name} is of the plugin {plugin}, not {wanted}");
                return Err(Failure::config(message, another));
            }
            None => {
                let message = format!("the slot {name} is a physical one");
                return Err(Failure::config(message, another));
            }
        }
        if slot.database.as_deref() != Some(self.info.dbname.as_str()) {
            let of = slot.database.as_deref().unwrap_or_default();
            let message =
                format!("the slot {name} is of the database {of}, not {}", self.info.dbname);
            return Err(Failure::config(message, another));
        }
        if slot.two_phase {
            let message = format!(
                "the slot {name} sends prepared transactions before they are committed (two_phase)"
            );
            return Err(Failure::config(message, another));
        }
        Ok(())
    }
}

/// A session for ordinary SQL.
pub(crate) async fn open(info: &ConnInfo) -> Result<Client, Failure> {
    let (client, driver) = wal::sql::connect(info).await?;
    // Ends when the client is dropped.
    tokio::spawn(async move {
        if let Err(error) = driver.await {
            tracing::debug!(%error, "the SQL session ended");
        }
    });
    Ok(client)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_a_slot_is_invalid() {
        let said = |wal_status: &str, invalidation: Option<&str>| {
            let slot = Slot {
                plugin: None,
                database: None,
                active_pid: None,
                confirmed: None,
                wal_status: Some(wal_status.to_owned()),
                two_phase: false,
                invalidation: invalidation.map(str::to_owned),
                failover: false,
            };
            slot.invalid().map(|why| why.cause)
        };
        for fine in ["reserved", "extended", "unreserved"] {
            assert_eq!(said(fine, None), None);
        }
        // Before 16 there is nothing but the status.
        assert!(said("lost", None).unwrap().contains("(wal_removed)"));
        for reason in
            ["wal_removed", "rows_removed", "wal_level_insufficient", "idle_timeout", "conflicting"]
        {
            let cause = said("lost", Some(reason)).unwrap();
            assert!(cause.contains(&format!("({reason})")), "{cause}");
            assert_eq!(said("reserved", Some(reason)), Some(cause));
        }
    }
}
