//! What indices make of events, and tables of events that can't be read without losing some.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;
use crate::support::outbox;
use crate::support::servers::Server;
use crate::support::{PATIENCE, shared, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("each_event_is_a_document", each_event_is_a_document),
    Scenario::new("columns_of_the_last_event", columns_of_the_last_event),
    Scenario::new("payloads_of_all_kinds", payloads_of_all_kinds),
    Scenario::new("tables_that_would_lose_events", tables_that_would_lose_events),
    Scenario::new("places_that_are_not_given", places_that_are_not_given),
    Scenario::new("events_of_another_server", events_of_another_server),
    Scenario::new("numbers_that_begin_again", numbers_that_begin_again),
    Scenario::new("by_a_role_of_few_rights", by_a_role_of_few_rights),
    Scenario::new("a_trigger_that_fails_says_whose_it_is", a_trigger_that_fails_says_whose_it_is),
    Scenario::new("compared_with_all_events", compared_with_all_events),
];

fn case(postgres: &Server, name: &str) -> Case {
    let mut case = Case::on(name, postgres, &shared::pair().search);
    outbox::prepare(&mut case, "transaction-id", "");
    case
}

fn own_server() -> Server {
    Server::start(&shared::postgres_kind(), &["--set", "wal_level=replica"])
}

fn index(case: &mut Case, name: &str, more: &Value) {
    let mut index = json!({"name": format!("{}-{name}", case.name.replace('_', "-")), "table": "public.outbox"});
    index.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    case.config["indexes"].as_array_mut().unwrap().push(index);
}

fn document(case: &Case, index: &str, id: &str) -> Option<Value> {
    let alias = format!("{}-{index}", case.name.replace('_', "-"));
    Some(case.search.find(&format!("{alias}/_doc/{id}"))?["_source"].clone())
}

fn count(case: &Case, index: &str) -> Option<u64> {
    case.search.count(&format!("{}-{index}", case.name.replace('_', "-")))
}

fn write(case: &mut Case, kind: &str, key: &str, op: &str, payload: &str) {
    let sql = "INSERT INTO outbox (kind, key, op, payload) VALUES ($1, $2, $3, $4::text::jsonb)";
    let payload = (!payload.is_empty()).then_some(payload);
    case.sql.execute(sql, &[&kind, &key, &op, &payload]).unwrap();
}

