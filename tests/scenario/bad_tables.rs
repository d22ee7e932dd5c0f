//! Tables that can't be followed, and names that can't be those of indices: named with the remedy before anything is made.

use serde_json::{Value, json};

use super::Scenario;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("of_other_kinds", of_other_kinds),
    Scenario::new("of_other_kinds_in_a_publication_of_all", of_other_kinds_in_a_publication_of_all),
    Scenario::new("left_out_of_a_schema", left_out_of_a_schema),
    Scenario::new("with_a_deferrable_key", with_a_deferrable_key),
    Scenario::new("without_a_key_among_all", without_a_key_among_all),
    Scenario::new("with_partitions_without_a_key", with_partitions_without_a_key),
    Scenario::new("that_would_feed_one_index", that_would_feed_one_index),
    Scenario::new("that_differ_only_by_case", that_differ_only_by_case),
    Scenario::new("names_that_the_target_refuses", names_that_the_target_refuses),
];

const RELATIONS: &str = "CREATE TABLE plain (id int PRIMARY KEY); CREATE VIEW a_view AS SELECT * FROM plain; \
     CREATE MATERIALIZED VIEW a_matview AS SELECT * FROM plain; \
     CREATE UNLOGGED TABLE an_unlogged (id int PRIMARY KEY); CREATE TABLE wrapped (id int PRIMARY KEY); \
     CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing; \
     CREATE FOREIGN TABLE a_foreign (id int) SERVER nowhere; CREATE SEQUENCE a_sequence";

const KINDS: [(&str, &str, &str); 5] = [
    ("a_view", "a view", "ordinary"),
    ("a_matview", "a materialized view", "ordinary"),
    ("an_unlogged", "an unlogged table", "SET LOGGED"),
    ("a_foreign", "a foreign table", "ordinary"),
    ("a_sequence", "no table", "ordinary"),
];

fn index_of(case: &mut Case, table: &str) {
    case.config["indexes"] = json!([{"table": format!("public.{table}"), "name": format!("{}-x", case.name)}]);
}

fn of_other_kinds() {
    let mut case = Case::shared("kinds");
    case.execute(RELATIONS);
    for (table, what, remedy) in KINDS {
        index_of(&mut case, table);
        for arguments in [&["setup"][..], &["run", "--setup"]] {
            case.command(arguments).expect(2, &[&format!("public.{table} is {what}"), remedy]);
            case.expect_nothing_made();
        }
    }
    let mut session = case.database.session();
    session.batch_execute("CREATE TEMP TABLE a_temporary (id int PRIMARY KEY)").unwrap();
    let schema = "SELECT nspname::text FROM pg_namespace WHERE oid = pg_my_temp_schema()";
    let schema: String = session.query_one(schema, &[]).unwrap().get(0);
    case.config["indexes"] = json!([{"table": format!("{schema}.a_temporary"), "name": "kinds-x"}]);
    case.command(&["run", "--setup"]).expect(2, &["a_temporary is a temporary table", "remedy"]);
    case.expect_nothing_made();
}

/// Such a publication passes over them without a word, and nothing can be added to it.
fn of_other_kinds_in_a_publication_of_all() {
    let mut case = Case::shared("kindsall");
    case.execute(RELATIONS);
    case.execute("CREATE PUBLICATION kindsall FOR ALL TABLES WITH (publish_via_partition_root = true)");
    case.execute("CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id)");
    case.execute("CREATE TABLE part_1 PARTITION OF part DEFAULT");
    case.command(&["setup"]).expect_success();
    for (table, what, remedy) in KINDS {
        index_of(&mut case, table);
        case.command(&["run"]).expect(2, &[&format!("public.{table} is {what}"), remedy]);
    }
    index_of(&mut case, "part_1");
    case.command(&["run"]).expect(2, &["public.part_1 is a partition of public.part", "name public.part"]);
    index_of(&mut case, "absent");
    case.command(&["run"]).expect(2, &["there is no table public.absent"]);
    assert_eq!(case.search.find("kindsall-x*"), Some(json!({})));
    assert_eq!(case.state(), None);
}

