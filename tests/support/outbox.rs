//! An application that writes an event with each of its changes, in the same transaction.

use serde_json::{Value, json};

use super::case::Case;

/// The ways to read events: the order, and who gives places.
pub const ORDERS: [(&str, &str); 5] = [
    ("transaction-id", ""),
    ("table-lock", ""),
    ("stream", "trigger"),
    ("stream", "function"),
    ("stream", "connector"),
];

/// Makes the table of events, which is read in this way, and looked at often.
pub fn prepare(case: &mut Case, order: &str, fill: &str) {
    case.execute(
        "CREATE TABLE outbox (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, kind text, key text, op text, payload jsonb, \
           transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()); \
         CREATE INDEX ON outbox (transaction_id, id)",
    );
    case.config["source"]["capture"] = "events".into();
    case.config["events"] = json!({"table": "public.outbox", "order": order, "sweep": "1s"});
    if !fill.is_empty() {
        case.config["events"]["fill"] = fill.into();
    }
}

/// The table writes its events from now on, and has an index of them that must be equal to it. Whoever has to call the
/// function that gives places does.
pub fn events_of(case: &mut Case, table: &str, key: &str, properties: &Value) {
    let publish = match case.config["events"]["fill"].as_str() {
        Some("function") => {
            "IF to_regproc('wal2es.publish_event') IS NOT NULL THEN PERFORM wal2es.publish_event(event); END IF;"
        }
        _ => "",
    };
    case.execute(&format!(
        "CREATE FUNCTION {table}_event() RETURNS trigger LANGUAGE plpgsql AS $$ \
         DECLARE event bigint; gone record; BEGIN \
           IF TG_OP = 'TRUNCATE' THEN \
             FOR gone IN SELECT {key} FROM {table} LOOP \
               INSERT INTO outbox (kind, key, op) VALUES ('{table}', gone.{key}, 'D') RETURNING id INTO event; {publish} \
             END LOOP; \
             RETURN NULL; \
           END IF; \
           IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND NEW.{key} <> OLD.{key} THEN \
             INSERT INTO outbox (kind, key, op) VALUES ('{table}', OLD.{key}, 'D') RETURNING id INTO event; {publish} \
           END IF; \
           IF TG_OP <> 'DELETE' THEN \
             INSERT INTO outbox (kind, key, op, payload) VALUES ('{table}', NEW.{key}, 'U', to_jsonb(NEW)) RETURNING id INTO event; {publish} \
           END IF; \
           RETURN NULL; \
         END $$; \
         CREATE TRIGGER events AFTER INSERT OR UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_event(); \
         CREATE TRIGGER truncation BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {table}_event()"
    ));
    let index = json!({
        "name": case.alias(table), "table": "public.outbox", "id": "key", "only": {"kind": table}, "deletes": {"op": "D"},
        "payload": "payload", "properties": properties,
    });
    case.config["indexes"].as_array_mut().unwrap().push(index);
}
