//! Replication commands: who the server is, slots, and the start of the stream.
//!
//! [The commands](https://www.postgresql.org/docs/current/protocol-replication.html) are sent as simple queries on a
//! [`Mode::Replication`](crate::Mode) connection.

use change::Lsn;
use postgres_protocol::message::backend::Message;

use crate::connection::{Connection, TextRow};
use crate::error::{Error, Result};
use crate::frame;
use crate::quote::{identifier, literal, slot_name};
use crate::sqlstate;
use crate::stream::Replication;
use crate::wire::server_error;

/// The answer to `IDENTIFY_SYSTEM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// Made by `initdb`, the same on a primary and its standbys.
    pub system_id: String,
    /// Rises by each promotion of a standby.
    pub timeline: u32,
    /// The end of what has been flushed to disk.
    pub xlogpos: Lsn,
    /// The database that this connection is on.
    pub database: Option<String>,
}

/// What to do with the snapshot of the data at the point where a new slot begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Snapshot {
    /// Let other sessions use it (`SET TRANSACTION SNAPSHOT`) until the next command on this connection.
    Export,
    /// Use it in the current transaction, which must be `REPEATABLE READ` and have run nothing yet.
    Use,
    /// Nothing.
    #[default]
    Nothing,
}

/// How to create a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SlotOptions {
    /// Drop it at the end of this connection.
    pub temporary: bool,
    /// What to do with the snapshot.
    pub snapshot: Snapshot,
    /// Copy it to standbys, so that it survives a failover (Postgres 17).
    pub failover: bool,
}

/// A slot that was just created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedSlot {
    /// The stream has every transaction that commits after this point, and the snapshot shows all before it.
    pub consistent_point: Lsn,
    /// The name of the exported snapshot.
    pub snapshot_name: Option<String>,
}

impl Connection {
    /// Asks the server who it is.
    ///
    /// # Errors
    /// [`Error::Server`], and [`Error::Protocol`] for an answer that can't be read.
    pub async fn identify_system(&mut self) -> Result<System> {
        let row = self.one_row("IDENTIFY_SYSTEM").await?;
        let parsed = || {
            let [Some(system_id), Some(timeline), Some(xlogpos), database] = row.as_slice() else {
                return None;
            };
            Some(System {
                system_id: system_id.clone(),
                timeline: timeline.parse().ok()?,
                xlogpos: xlogpos.parse().ok()?,
                database: database.clone(),
            })
        };
        parsed().ok_or_else(|| self.odd_answer("IDENTIFY_SYSTEM", &row))
    }

    /// Creates a logical slot that is decoded by `plugin` (`pgoutput`).
    ///
    /// The server waits until every transaction that is running now has ended.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::TooOld`] for `failover` before Postgres 17; [`Error::Server`], for example with
    /// SQLSTATE 42710 if the slot exists, 53400 if there is no room for another, 55000 without `wal_level = logical`.
    pub async fn create_slot(
        &mut self,
        name: &str,
        plugin: &str,
        options: SlotOptions,
    ) -> Result<CreatedSlot> {
        let sql = create_slot_sql(name, plugin, options, self.server_version())?;
        let row = self.one_row(&sql).await.map_err(|error| error.advise(slot_advice))?;
        let parsed = || {
            let [_, Some(point), snapshot_name, _] = row.as_slice() else { return None };
            Some(CreatedSlot {
                consistent_point: point.parse().ok()?,
                snapshot_name: snapshot_name.clone().filter(|name| !name.is_empty()),
            })
        };
        parsed().ok_or_else(|| self.odd_answer("CREATE_REPLICATION_SLOT", &row))
    }

