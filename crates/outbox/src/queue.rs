//! What is made in the database: a schema with the queue, a flag, and a function for each table that its triggers call.
//!
//! The triggers are per statement, with
//! [transition tables](https://www.postgresql.org/docs/current/sql-createtrigger.html), so that one statement costs one
//! insert however many rows it changes. A statement fires those of the table that it names: so the root of a partitioned table
//! has them and every partition. They fire whatever `session_replication_role` is.

use change::TableName;
use wal::{Connection, identifier, literal};

use crate::bell::Bell;
use crate::error::{Error, Result};

/// The version of the documents of a copy: below every entry's.
pub const COPIED: u64 = 1;

/// The first entry's id.
const FIRST: u64 = 1 << 20;
/// What the queue says of itself. Another version's is not touched.
const MARK: &str = "wal2es queue, version 1";
/// An entry of TRUNCATE: NULL for the table, an empty array for a partition of it.
pub(crate) const EMPTIED: &str = "COALESCE(pg_catalog.cardinality(key), 0) = 0";
/// Each has a function of its own, so that nothing in it is looked up by the writer's `search_path`.
const EVENTS: [&str; 4] = ["insert", "update", "delete", "truncate"];
/// The settings that all sessions of wal2es have, as far as a text depends on them.
const SETTINGS: &str = " SET DateStyle = 'ISO, YMD' SET IntervalStyle = 'postgres' SET TimeZone = 'UTC' \
                        SET extra_float_digits = 3 SET bytea_output = 'hex' SET lc_monetary = 'C'";

/// The trigger queue of one connector, in a schema of its own.
#[derive(Clone, Debug)]
pub struct Queue {
    schema: String,
}

/// A table whose changes are captured.
#[derive(Clone, Debug)]
pub struct Captured {
    /// `pg_class.oid`.
    pub oid: u32,
    /// Its name.
    pub name: TableName,
    /// The columns of the document's `_id`, in its order.
    pub key: Vec<String>,
    /// What a value of the key looks like depends on settings of the session that writes it.
    pub depends_on_settings: bool,
    /// Its partitions at all levels, those that are partitioned themselves among them.
    pub parts: Vec<TableName>,
}

/// What of it is there.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Installed {
    /// The OID of the queue; None if there is none.
    pub queue: Option<u32>,
    /// What it says of itself, if that is not what this version makes.
    pub other: Option<String>,
    /// Tables, or partitions, whose triggers are missing, disabled, or for another key.
    pub without: Vec<String>,
    /// Tables that have triggers of the queue and are no partitions of its tables any more.
    pub strays: Vec<String>,
    /// Tables that a subscription writes to, which fires no statement triggers.
    pub subscribed: Vec<String>,
}

impl Queue {
    /// In the schema of that name.
    pub fn new(schema: &str) -> Self {
        Queue { schema: schema.to_owned() }
    }

    /// How the triggers wake the consumer.
    pub fn bell(&self) -> Bell {
        Bell::only(self.flag(), &self.schema)
    }

    /// The table of entries, as SQL names it.
    pub(crate) fn entries(&self) -> String {
        format!("{}.queue", identifier(&self.schema))
    }

    /// The table with the flag, as SQL names it.
    pub(crate) fn flag(&self) -> String {
        format!("{}.consumer", identifier(&self.schema))
    }

