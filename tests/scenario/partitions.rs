//! Partitioned tables, whose rows are those of their root.

use super::Scenario;
use crate::support::case::Case;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("come_with_all_tables", come_with_all_tables),
    Scenario::new("have_replica_identities_of_their_own", have_replica_identities_of_their_own),
    Scenario::new("detached_or_dropped", detached_or_dropped),
    Scenario::new("dropped_between_sessions", dropped_between_sessions),
    Scenario::new("attached_with_rows_in_text", attached_with_rows_in_text),
];

fn partitioned(name: &str, key: &str) -> Case {
    let mut case = Case::shared(name);
    case.execute(&format!(
        "CREATE TABLE event (id int NOT NULL, at date NOT NULL, what text, {key}) PARTITION BY RANGE (at); \
         CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); \
         CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')"
    ));
    case.follow("event");
    case.execute("INSERT INTO event SELECT n, date '2024-01-01' + n, 'first' FROM generate_series(1, 50) n");
    case
}

/// Without `indexes` every table of the publication is followed; the partitions are described in the stream, and are no
/// tables of their own.
fn come_with_all_tables() {
    let mut case = partitioned("parts_all", "PRIMARY KEY (id, at)");
    case.execute("CREATE PUBLICATION parts_all FOR TABLE event WITH (publish_via_partition_root = true)");
    let indexes = case.config.as_object_mut().unwrap().remove("indexes");
    case.execute("ALTER TABLE event RENAME TO parts_all_event");
    let connector = case.run();
    case.execute("UPDATE parts_all_event SET what = 'second' WHERE id < 40");
    case.execute("UPDATE parts_all_event SET at = at + 1");
    case.execute("TRUNCATE parts_all_event");
    case.execute("INSERT INTO parts_all_event SELECT n, '2024-02-02', 'third' FROM generate_series(1, 7) n");
    case.settle();
    assert_eq!(case.search.count("parts_all_event"), Some(7));
    connector.stop();
    case.config["indexes"] = indexes.unwrap();
    case.execute("ALTER TABLE parts_all_event RENAME TO event");
    let index = case.search.behind("parts_all_event").unwrap();
    case.search.request("DELETE", &index, None);
}

fn have_replica_identities_of_their_own() {
    // What is set for the root does not reach its partitions: key images come marked as whole rows.
    let mut case = partitioned("parts_full", "PRIMARY KEY (id, at)");
    case.execute("ALTER TABLE event REPLICA IDENTITY FULL");
    let connector = case.run();
    case.execute("UPDATE event SET id = id + 1000, what = NULL WHERE id % 3 = 0");
    case.execute("DELETE FROM event WHERE id % 7 = 0");
    case.execute("CREATE TABLE event_3 PARTITION OF event FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')");
    case.execute("INSERT INTO event VALUES (1, '2024-03-05', 'x')");
    case.execute("UPDATE event SET at = at + 1 WHERE id < 10");
    case.check();
    // A large value that is left alone is in no image, and never taken for NULL: it is the document's.
    case.execute("UPDATE event SET what = (SELECT string_agg(md5(n::text || id), '') FROM generate_series(1, 200) n)");
    case.check();
    case.execute("UPDATE event SET id = id + 10000");
    case.check();
    connector.stop();

    let mut case = partitioned("parts_index", "UNIQUE (id, at)");
    case.execute(
        "ALTER TABLE event ADD COLUMN other int NOT NULL DEFAULT 1; ALTER TABLE event ADD UNIQUE (other, id, at); \
         ALTER TABLE event REPLICA IDENTITY USING INDEX event_other_id_at_key; \
         ALTER TABLE event_1 REPLICA IDENTITY USING INDEX event_1_id_at_key; \
         ALTER TABLE event_2 REPLICA IDENTITY USING INDEX event_2_other_id_at_key",
    );
    case.config["indexes"][0]["id"] = serde_json::json!(["other", "id", "at"]);
    case.command(&["run", "--setup"]).expect(2, &["public.event_1", "does not hold column \"other\""]);
}

fn detached_or_dropped() {
    for (at, change) in ["ALTER TABLE event DETACH PARTITION event_1", "DROP TABLE event_1"].into_iter().enumerate() {
        let mut case = partitioned(&format!("parts_gone{at}"), "PRIMARY KEY (id, at)");
        case.config["source"]["catalog_interval"] = "500ms".into();
        let connector = case.run();
        case.compare();
        case.execute(change);
        connector.end(PATIENCE).expect(3, &["public.event needs resync", "event_1 was detached or dropped"]);
    }
}

/// While the stream is cut as well: the next session looks too.
fn dropped_between_sessions() {
    let mut case = partitioned("parts_cut", "PRIMARY KEY (id, at)");
    let mut connector = case.run();
    case.compare();
    case.execute("DROP TABLE event_1");
    case.execute("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = 'parts_cut'");
    let words = ["public.event needs resync", "event_1 was detached or dropped"];
    wait_for("the end", PATIENCE, || connector.ended());
    connector.end(PATIENCE).expect(3, &words);
}

fn attached_with_rows_in_text() {
    let mut case = partitioned("parts_attached", "PRIMARY KEY (id, at)");
    case.read_by("test_decoding");
    case.config["source"]["catalog_interval"] = "500ms".into();
    let connector = case.run();
    case.execute("CREATE TABLE event_3 (LIKE event INCLUDING ALL)");
    case.execute("INSERT INTO event_3 VALUES (1, '2024-03-05', 'x')");
    case.settle();
    case.execute("ALTER TABLE event ATTACH PARTITION event_3 FOR VALUES FROM ('2024-03-01') TO ('2024-04-01')");
    connector.end(PATIENCE).expect(3, &["public.event needs resync", "event_3 was attached after it had rows"]);
}