    /// Drops a slot; with `wait`, as soon as nobody uses it.
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Server`] with SQLSTATE 42704 if there is none, 55006 if it is in use.
    pub async fn drop_slot(&mut self, name: &str, wait: bool) -> Result<()> {
        let name = identifier(slot_name(name)?);
        let wait = if wait { " WAIT" } else { "" };
        let dropped = self.simple_query(&format!("DROP_REPLICATION_SLOT {name}{wait}")).await;
        dropped.map(drop).map_err(|error| error.advise(slot_advice))
    }

    /// Starts the stream of a slot.
    ///
    /// Transactions that end at or before `start` are left out, and so are those before the position that was
    /// confirmed last; `start` is also what is confirmed until [`Confirm`](crate::Confirm) says more. With
    /// [`Lsn::ZERO`] nothing is. `options` go to the output plugin, for example `proto_version` and
    /// `publication_names` (see [`publication_names`](crate::publication_names)).
    ///
    /// # Errors
    /// [`Error::Name`]; [`Error::Server`] with SQLSTATE 55006 if somebody else reads the slot, 42704 if there is none,
    /// 55000 if it was invalidated.
    pub async fn start_replication(
        mut self,
        slot: &str,
        start: Lsn,
        options: &[(&str, &str)],
    ) -> Result<Replication> {
        let sql = start_sql(slot, start, options)?;
        self.start(&sql).await?;
        loop {
            if self.wire.head().await?.tag == frame::COPY_BOTH_RESPONSE {
                self.wire.skip().await?;
                return Ok(Replication::new(self.wire, start));
            }
            match self.wire.message().await? {
                Message::ErrorResponse(body) => {
                    return Err(server_error(&body, &sql).advise(slot_advice));
                }
                Message::ParameterStatus(body) => self.note_parameter(&body),
                _ => {
                    let position = self.wire.position();
                    return Err(Error::protocol(
                        position,
                        "no CopyBothResponse to START_REPLICATION",
                    ));
                }
            }
        }
    }

    async fn one_row(&mut self, sql: &str) -> Result<TextRow> {
        let mut rows = self.simple_query(sql).await?;
        match (rows.pop(), rows.is_empty()) {
            (Some(row), true) => Ok(row),
            _ => Err(Error::protocol(self.wire.position(), format!("{sql}: not one row"))),
        }
    }

    fn odd_answer(&self, command: &str, row: &TextRow) -> Error {
        Error::protocol(self.wire.position(), format!("{command} was answered by {row:?}"))
    }
}

fn slot_advice(code: &str) -> String {
    sqlstate::slot_remedy(code).to_owned()
}

fn create_slot_sql(name: &str, plugin: &str, options: SlotOptions, version: u32) -> Result<String> {
    let mut sql = format!("CREATE_REPLICATION_SLOT {}", identifier(slot_name(name)?));
    if options.temporary {
        sql.push_str(" TEMPORARY");
    }
    sql.push_str(" LOGICAL ");
    sql.push_str(&identifier(plugin));
    if options.failover && version < 170_000 {
        return Err(Error::TooOld {
            what: "a failover slot",
            needs: 17,
            server: format!("{}.{}", version / 10_000, version % 10_000),
        });
    }
    if version < 150_000 {
        sql.push_str(match options.snapshot {
            Snapshot::Export => " EXPORT_SNAPSHOT",
            Snapshot::Use => " USE_SNAPSHOT",
            Snapshot::Nothing => " NOEXPORT_SNAPSHOT",
        });
    } else {
        sql.push_str(match options.snapshot {
            Snapshot::Export => " (SNAPSHOT 'export'",
            Snapshot::Use => " (SNAPSHOT 'use'",
            Snapshot::Nothing => " (SNAPSHOT 'nothing'",
        });
        sql.push_str(if options.failover { ", FAILOVER true)" } else { ")" });
    }
    Ok(sql)
}

fn start_sql(slot: &str, start: Lsn, options: &[(&str, &str)]) -> Result<String> {
    let slot = identifier(slot_name(slot)?);
    let options: Vec<String> = options
        .iter()
        .map(|(name, value)| format!("{} {}", identifier(name), literal(value)))
        .collect();
    let options =
        if options.is_empty() { String::new() } else { format!(" ({})", options.join(", ")) };
    Ok(format!("START_REPLICATION SLOT {slot} LOGICAL {start}{options}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_by_version() {
        let export = SlotOptions { snapshot: Snapshot::Export, ..SlotOptions::default() };
        let sql = |options, version| create_slot_sql("s", "pgoutput", options, version);
        assert_eq!(
            sql(export, 140_010).unwrap(),
            r#"CREATE_REPLICATION_SLOT "s" LOGICAL "pgoutput" EXPORT_SNAPSHOT"#
        );
        assert_eq!(
            sql(export, 150_000).unwrap(),
            r#"CREATE_REPLICATION_SLOT "s" LOGICAL "pgoutput" (SNAPSHOT 'export')"#
        );
        let rich = SlotOptions { temporary: true, failover: true, snapshot: Snapshot::Nothing };
        assert_eq!(
            sql(rich, 180_006).unwrap(),
            r#"CREATE_REPLICATION_SLOT "s" TEMPORARY LOGICAL "pgoutput" (SNAPSHOT 'nothing', FAILOVER true)"#
        );
        assert!(matches!(sql(rich, 160_000), Err(Error::TooOld { needs: 17, .. })));
    }

    #[test]
    fn start_quotes_everything() {
        let names = crate::publication_names(&["it's", "b"]);
        let sql =
            start_sql("s", Lsn::new(0x1_0000_00AB), &[("publication_names", &names), ("x", "")]);
        assert_eq!(
            sql.unwrap(),
            r#"START_REPLICATION SLOT "s" LOGICAL 1/AB ("publication_names" '"it''s","b"', "x" '')"#
        );
        assert!(start_sql("S", Lsn::ZERO, &[]).is_err());
    }
}