    /// The SQL that makes what is missing and brings triggers up to date. It waits for the writers of each table, and they
    /// for it: to be run in one transaction, with a `lock_timeout`.
    pub fn install(&self, tables: &[Captured]) -> String {
        let (schema, queue, flag) = (identifier(&self.schema), self.entries(), self.flag());
        let mut sql = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};\n\
             CREATE TABLE IF NOT EXISTS {queue} (\n  \
               id bigint GENERATED ALWAYS AS IDENTITY (START WITH {FIRST} CACHE 1) PRIMARY KEY,\n  \
               tbl oid NOT NULL,\n  key text[]\n) WITH (autovacuum_vacuum_scale_factor = 0.02);\n\
             CREATE INDEX IF NOT EXISTS emptied ON {queue} (id) WHERE {EMPTIED};\n\
             COMMENT ON TABLE {queue} IS {mark};\n\
             CREATE TABLE IF NOT EXISTS {flag} (one boolean PRIMARY KEY CHECK (one), asleep boolean NOT NULL, owner text) WITH (fillfactor = 20);\n\
             INSERT INTO {flag} VALUES (true, false) ON CONFLICT DO NOTHING;\n",
            mark = literal(MARK),
        );
        for table in tables {
            sql.push_str(&self.drop_strays(table));
            for event in EVENTS {
                sql.push_str(&self.function(table, event));
            }
            for name in [&table.name].into_iter().chain(&table.parts) {
                sql.push_str(&self.triggers(table, name));
            }
        }
        sql
    }

    /// The SQL that removes all of it.
    pub fn remove(&self) -> String {
        format!("DROP SCHEMA IF EXISTS {} CASCADE", identifier(&self.schema))
    }

    /// The triggers of what is no partition of `table` any more.
    fn drop_strays(&self, table: &Captured) -> String {
        let body = format!(
            "DECLARE stray record; BEGIN\n  \
               FOR stray IN {} LOOP\n    \
                 EXECUTE pg_catalog.format('DROP TRIGGER %I ON %s', stray.tgname, stray.tgrelid::regclass);\n  \
               END LOOP;\n\
             END",
            self.strays(table.oid)
        );
        format!("DO {};\n", literal(&body))
    }

    fn strays(&self, oid: u32) -> String {
        format!(
            "WITH RECURSIVE {} SELECT t.tgname, t.tgrelid FROM pg_catalog.pg_trigger t \
               JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid AND f.proname LIKE 'capture\\_{oid}\\_%' \
               JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace AND n.nspname = {} \
              WHERE NOT EXISTS (SELECT FROM tree WHERE tree.oid = t.tgrelid)",
            tree(oid),
            literal(&self.schema)
        )
    }

    fn function_name(&self, table: &Captured, event: &str) -> String {
        // An error within names the function: so it can't be mistaken for one of the write, and says what to do.
        let schema = identifier(&self.schema);
        format!("{schema}.capture_{}_{event}_if_it_fails_run_wal2es_setup", table.oid)
    }

    /// An entry for each key that a statement has touched. `concat` prints a value as a client would be sent it. It has the
    /// rights of its owner, so it names the schema of whatever it uses and compares nothing.
    fn function(&self, table: &Captured, event: &str) -> String {
        let (name, queue, flag, oid) =
            (self.function_name(table, event), self.entries(), self.flag(), table.oid);
        // A collation of its own: those of the columns may contradict each other, or take two keys for one.
        let of = |column: &String| {
            format!("pg_catalog.concat(r.{}) COLLATE pg_catalog.\"C\"", identifier(column))
        };
        let key = table.key.iter().map(of).collect::<Vec<_>>().join(", ");
        let key = format!("ARRAY[{key}]");
        let entries = match event {
            "insert" => format!("SELECT {oid}, {key} FROM new_rows r"),
            "delete" => format!("SELECT {oid}, {key} FROM old_rows r"),
            "update" => format!(
                "SELECT {oid}, k FROM (SELECT {key} FROM old_rows r UNION SELECT {key} FROM new_rows r) AS changed(k)"
            ),
            _ => format!(
                "VALUES ({oid}, CASE TG_RELID WHEN {oid} THEN NULL ELSE ARRAY[]::text[] END)"
            ),
        };
        let settings = match event {
            "truncate" => " SET search_path = pg_catalog, pg_temp",
            _ if table.depends_on_settings => SETTINGS,
            _ => "",
        };
        let body = format!(
            "DECLARE woken text;\n\
             BEGIN\n  \
               WITH entries AS (INSERT INTO {queue} (tbl, key) {entries})\n  \
               SELECT pg_catalog.pg_notify({channel}, '') INTO woken FROM {flag} WHERE asleep;\n  \
               RETURN NULL;\n\
             END",
            channel = literal(&self.schema),
        );
        format!(
            "CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER{settings} AS {body};\n\
             COMMENT ON FUNCTION {name}() IS {mark};\n",
            body = literal(&body),
            mark = literal(&mark_of(table)),
        )
    }

    fn triggers(&self, table: &Captured, on: &TableName) -> String {
        let on = on.quoted();
        let each = EVENTS.map(|event| {
            let (name, function) =
                (identifier(&format!("{}_{event}", self.schema)), self.function_name(table, event));
            let tables = match event {
                "insert" => " REFERENCING NEW TABLE AS new_rows",
                "update" => " REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
                "delete" => " REFERENCING OLD TABLE AS old_rows",
                _ => "",
            };
            format!(
                "CREATE OR REPLACE TRIGGER {name} AFTER {event} ON {on}{tables} FOR EACH STATEMENT EXECUTE FUNCTION {function}();\n\
                 ALTER TABLE {on} ENABLE ALWAYS TRIGGER {name};\n"
            )
        });
        each.concat()
    }

    /// Looks at what is there.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn look(&self, session: &mut Connection, tables: &[Captured]) -> Result<Installed> {
        let failed = Error::of("looking at the trigger queue");
        let schema = literal(&self.schema);
        let sql = format!(
            "SELECT c.oid, pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c \
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
              WHERE n.nspname = {schema} AND c.relname = 'queue'"
        );
        let found = session.simple_query(&sql).await.map_err(&failed)?;
        let Some(row) = found.first() else { return Ok(Installed::default()) };
        let text = |at: usize| row.get(at).cloned().flatten().unwrap_or_default();
        let queue = text(0).parse().ok();
        let other = Some(text(1)).filter(|mark| mark != MARK);
        let mut installed = Installed { queue, other, ..Installed::default() };
        for table in tables {
            let oid = table.oid;
            let without = format!(
                "WITH RECURSIVE {tree} \
                 SELECT tree.oid::regclass FROM tree JOIN pg_catalog.pg_class c ON c.oid = tree.oid AND c.relkind <> 'f' \
                  WHERE (SELECT count(*) FROM pg_catalog.pg_trigger t \
                           JOIN pg_catalog.pg_proc f ON f.oid = t.tgfoid AND f.proname LIKE 'capture\\_{oid}\\_%' \
                           JOIN pg_catalog.pg_namespace n ON n.oid = f.pronamespace AND n.nspname = {schema} \
                          WHERE t.tgrelid = tree.oid AND t.tgenabled = 'A' \
                            AND pg_catalog.obj_description(f.oid, 'pg_proc') = {mark}) < {count}",
                tree = tree(oid),
                mark = literal(&mark_of(table)),
                count = EVENTS.len(),
            );
            let strays =
                format!("SELECT DISTINCT tgrelid::regclass FROM ({}) strays", self.strays(oid));
            let subscribed = format!(
                "WITH RECURSIVE {} SELECT DISTINCT tree.oid::regclass FROM tree \
                   JOIN pg_catalog.pg_subscription_rel s ON s.srrelid = tree.oid",
                tree(oid)
            );
            for (sql, names) in [
                (without, &mut installed.without),
                (strays, &mut installed.strays),
                (subscribed, &mut installed.subscribed),
            ] {
                let rows = session.simple_query(&sql).await.map_err(&failed)?;
                names.extend(rows.into_iter().filter_map(|row| row.into_iter().next().flatten()));
            }
        }
        Ok(installed)
    }
}

