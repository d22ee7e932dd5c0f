//! The plugin test_decoding, from end to end.

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;
use crate::support::connector::Connector;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("changes_of_every_kind", changes_of_every_kind),
    Scenario::new("partitions", partitions),
    Scenario::new("killed_and_started_again", killed_and_started_again),
    Scenario::new("what_it_cannot_tell_is_refused", what_it_cannot_tell_is_refused),
];

fn followed(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.read_by("test_decoding");
    case.table("item", "id int PRIMARY KEY, name text, ok boolean, price numeric, at timestamptz, bits bit(3)");
    case.execute("ALTER TABLE item REPLICA IDENTITY FULL");
    case.execute(
        "INSERT INTO item VALUES (1, 'it''s \"one\"', true, 'NaN', 'infinity', B'101'), (2, NULL, false, 1.50, now(), NULL)",
    );
    case
}

fn started(name: &str) -> (Case, Connector) {
    let mut case = followed(name);
    let connector = case.run();
    (case, connector)
}

fn changes_of_every_kind() {
    let (mut case, connector) = started("text");
    case.compare();
    // Tables that nobody follows are sent as well, and passed over.
    case.execute("CREATE TABLE noise (id int)");
    case.execute("INSERT INTO noise SELECT generate_series(1, 100)");
    case.execute("DROP TABLE noise");
    case.execute(
        "INSERT INTO item SELECT n, E'new\\nline ''' || n, n % 2 = 0, n / 3.0, now(), B'010' \
         FROM generate_series(3, 2000) n",
    );
    case.check();
    case.execute("UPDATE item SET name = 'x[integer]:1 new-tuple: ''' WHERE id % 3 = 0");
    case.execute("UPDATE item SET id = -id WHERE id % 7 = 0");
    case.check();
    case.execute(
        "BEGIN; DELETE FROM item WHERE id % 5 = 0; SAVEPOINT a; DELETE FROM item; ROLLBACK TO a; \
         INSERT INTO item (id) VALUES (5); COMMIT",
    );
    case.check();
    case.execute(
        "SELECT pg_logical_emit_message(true, 'app', 'within'), \
                pg_logical_emit_message(false, 'app', E'table public.item: DELETE: id[integer]:5')",
    );
    case.execute("BEGIN; TRUNCATE item; INSERT INTO item (id, name) VALUES (1, 'after'); COMMIT");
    case.check();
    case.execute(
        "INSERT INTO item (id, name) \
         SELECT n, (SELECT string_agg(md5(n::text || m), '') FROM generate_series(1, 300) m) FROM generate_series(10, 20) n",
    );
    case.execute("UPDATE item SET ok = true WHERE id > 9");
    case.check();
    connector.stop();
    case.compare();
}

fn partitions() {
    let mut case = Case::shared("text_parts");
    case.read_by("test_decoding");
    case.execute(
        "CREATE TABLE event (id int, at date, what text, PRIMARY KEY (id, at)) PARTITION BY RANGE (at); \
         CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM ('2024-01-01') TO ('2024-02-01'); \
         CREATE TABLE event_2 (what text, at date NOT NULL, id int NOT NULL); \
         ALTER TABLE event ATTACH PARTITION event_2 FOR VALUES FROM ('2024-02-01') TO ('2024-03-01')",
    );
    case.follow("event");
    case.execute("INSERT INTO event SELECT n, date '2024-01-01' + n, 'first' FROM generate_series(1, 50) n");
    let connector = case.run();
    case.compare();
    case.execute(
        "INSERT INTO event SELECT n, date '2024-01-01' + n, 'second' FROM generate_series(0, 58) n \
         ON CONFLICT DO NOTHING",
    );
    case.execute("UPDATE event SET at = at + 30 WHERE id < 20");
    case.execute("DELETE FROM event WHERE id = 30");
    case.check();
    case.execute(
        "CREATE TABLE event_3 PARTITION OF event FOR VALUES FROM ('2024-03-01') TO ('2024-04-01'); \
         INSERT INTO event VALUES (100, '2024-03-05', 'in a new partition')",
    );
    case.check();
    case.execute("TRUNCATE event");
    case.execute("INSERT INTO event VALUES (1, '2024-02-05', 'again')");
    case.check();
    case.execute("TRUNCATE event_2");
    connector.end(PATIENCE).expect(3, &["public.event needs resync", "event_2 was truncated alone"]);
}

fn killed_and_started_again() {
    let (mut case, mut connector) = started("text_kill");
    for round in 0..4 {
        let from = 100 + round * 10_000;
        case.execute(&format!(
            "INSERT INTO item (id, name) SELECT n, 'round {round}' FROM generate_series({from}, {from} + 3000) n"
        ));
        case.execute("UPDATE item SET name = name || '.' WHERE id % 10 = 0");
        case.execute(&format!("DELETE FROM item WHERE id % 4 = {round}"));
        connector.kill();
        connector = case.run_busy();
    }
    case.check();
    connector.stop();
}

fn what_it_cannot_tell_is_refused() {
    let mut case = followed("text_refused");
    case.config["source"]["streaming"] = "on".into();
    case.command(&["run", "--setup"]).expect(2, &["source.streaming", "pgoutput"]);
    case.read_by("test_decoding");
    case.execute("SELECT pg_create_logical_replication_slot('text_refused', 'test_decoding', false, true)");
    case.command(&["run", "--setup"]).expect(2, &["two_phase", "slot"]);
    case.execute("SELECT pg_drop_replication_slot('text_refused')");
    case.execute("SELECT pg_create_logical_replication_slot('text_refused', 'pgoutput')");
    case.command(&["run", "--setup"]).expect(2, &["of the plugin pgoutput, not test_decoding"]);
    case.execute("SELECT pg_drop_replication_slot('text_refused')");
    case.execute("DROP PUBLICATION IF EXISTS text_refused");
    case.execute("CREATE PUBLICATION text_refused FOR TABLE item WHERE (id > 1)");
    case.command(&["run", "--setup"]).expect(2, &["row filter", "public.item", "source.plugin: pgoutput"]);
}
