//! What is made in the database for a table of events, which itself stays as it is but for a trigger.

use wal::{identifier, literal};

use super::{Events, Fill, Order};

/// What our own tables say of themselves. Those of another version are not touched.
pub(super) const MARK: &str = "wal2es events, version 1";

/// The trigger that wakes the reader, and the one that gives places.
pub(super) const WAKE: &str = "wake";
pub(super) const STREAM: &str = "stream";

impl Events {
    /// The SQL that makes what is missing. It waits for the writers of the table, and they for it: to be run in one
    /// transaction, with a `lock_timeout`.
    pub fn install(&self) -> String {
        let (schema, reader) = (identifier(&self.schema), self.own("reader"));
        let mut sql = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema};\n\
             CREATE TABLE IF NOT EXISTS {reader} (owner text PRIMARY KEY, asleep boolean NOT NULL) WITH (fillfactor = 20);\n\
             COMMENT ON TABLE {reader} IS {mark};\n",
            mark = literal(&self.mark())
        );
        if let Order::Stream { fill } = self.order {
            sql.push_str(&self.tables_of_the_stream());
            sql.push_str(&self.fill(fill));
        }
        sql.push_str(&self.trigger(
            WAKE,
            "FOR EACH STATEMENT",
            &format!(
                "PERFORM pg_catalog.pg_notify({}, '') FROM {reader} WHERE asleep LIMIT 1",
                literal(&self.schema)
            ),
        ));
        sql
    }

    /// What our tables say of themselves: which table they are for.
    pub(super) fn mark(&self) -> String {
        let order = match self.order {
            Order::Stream { fill: Fill::Function } => ", stream by a function",
            Order::Stream { fill: Fill::Trigger } => ", stream by a trigger",
            Order::Stream { fill: Fill::Connector } => ", stream by the connector",
            _ => "",
        };
        format!("{MARK}, of table {}{order}", self.oid)
    }

    /// Events without a place, as those are that were there before, are given one in the order of their ids.
    fn tables_of_the_stream(&self) -> String {
        let (counter, stream) = (self.own("stream_ids"), self.own("events_stream"));
        let (queue, id_type) = (self.own("stream_queue"), &self.id_type);
        let (table, id) = (self.table.quoted(), identifier(&self.id));
        let body = format!(
            "BEGIN\n  \
               LOCK TABLE {table} IN SHARE ROW EXCLUSIVE MODE;\n  \
               DELETE FROM {queue};\n  \
               INSERT INTO {stream} (id, event) SELECT c.last + row_number() OVER (ORDER BY e.{id}), e.{id} FROM {table} e, {counter} c\n   \
                WHERE NOT EXISTS (SELECT FROM {stream} s WHERE s.event = e.{id});\n  \
               UPDATE {counter} c SET last = s.last FROM (SELECT max(id) AS last FROM {stream}) s WHERE s.last > c.last;\n\
             END"
        );
        format!(
            "CREATE TABLE IF NOT EXISTS {counter} (one boolean PRIMARY KEY DEFAULT true CHECK (one), last bigint NOT NULL) WITH (fillfactor = 10);\n\
             INSERT INTO {counter} (last) VALUES (0) ON CONFLICT DO NOTHING;\n\
             CREATE TABLE IF NOT EXISTS {stream} (id bigint PRIMARY KEY, event {id_type} NOT NULL UNIQUE);\n\
             CREATE TABLE IF NOT EXISTS {queue} (\n  \
               id bigint GENERATED ALWAYS AS IDENTITY (CACHE 1) PRIMARY KEY,\n  event {id_type} NOT NULL\n);\n\
             DO {};\n",
            literal(&body)
        )
    }

    fn fill(&self, fill: Fill) -> String {
        let (counter, stream) = (self.own("stream_ids"), self.own("events_stream"));
        let (id, id_type) = (identifier(&self.id), &self.id_type);
        let next = |event: &str| {
            format!(
                "WITH next AS (UPDATE {counter} SET last = last OPERATOR(pg_catalog.+) 1 RETURNING last) \
                 INSERT INTO {stream} (id, event) SELECT last, {event} FROM next"
            )
        };
        match fill {
            Fill::Function => {
                let function = self.own("publish_event");
                format!(
                    "{}CREATE OR REPLACE FUNCTION {function}(event {id_type}) RETURNS bigint LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {};\n\
                     GRANT USAGE ON SCHEMA {} TO PUBLIC;\n",
                    self.no_trigger(STREAM),
                    literal(&format!("{} RETURNING id", next("$1"))),
                    identifier(&self.schema)
                )
            }
            Fill::Trigger => self.trigger(
                STREAM,
                "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
                &next(&format!("NEW.{id}")),
            ),
            Fill::Connector => {
                let queue = self.own("stream_queue");
                let insert = format!("INSERT INTO {queue} (event) VALUES (NEW.{id})");
                self.trigger(STREAM, "FOR EACH ROW", &insert)
            }
        }
    }

    /// The name of a trigger of ours.
    pub(super) fn trigger_name(&self, what: &str) -> String {
        format!("{}_{what}", self.schema)
    }

    fn no_trigger(&self, what: &str) -> String {
        let (name, table) = (identifier(&self.trigger_name(what)), self.table.quoted());
        format!("DROP TRIGGER IF EXISTS {name} ON {table};\n")
    }

    /// A trigger of the table. Its function has the rights of its owner, so it names the schema of whatever it uses, operators
    /// among it. It fires whatever `session_replication_role` is. Those of a partitioned table that are for
    /// each row are also its partitions'.
    fn trigger(&self, what: &str, each: &str, does: &str) -> String {
        // An error within names the function: so it can't be mistaken for one of the write, and says what to do.
        let function = self.own(&format!("events_{what}_if_it_fails_run_wal2es_setup"));
        let name = identifier(&self.trigger_name(what));
        let table = self.table.quoted();
        let kind = if each.starts_with("DEFERRABLE") { "CONSTRAINT TRIGGER" } else { "TRIGGER" };
        let body = format!("BEGIN\n  {does};\n  RETURN NULL;\nEND");
        format!(
            "CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS {};\n\
             {}CREATE {kind} {name} AFTER INSERT ON {table} {each} EXECUTE FUNCTION {function}();\n\
             ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name};\n",
            literal(&body),
            self.no_trigger(what)
        )
    }
}