/// A table and its partitions at all levels.
fn tree(oid: u32) -> String {
    format!(
        "tree(oid) AS (SELECT {oid}::oid UNION \
             SELECT i.inhrelid FROM tree JOIN pg_catalog.pg_class p ON p.oid = tree.oid AND p.relkind = 'p' \
               JOIN pg_catalog.pg_inherits i ON i.inhparent = p.oid)"
    )
}

/// What the function of a table says of itself.
fn mark_of(table: &Captured) -> String {
    format!("{MARK}, of {}", table.key.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Captured {
        let name = TableName::new("S", "a\"b");
        let part = TableName::new("S", "p");
        Captured {
            oid: 7,
            name,
            key: vec!["Id".into(), "n".into()],
            depends_on_settings: false,
            parts: vec![part],
        }
    }

    #[test]
    fn names_are_quoted_and_every_partition_has_triggers() {
        let sql = Queue::new("w\"q").install(&[table()]);
        assert!(
            sql.contains(r#"ARRAY[pg_catalog.concat(r."Id") COLLATE pg_catalog."C", pg_catalog.concat(r."n")"#),
            "{sql}"
        );
        assert!(sql.contains(r#"INSERT INTO "w""q".queue (tbl, key) SELECT 7, ARRAY"#), "{sql}");
        for name in [r#""S"."a""b""#, r#""S"."p""#] {
            for event in EVENTS {
                let trigger = format!(r#"TRIGGER "w""q_{event}" AFTER {event} ON {name}"#);
                assert!(sql.contains(&trigger), "{trigger} is not in {sql}");
            }
            assert_eq!(sql.matches(&format!("ALTER TABLE {name} ENABLE ALWAYS")).count(), 4);
        }
    }

    #[test]
    fn another_key_is_another_function() {
        let other = Captured { key: vec!["n".into()], ..table() };
        assert_ne!(mark_of(&table()), mark_of(&other));
    }
}
