//! Whether a table of events can be read as it is to be, without losing any.

use wal::{TextRow, literal};

use super::install::{STREAM, WAKE};
use super::{Events, Fill, Order};
use crate::error::Result;
use crate::session::Session;

/// What was found.
#[derive(Debug, Default)]
pub struct Found {
    /// What stands against it, each with the remedy.
    pub problems: Vec<(String, String)>,
    /// Triggers that are missing, each with the remedy: until they are there events come late, and none is lost.
    pub without: Vec<(String, String)>,
    /// What is slow or doubtful.
    pub warnings: Vec<String>,
}

const DOING: &str = "looking at the table of events";
const SETUP: &str = "run `wal2es setup`";

impl Found {
    fn problem(&mut self, what: impl Into<String>, remedy: impl Into<String>) {
        self.problems.push((what.into(), remedy.into()));
    }
}

impl Events {
    /// Looks. `notified`: the reader is to be woken by writers.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn look(&self, session: &mut Session, notified: bool) -> Result<Found> {
        let mut found = Found::default();
        self.look_at_rows(session, &mut found).await?;
        match &self.order {
            Order::TransactionId { column } => {
                self.look_at_transactions(session, column, &mut found).await?;
                self.look_at_ids(session, &mut found).await?;
            }
            Order::TableLock { .. } => {
                self.look_at_lock(session, &mut found).await?;
                self.look_at_ids(session, &mut found).await?;
            }
            Order::Stream { fill } => self.look_at_stream(session, *fill, &mut found).await?,
        }
        if notified && found.problems.is_empty() {
            self.look_at_trigger(session, WAKE, &mut found).await?;
        }
        Ok(found)
    }

    /// All rows can be seen.
    async fn look_at_rows(&self, session: &mut Session, found: &mut Found) -> Result<()> {
        let sql = format!("SELECT pg_catalog.row_security_active({}::oid), current_user", self.oid);
        let rows = session.rows(DOING, &sql).await?;
        let row = rows.first().cloned().unwrap_or_default();
        if text(&row, 0) == "t" {
            found.problem(
                format!(
                    "row security hides events of {} from the role {}",
                    self.table,
                    text(&row, 1)
                ),
                format!("ALTER ROLE {} BYPASSRLS", wal::identifier(&text(&row, 1))),
            );
        }
        Ok(())
    }

    /// Whoever else reads them, by name.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn other_readers(&self, session: &mut Session) -> Result<Vec<String>> {
        let reader = self.own("reader");
        let there = format!("SELECT pg_catalog.to_regclass({}) IS NOT NULL", literal(&reader));
        if session.one(DOING, &there).await?.as_deref() != Some("t") {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT owner FROM {reader} WHERE owner <> {}", literal(&self.owner));
        let rows = session.rows(DOING, &sql).await?;
        Ok(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()).collect())
    }

    /// The column with the transaction must be there in every event, and be that of its writer.
    async fn look_at_transactions(
        &self,
        session: &mut Session,
        column: &str,
        found: &mut Found,
    ) -> Result<()> {
        let (oid, table) = (self.oid, self.table.quoted());
        let sql = format!(
            "SELECT pg_catalog.format_type(a.atttypid, NULL), a.attnotnull, pg_catalog.pg_get_expr(f.adbin, f.adrelid), \
                    EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum AND i.indisvalid) \
               FROM pg_catalog.pg_attribute a \
               LEFT JOIN pg_catalog.pg_attrdef f ON f.adrelid = a.attrelid AND f.adnum = a.attnum \
              WHERE a.attrelid = {oid} AND a.attname = {} AND NOT a.attisdropped",
            literal(column)
        );
        let quoted = wal::identifier(column);
        let rows = session.rows(DOING, &sql).await?;
        let Some(row) = rows.first() else {
            found.problem(
                format!("the table {} has no column {column}, which says which transaction wrote an event", self.table),
                format!(
                    "ALTER TABLE {table} ADD COLUMN {quoted} xid8 NOT NULL DEFAULT pg_current_xact_id(), and an index on it; or \
                     name the column in events.transaction_id; or use events.order: table-lock, or stream"
                ),
            );
            return Ok(());
        };
        let [kind, not_null, default, indexed] = [0, 1, 2, 3].map(|at| text(row, at));
        if kind != "xid8" {
            found.problem(
                format!("{}.{column} is of the type {kind}, not xid8", self.table),
                "add a column of the type xid8 (32 bits wrap around)",
            );
        }
        if not_null != "t" {
            found.problem(
                format!(
                    "{}.{column} may be NULL, and such an event would never be read",
                    self.table
                ),
                format!("ALTER TABLE {table} ALTER COLUMN {quoted} SET NOT NULL"),
            );
        }
        if !default.contains("pg_current_xact_id()") {
            found.problem(
                format!(
                    "{}.{column} does not have the writer's transaction by default",
                    self.table
                ),
                format!(
                    "ALTER TABLE {table} ALTER COLUMN {quoted} SET DEFAULT pg_current_xact_id()"
                ),
            );
        }
        if indexed != "t" {
            found.warnings.push(format!(
                "{} has no index that begins with {column}, so each look reads all of it: CREATE INDEX ON {table} ({quoted}, {})",
                self.table,
                wal::identifier(&self.id)
            ));
        }
        Ok(())
    }

    /// Ids must be drawn one by one, upwards.
    async fn look_at_ids(&self, session: &mut Session, found: &mut Found) -> Result<()> {
        let (table, id) = (&self.table, &self.id);
        if !matches!(self.id_type.as_str(), "smallint" | "integer" | "bigint") {
            found.problem(
                format!("{table}.{id} is of the type {}: its events have no order", self.id_type),
                "name a column of whole numbers in events.id, or use events.order: stream",
            );
            return Ok(());
        }
        let sql = format!(
            "SELECT s.oid::pg_catalog.regclass, q.seqcache, q.seqcycle, q.seqincrement, \
                    pg_catalog.has_sequence_privilege(s.oid, 'SELECT, USAGE'), current_user \
               FROM ({}) s JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid",
            self.sequence()
        );
        let rows = session.rows(DOING, &sql).await?;
        let Some(row) = rows.first() else {
            match self.order {
                Order::TableLock { .. } => found.problem(
                    format!("{table}.{id} does not come from a sequence, so nobody knows the last one that was drawn"),
                    "make it GENERATED ALWAYS AS IDENTITY, or use events.order: transaction-id, or stream",
                ),
                _ => found.warnings.push(format!(
                    "{table}.{id} does not come from a sequence: each must be above all that writers of its key had before"
                )),
            }
            return Ok(());
        };
        let sequence = text(row, 0);
        // Without it the server gives NULL for the last id.
        if text(row, 4) != "t" && matches!(self.order, Order::TableLock { .. }) {
            let role = text(row, 5);
            found.problem(
                format!("the role {role} may not read the sequence {sequence}"),
                format!("GRANT SELECT ON SEQUENCE {sequence} TO {}", wal::identifier(&role)),
            );
        }
        for (wrong, why, remedy) in [
            (
                text(row, 1) != "1",
                "hands out ids in lots: a session's may be below those that others have committed",
                "CACHE 1",
            ),
            (text(row, 2) == "t", "begins again at its end", "NO CYCLE"),
            (text(row, 3).starts_with('-'), "goes downwards", "INCREMENT BY 1"),
        ] {
            if wrong {
                found.problem(
                    format!("the sequence {sequence} {why}"),
                    format!("ALTER SEQUENCE {sequence} {remedy}"),
                );
            }
        }
        let below = format!(
            "SELECT EXISTS (SELECT FROM {} WHERE {} < 1)",
            table.quoted(),
            wal::identifier(id)
        );
        if session.one(DOING, &below).await?.as_deref() == Some("t") {
            found.problem(
                format!("{table} has events with ids below 1, which can't be versions"),
                "give them ids from 1 on, or use events.order: stream",
            );
        }
        Ok(())
    }

    /// The lock that is needed is that of whoever may change rows.
    async fn look_at_lock(&self, session: &mut Session, found: &mut Found) -> Result<()> {
        let sql = format!(
            "SELECT pg_catalog.has_table_privilege({}, 'UPDATE, DELETE, TRUNCATE'), current_user",
            self.oid
        );
        let rows = session.rows(DOING, &sql).await?;
        let row = rows.first().cloned().unwrap_or_default();
        if text(&row, 0) != "t" {
            let (table, role) = (self.table.quoted(), text(&row, 1));
            found.problem(
                format!("the role {role} may not lock {} against writers", self.table),
                format!(
                    "GRANT UPDATE ON {table} TO {} (it is not used for anything else), or use events.order: transaction-id",
                    wal::identifier(&role)
                ),
            );
        }
        Ok(())
    }

    /// The tables of the stream, and who fills it.
    async fn look_at_stream(
        &self,
        session: &mut Session,
        fill: Fill,
        found: &mut Found,
    ) -> Result<()> {
        let sql = format!(
            "SELECT pg_catalog.to_regclass({}) IS NOT NULL, pg_catalog.obj_description(pg_catalog.to_regclass({}), 'pg_class')",
            literal(&self.own("events_stream")),
            literal(&self.own("reader"))
        );
        let rows = session.rows(DOING, &sql).await?;
        let row = rows.first().cloned().unwrap_or_default();
        let (there, mark) = (text(&row, 0) == "t", text(&row, 1));
        if !there {
            found.problem(format!("there is no table {}", self.own("events_stream")), SETUP);
        } else if mark != self.mark() {
            found.problem(
                format!(
                    "what is in the schema {} says that it is {mark:?}, not {:?}",
                    self.schema,
                    self.mark()
                ),
                format!(
                    "{SETUP} if this is how it is to be now, or name another schema (events.schema)"
                ),
            );
        } else if fill != Fill::Function {
            self.look_at_trigger(session, STREAM, found).await?;
        }
        Ok(())
    }

    async fn look_at_trigger(
        &self,
        session: &mut Session,
        what: &str,
        found: &mut Found,
    ) -> Result<()> {
        let name = self.trigger_name(what);
        let sql = format!(
            "SELECT EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = {} AND t.tgname = {} AND t.tgenabled = 'A')",
            self.oid,
            literal(&name)
        );
        if session.one(DOING, &sql).await?.as_deref() != Some("t") {
            let remedy = match what {
                WAKE => {
                    format!("{SETUP}, or have the table looked at now and then: events.poll: 1s")
                }
                _ => format!("{SETUP}, which gives the events since then their places"),
            };
            let what = format!("{} has no trigger {name}, or it is disabled", self.table);
            found.without.push((what, remedy));
        }
        Ok(())
    }
}

fn text(row: &TextRow, at: usize) -> String {
    row.get(at).cloned().flatten().unwrap_or_default()
}