/// Without `indexes` nobody has asked for them: they are told, and the rest is followed.
fn left_out_of_a_schema() {
    let mut case = Case::shared("leftout");
    case.execute("CREATE SCHEMA leftout; SET search_path = leftout");
    case.execute(RELATIONS);
    case.execute("INSERT INTO plain VALUES (1), (2)");
    case.execute("CREATE PUBLICATION leftout FOR TABLES IN SCHEMA leftout WITH (publish_via_partition_root = true)");
    case.config.as_object_mut().unwrap().remove("indexes");
    let said = case.command(&["run", "--setup", "--until-caught-up"]).expect_success().stderr;
    for table in ["leftout.an_unlogged", "leftout.a_foreign", "leftout.a_matview"] {
        assert!(said.contains(table), "{table} is not in:\n{said}");
    }
    assert!(!said.contains("a_view"), "{said}");
    for (table, rows) in [("plain", 2), ("wrapped", 0)] {
        let alias = format!("leftout_{table}");
        assert_eq!(case.search.count(&alias), Some(rows));
        let index = case.search.behind(&alias).unwrap();
        case.search.expect("DELETE", &index, None);
    }
}

fn with_a_deferrable_key() {
    let mut case = Case::shared("deferkey");
    case.table("item", "id int, CONSTRAINT item_key PRIMARY KEY (id) DEFERRABLE");
    let words = ["public.item", "item_key", "deferrable", "DROP CONSTRAINT \"item_key\""];
    case.command(&["run", "--setup"]).expect(2, &words);
    case.expect_nothing_made();
    case.execute("CREATE PUBLICATION deferkey FOR ALL TABLES");
    case.command(&["run", "--setup"]).expect(2, &["public.item", "deferrable", "ALTER TABLE"]);
    case.expect_nothing_in_target();
    // What the remedy says, done.
    case.execute("DROP PUBLICATION deferkey");
    case.execute("ALTER TABLE public.item DROP CONSTRAINT \"item_key\", ADD PRIMARY KEY (id)");
    case.catch_up();
}

fn without_a_key_among_all() {
    let mut case = Case::shared("nokeyall");
    case.execute("CREATE TABLE fine (id int PRIMARY KEY); CREATE TABLE keyless (n int)");
    case.execute("CREATE PUBLICATION nokeyall FOR ALL TABLES WITH (publish_via_partition_root = true)");
    case.config.as_object_mut().unwrap().remove("indexes");
    case.command(&["run", "--setup"]).expect(2, &["public.keyless", "primary key", "ALTER TABLE"]);
    case.expect_nothing_in_target();
}

/// A published partition is asked for its own replica identity, whatever that of its root is.
fn with_partitions_without_a_key() {
    let mut case = Case::shared("partkeys");
    case.execute(
        "CREATE TABLE event (id int PRIMARY KEY, n int) PARTITION BY RANGE (id); \
         CREATE TABLE event_1 PARTITION OF event FOR VALUES FROM (0) TO (10); \
         CREATE TABLE event_2 PARTITION OF event FOR VALUES FROM (10) TO (20); \
         ALTER TABLE event_2 REPLICA IDENTITY NOTHING",
    );
    case.follow("event");
    let remedy = "ALTER TABLE \"public\".\"event_2\" REPLICA IDENTITY FULL";
    for arguments in [&["setup"][..], &["run", "--setup"]] {
        case.command(arguments).expect(2, &["partition public.event_2 of public.event", "no usable key", remedy]);
        case.expect_nothing_made();
    }
    case.execute("INSERT INTO event VALUES (1, 1), (11, 1)");
    case.execute(remedy);
    let _connector = case.run();
    case.execute("UPDATE event SET n = 2; DELETE FROM event WHERE id = 11");
    case.check();
}