fn each_event_is_a_document() {
    let postgres = own_server();
    let mut case = case(&postgres, "events_append");
    index(&mut case, "all", &json!({"exclude": ["transaction_id"]}));
    index(&mut case, "some", &json!({"only": {"kind": ["a", "b"], "op": "U"}, "columns": ["id", "key"]}));
    write(&mut case, "a", "x", "U", r#"{"n": 1}"#);
    let connector = case.run();
    write(&mut case, "b", "x", "U", r#"{"n": 1.50}"#);
    write(&mut case, "b", "x", "D", "");
    case.execute("INSERT INTO outbox (op) VALUES ('U')");
    case.execute("BEGIN; INSERT INTO outbox (kind, op) VALUES ('a', 'U'); ROLLBACK");
    case.settle();
    assert_eq!((count(&case, "all"), count(&case, "some")), (Some(4), Some(2)));
    let expected = json!({"id": 2, "kind": "b", "key": "x", "op": "U", "payload": {"n": 1.50}});
    assert_eq!(document(&case, "all", "2"), Some(expected));
    assert_eq!(document(&case, "some", "1"), Some(json!({"id": 1, "key": "x"})));
    connector.stop();
}

/// Keys of several columns, and of types whose text depends on the session.
fn columns_of_the_last_event() {
    let postgres = own_server();
    let mut case = case(&postgres, "events_columns");
    case.execute("ALTER TABLE outbox ADD COLUMN at timestamptz, ADD COLUMN n numeric(10,2), ADD COLUMN gone boolean");
    let columns = json!(["kind", "key", "n"]);
    index(&mut case, "pair", &json!({"id": ["kind", "key"], "columns": columns, "deletes": {"op": ["D", "X"], "gone": true}}));
    index(&mut case, "at", &json!({"id": "at", "columns": ["n"]}));
    case.execute(
        "SET TimeZone = 'Asia/Tokyo'; INSERT INTO outbox (kind, key, op, at, n) VALUES \
           ('a', 'x', 'U', '2024-01-01 00:00Z', 1), ('a', 'x', 'U', '2024-01-01 00:00Z', 1.50), ('a', 'y', 'U', NULL, 2), \
           ('a', 'y', 'X', NULL, 3), (NULL, 'z', 'U', NULL, 4); \
         INSERT INTO outbox (kind, key, gone) VALUES ('c', 'c', false), ('c', 'c', true)",
    );
    let connector = case.run();
    assert_eq!((count(&case, "pair"), count(&case, "at")), (Some(1), Some(1)));
    let pair = |case: &Case| document(case, "pair", "%5B%22a%22%2C%22x%22%5D");
    assert_eq!(pair(&case), Some(json!({"kind": "a", "key": "x", "n": 1.50})));
    case.execute(
        "SET TimeZone = 'Asia/Tokyo'; INSERT INTO outbox (kind, key, op, at, n) VALUES ('a', 'x', 'U', '2024-01-01 09:00', 7), \
           ('a', 'y', 'U', NULL, 8), ('b', 'y', 'U', NULL, 8), ('b', 'y', 'D', NULL, 9), ('', '', 'U', NULL, 1)",
    );
    case.settle();
    assert_eq!((count(&case, "pair"), count(&case, "at")), (Some(3), Some(1)));
    assert_eq!(pair(&case), Some(json!({"kind": "a", "key": "x", "n": 7.00})));
    case.command(&["verify"]).expect_success();
    connector.stop();
    case.command(&["resync"]).expect_success();
    assert_eq!((count(&case, "pair"), count(&case, "at")), (Some(3), Some(1)));
    // Another key is another set of documents.
    case.config["indexes"][0]["id"] = "key".into();
    case.command(&["run"]).expect(3, &["wal2es resync"]);
}

/// The content of a column is the document; what is no document leaves a dead letter until the next event.
fn payloads_of_all_kinds() {
    let postgres = own_server();
    let mut case = case(&postgres, "events_payload");
    let properties = json!({"n": {"type": "long"}, "name": {"type": "keyword"}});
    index(&mut case, "one", &json!({"id": "key", "payload": "payload", "deletes": {"op": "D"}, "properties": properties}));
    write(&mut case, "", "1", "U", r#"{"n": 1, "name": "ö", "more": {"deep": [1, 2.50, 12345678901234567890123]}}"#);
    write(&mut case, "", "2", "U", "[1, 2]");
    let mut connector = case.run();
    let letters = |case: &Case| -> Vec<String> {
        let listed = case.command(&["dead-letters", "list", "--json"]).expect_success();
        let told: Value = serde_json::from_str(&listed.stdout).unwrap();
        told["dead_letters"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(letters(&case), ["2"]);
    let raw = case.search.expect("GET", "events-payload-one/_doc/1", None);
    assert!(raw.contains(r#""deep":[1,2.50,12345678901234567890123]"#), "{raw}");
    for (key, payload) in [("3", "7"), ("4", r#"{"n": "no number"}"#), ("5", "{}"), ("6", r#"{"_id": "x"}"#), ("1", "")] {
        write(&mut case, "", key, "U", payload);
    }
    case.settle();
    assert_eq!(document(&case, "one", "1"), None, "a payload that is NULL is no document");
    assert_eq!(document(&case, "one", "5"), Some(json!({})));
    let mut told = letters(&case);
    told.sort();
    assert_eq!(told, ["2", "3", "4", "6"]);
    let found = case.search.json("POST", "events-payload-one/_search", Some(&json!({"query": {"term": {"name": "ö"}}})));
    assert_eq!(found["hits"]["hits"], json!([]));
    for key in ["2", "3", "4", "6"] {
        write(&mut case, "", key, "U", r#"{"n": 5, "name": "ö"}"#);
    }
    case.settle();
    assert_eq!(letters(&case), Vec::<String>::new());
    let found = case.search.json("POST", "events-payload-one/_search", Some(&json!({"query": {"term": {"name": "ö"}}})));
    assert_eq!(found["hits"]["hits"].as_array().unwrap().len(), 4);
    case.command(&["verify"]).expect_success();
    connector.must_run();
    connector.stop();
    case.config["indexes"][0]["payload"] = "key".into();
    case.command(&["run"]).expect(2, &["jsonb"]);
}

/// Each is named with what to do about it, before anything is made.
fn tables_that_would_lose_events() {
    let postgres = own_server();
    let mut case = case(&postgres, "events_bad");
    index(&mut case, "one", &json!({"id": "key", "payload": "payload"}));
    let plain = "id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, key text, payload jsonb";
    let xid = "transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id()";
    let tables: [(&str, String, &[&str]); 11] = [
        ("transaction-id", plain.to_owned(), &["no column transaction_id", "ADD COLUMN", "xid8", "events.order: table-lock"]),
        ("transaction-id", format!("{plain}, transaction_id xid DEFAULT '1'"), &["of the type xid, not xid8"]),
        ("transaction-id", format!("{plain}, transaction_id xid8 DEFAULT pg_current_xact_id()"), &["may be NULL", "SET NOT NULL"]),
        ("transaction-id", format!("{plain}, transaction_id xid8 NOT NULL"), &["by default", "SET DEFAULT pg_current_xact_id()"]),
        ("transaction-id", format!("id uuid PRIMARY KEY, key text, payload jsonb, {xid}"), &["no order", "events.order: stream"]),
        ("transaction-id", format!("a int, b int, key text, payload jsonb, {xid}, PRIMARY KEY (a, b)"), &["2 columns", "events.id"]),
        (
            "transaction-id",
            format!("id bigint GENERATED ALWAYS AS IDENTITY (CACHE 20) PRIMARY KEY, key text, payload jsonb, {xid}"),
            &["in lots", "ALTER SEQUENCE public.outbox_id_seq CACHE 1"],
        ),
        (
            "table-lock",
            "id int GENERATED BY DEFAULT AS IDENTITY (CYCLE) PRIMARY KEY, key text, payload jsonb".to_owned(),
            &["begins again", "NO CYCLE"],
        ),
        (
            "table-lock",
            "id int GENERATED ALWAYS AS IDENTITY (INCREMENT BY -1) PRIMARY KEY, key text, payload jsonb".to_owned(),
            &["downwards"],
        ),
        ("table-lock", "id bigint PRIMARY KEY, key text, payload jsonb".to_owned(), &["not come from a sequence"]),
        ("stream", plain.to_owned(), &["no table", "events_stream", "wal2es setup"]),
    ];
    for (order, columns, said) in tables {
        case.execute(&format!("DROP TABLE outbox; CREATE TABLE outbox ({columns})"));
        case.config["events"]["order"] = order.into();
        case.command(&["run"]).expect(2, said);
    }
    case.config["events"]["table"] = "public.nothing".into();
    case.config["indexes"][0]["table"] = "public.nothing".into();
    case.command(&["run"]).expect(2, &["no table public.nothing"]);
    case.expect_nothing_in_target();
}

/// Who forgets to call the function, or writes without the trigger, is found by the next setup.
fn places_that_are_not_given() {
    let postgres = own_server();
    for fill in ["trigger", "function", "connector"] {
        let mut case = Case::on(&format!("events_place_{fill}"), &postgres, &shared::pair().search);
        outbox::prepare(&mut case, "stream", fill);
        case.execute("ALTER TABLE outbox ALTER COLUMN id TYPE bigint");
        index(&mut case, "one", &json!({"id": "key", "payload": "payload"}));
        write(&mut case, "", "1", "U", r#"{"n": 1}"#);
        let mut connector = case.run();
        assert_eq!(count(&case, "one"), Some(1));
        if fill != "function" {
            case.execute("ALTER TABLE outbox DISABLE TRIGGER wal2es_stream");
        }
        write(&mut case, "", "2", "U", r#"{"n": 2}"#);
        case.settle();
        assert_eq!(count(&case, "one"), Some(1));
        if fill != "function" {
            wait_for("a word", PATIENCE, || connector.log().contains("has no trigger wal2es_stream").then_some(()));
        }
        case.command(&["setup"]).expect_success();
        case.settle();
        assert_eq!(count(&case, "one"), Some(2));
        connector.must_run();
        connector.stop();
        // Another way to give places goes on where this one was.
        let other = if fill == "connector" { "trigger" } else { "connector" };
        case.config["events"]["fill"] = other.into();
        case.command(&["run"]).expect(2, &["wal2es setup", "stream by"]);
        case.command(&["setup"]).expect_success();
        write(&mut case, "", "3", "U", r#"{"n": 3}"#);
        let connector = case.start(&["run"]);
        case.settle();
        assert_eq!(count(&case, "one"), Some(3));
        connector.stop();
    }
}

/// Numbers of transactions that are yet to come would never be below those that have ended.
fn events_of_another_server() {
    let postgres = own_server();
    let mut case = case(&postgres, "events_foreign");
    index(&mut case, "one", &json!({"id": "key", "payload": "payload"}));
    write(&mut case, "", "1", "U", r#"{"n": 1}"#);
    case.execute("INSERT INTO outbox (key, payload, transaction_id) VALUES ('2', '{}', '999999999')");
    let said = case.command(&["run", "--setup"]).expect(3, &["restored from another one", "pg_current_xact_id()"]);
    let remedy = said.stderr.split("remedy: ").last().unwrap();
    case.execute(remedy.split(", then").next().unwrap());
    let connector = case.start(&["run"]);
    wait_for("both", PATIENCE, || count(&case, "one").filter(|count| *count == 2));
    connector.stop();
}

/// Versions are made of the numbers: they would be taken for what is older.
fn numbers_that_begin_again() {
    let postgres = own_server();
    let mut case = case(&postgres, "events_again");
    index(&mut case, "one", &json!({"id": "key", "payload": "payload"}));
    for n in 0..5 {
        write(&mut case, "", "1", "U", &format!("{{\"n\": {n}}}"));
    }
    let mut connector = case.run();
    write(&mut case, "", "2", "U", "{}");
    case.settle();
    case.execute("TRUNCATE outbox RESTART IDENTITY");
    write(&mut case, "", "1", "U", r#"{"n": 9}"#);
    wait_for("its end", PATIENCE, || connector.ended());
    assert!(connector.log().contains("began again"), "{}", connector.log());
    case.command(&["run"]).expect(3, &["began again", "wal2es resync"]);
    case.command(&["resync"]).expect_success();
    assert_eq!(document(&case, "one", "1"), Some(json!({"n": 9})));
}

fn by_a_role_of_few_rights() {
    let postgres = own_server();
    for (order, fill) in outbox::ORDERS {
        let mut case = Case::on(&format!("events_role_{}{fill}", &order[..2]), &postgres, &shared::pair().search);
        outbox::prepare(&mut case, order, fill);
        index(&mut case, "one", &json!({"id": "key", "payload": "payload"}));
        case.command(&["setup"]).expect_success();
        case.execute(
            "DROP ROLE IF EXISTS events_reader, events_writer; CREATE ROLE events_reader LOGIN; CREATE ROLE events_writer LOGIN; \
             GRANT INSERT ON outbox TO events_writer; GRANT SELECT (id) ON outbox TO events_writer",
        );
        case.execute(&format!("GRANT CREATE ON DATABASE {} TO events_writer", case.database.name.clone()));
        case.config["source"]["url"] = case.database.url_of("events_reader").into();
        case.command(&["run"]).expect(2, &["may not read", "GRANT SELECT ON"]);
        case.execute(
            "GRANT SELECT ON outbox TO events_reader; GRANT USAGE ON SCHEMA wal2es TO events_reader; \
             GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA wal2es TO events_reader",
        );
        if order == "table-lock" {
            case.command(&["run"]).expect(2, &["may not lock", "GRANT UPDATE ON"]);
            case.command(&["run"]).expect(2, &["may not read the sequence", "GRANT SELECT ON SEQUENCE"]);
            case.execute("GRANT UPDATE ON outbox TO events_reader; GRANT SELECT ON SEQUENCE outbox_id_seq TO events_reader");
        }
        let mut connector = case.start(&["run"]);
        wait_for("the reader", PATIENCE, || {
            connector.must_run();
            connector.log().contains("reading events").then_some(())
        });
        let port = case.database.port;
        let mut writer = crate::support::postgres::connect(port, &case.database.name, "events_writer");
        let publish = if fill == "function" { "SELECT wal2es.publish_event(1);" } else { "" };
        let insert = "INSERT INTO outbox (key, payload) VALUES ('1', '{\"n\": 1}');";
        // Nothing of the writer's own is found by the functions.
        writer
            .batch_execute(
                "CREATE SCHEMA m; CREATE FUNCTION m.plus(bigint, int) RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RAISE ''found''; END'; \
                 CREATE OPERATOR m.+ (FUNCTION = m.plus, LEFTARG = bigint, RIGHTARG = int); SET search_path = m, pg_catalog, public",
            )
            .unwrap();
        writer.batch_execute(&format!("BEGIN; {insert} {publish} COMMIT")).unwrap();
        case.settle();
        assert_eq!(count(&case, "one"), Some(1), "{order} {fill}");
        writer.batch_execute("SELECT FROM wal2es.reader").unwrap_err();
        connector.stop();
        case.execute("DROP OWNED BY events_reader, events_writer CASCADE; DROP ROLE events_reader, events_writer");
    }
}

/// Who reads the error of a write can tell that it is not the write's, and what to do.
fn a_trigger_that_fails_says_whose_it_is() {
    let postgres = own_server();
    let mut case = case(&postgres, "events_trigger");
    index(&mut case, "one", &json!({"id": "key", "payload": "payload"}));
    case.command(&["setup"]).expect_success();
    case.execute("DROP TABLE wal2es.reader");
    let error = case.sql.batch_execute("INSERT INTO outbox (key) VALUES ('1')").unwrap_err();
    let told = format!("{:?}", error.as_db_error().unwrap());
    assert!(told.contains("if_it_fails_run_wal2es_setup"), "{told}");
    case.command(&["setup"]).expect_success();
    case.execute("INSERT INTO outbox (key) VALUES ('1')");

    let mut case = Case::on("events_trigger_queue", &postgres, &shared::pair().search);
    case.config["source"]["capture"] = "queue".into();
    case.table("item", "id int PRIMARY KEY, n int");
    case.command(&["setup"]).expect_success();
    case.execute("DROP TABLE wal2es.consumer");
    for sql in ["INSERT INTO item VALUES (1, 1)", "UPDATE item SET n = 2", "DELETE FROM item", "TRUNCATE item"] {
        let error = case.sql.batch_execute(sql).unwrap_err();
        let told = format!("{:?}", error.as_db_error().unwrap());
        assert!(told.contains("if_it_fails_run_wal2es_setup"), "{told}");
    }
}

fn compared_with_all_events() {
    let postgres = own_server();
    let mut case = case(&postgres, "events_verify");
    index(&mut case, "one", &json!({"id": "key", "payload": "payload", "deletes": {"op": "D"}}));
    case.execute(
        "INSERT INTO outbox (key, op, payload) SELECT n % 500, CASE WHEN n % 7 = 0 THEN 'D' ELSE 'U' END, jsonb_build_object('n', n) \
           FROM generate_series(1, 3000) n",
    );
    let connector = case.run();
    case.command(&["verify"]).expect_success();
    let path = |id: u32, version: u64| format!("events-verify-one-g1/_doc/{id}?version={version}&version_type=external_gte");
    case.search.json("PUT", &path(1, 2502), Some(&json!({"n": 1})));
    case.search.json("DELETE", &path(2, 2503), None);
    case.search.json("PUT", &path(9000, 2), Some(&json!({"n": 1})));
    case.search.json("PUT", &path(3, 5_000_000), Some(&json!({"n": 2503})));
    case.search.json("POST", "events-verify-one-g1/_refresh", None);
    let ended = case.command(&["verify", "--json"]).expect(1, &["index and table differ"]);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    let mut kinds: Vec<_> =
        told["indexes"][0]["differences"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    kinds.sort_unstable();
    assert_eq!(kinds, ["different", "extra", "foreign version", "missing"], "{told}");
    case.command(&["verify", "--repair"]).expect(2, &["wal2es resync"]);
    connector.stop();
    case.command(&["resync"]).expect_success();
    let connector = case.start(&["run"]);
    case.command(&["verify"]).expect_success();
    connector.stop();
}