fn that_would_feed_one_index() {
    let mut case = Case::shared("oneindex");
    case.execute("CREATE TABLE x_a (id int PRIMARY KEY); CREATE SCHEMA x; CREATE TABLE x.a (id int PRIMARY KEY)");
    case.config["indexes"] = json!([
        {"table": "public.x_a", "name": "oneindex-a"}, {"table": "x.a", "name": "oneindex-a"},
    ]);
    case.command(&["run", "--setup"]).expect(2, &["public.x_a and x.a", "index oneindex-a", "`name`"]);
    case.expect_nothing_made();
    case.config["indexes"][1]["name"] = "oneindex-a-g1".into();
    case.command(&["run", "--setup"]).expect(2, &["oneindex-a-g1", "public.x_a", "x.a", "`name`"]);
    case.expect_nothing_made();
    // The names that they get by themselves.
    case.execute("CREATE PUBLICATION oneindex FOR ALL TABLES");
    case.config.as_object_mut().unwrap().remove("indexes");
    case.command(&["run", "--setup"]).expect(2, &["public.x_a", "x.a", "index x_a", "`name`"]);
    case.expect_nothing_in_target();
}

/// The target knows no capital letters.
fn that_differ_only_by_case() {
    let mut case = Case::shared("onlycase");
    case.execute("CREATE TABLE onlycase_t (id int PRIMARY KEY); CREATE TABLE \"Onlycase_T\" (id int PRIMARY KEY)");
    case.config["indexes"] = json!([{"table": "public.onlycase_t"}, {"table": "public.\"Onlycase_T\""}]);
    case.command(&["run", "--setup"]).expect(2, &["Onlycase_T", "capital letters", "`name`"]);
    case.expect_nothing_made();
    case.execute("CREATE PUBLICATION onlycase FOR ALL TABLES");
    let indexes = case.config.as_object_mut().unwrap().remove("indexes");
    case.command(&["run", "--setup"]).expect(2, &["Onlycase_T", "capital letters", "`name`"]);
    case.expect_nothing_in_target();
    case.config["indexes"] = indexes.unwrap();
    case.config["indexes"][1]["name"] = "onlycase_other".into();
    case.execute("INSERT INTO onlycase_t VALUES (1); INSERT INTO \"Onlycase_T\" VALUES (2), (3)");
    case.catch_up();
    for (alias, rows) in [("onlycase_t", 1), ("onlycase_other", 2)] {
        assert_eq!(case.search.count(alias), Some(rows));
        let index = case.search.behind(alias).unwrap();
        case.search.expect("DELETE", &index, None);
    }
}

/// The target is asked whether it really does.
fn names_that_the_target_refuses() {
    let mut case = Case::shared("badnames");
    case.execute("CREATE TABLE item (id int PRIMARY KEY)");
    let long = "x".repeat(256);
    for name in ["_x", "-x", "+x", "X", "a b", "a*", "a?", "a\"b", "a<b", "a|b", "a,b", "a#b", "a:b", "a\\b", ".", "..", "", &long] {
        case.config["indexes"] = json!([{"table": "public.item", "name": name}]);
        case.command(&["run", "--setup"]).expect(2, &["public.item", "name"]);
        case.expect_nothing_made();
        let path: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, _) = case.search.request("PUT", &path, None::<&Value>);
        assert!(status >= 400, "the target takes {name:?}");
    }
    // The longest that we take, with what comes behind it.
    let longest = format!("badnames-{}", "y".repeat(230 - 9));
    case.config["indexes"] = json!([{"table": "public.item", "name": longest}]);
    case.catch_up();
    case.execute("TRUNCATE item; INSERT INTO item VALUES (1)");
    case.catch_up();
    assert_eq!(case.search.count(&longest), Some(1));
    let index = case.search.behind(&longest).unwrap();
    case.search.expect("DELETE", &index, None);
}
