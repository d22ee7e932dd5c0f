//! A new generation beside the old one: nobody sees it before it is whole, and what was written meanwhile is in it.

use std::time::Duration;

use serde_json::json;

use super::Scenario;
use crate::support::case::Case;
use crate::support::seed::Seed;
use crate::support::workload::Workload;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("beside_a_connector_that_runs", beside_a_connector_that_runs),
    Scenario::new("of_one_index_whose_table_was_rewritten", of_one_index_whose_table_was_rewritten),
    Scenario::new("after_the_slot_was_dropped", after_the_slot_was_dropped),
    Scenario::new("by_itself_when_the_slot_is_lost", by_itself_when_the_slot_is_lost),
    Scenario::new("back_to_the_generation_before", back_to_the_generation_before),
    Scenario::new("with_another_mapping", with_another_mapping),
    Scenario::new("of_nothing", of_nothing),
    Scenario::new("nobody_sees_one_that_is_not_equal", nobody_sees_one_that_is_not_equal),
];

/// The slots of the test's database.
pub fn slots(case: &mut Case) -> Vec<String> {
    let query = "SELECT slot_name::text FROM pg_replication_slots WHERE database = $1 ORDER BY 1";
    let database = case.database.name.clone();
    case.sql.query(query, &[&database]).unwrap().iter().map(|row| row.get(0)).collect()
}

/// The alias is on generation `number`, and there is nothing else of ours but `kept`.
fn expect_generation(case: &Case, table: &str, number: u32, kept: &[u32]) {
    let alias = case.alias(table);
    assert_eq!(case.search.behind(&alias), Some(format!("{alias}-g{number}")));
    let mut all: Vec<String> =
        kept.iter().chain([&number]).map(|number| format!("{alias}-g{number}")).collect();
    all.sort();
    assert_eq!(case.search.generations(&alias), all);
}

fn beside_a_connector_that_runs() {
    let mut seed = Seed::new();
    let mut case = Case::shared("resync_beside");
    Workload::prepare(&mut case);
    case.table("still", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO still SELECT n, 7 FROM generate_series(1, 5000) n");
    let mut connector = case.run();
    let workload = Workload::start(&case, seed.fork(), Duration::from_millis(1));
    // A reader that must find all of it all the time.
    let sampler = crate::support::sampler::Sampler::start(&case.search, &case.alias("still"), 5000);
    let before = workload.done();
    case.command(&["resync"]).expect_success();
    assert!(workload.done() > before, "the workload stood still");
    connector.must_run();
    let seen = sampler.stop();
    assert_eq!((seen.torn, seen.states), (0, 1), "{seen} {}", seen.example);
    {
        let _quiet = workload.pause();
        case.check();
    }
    for table in ["kv", "log", "still"] {
        let alias = case.alias(table);
        // A table that is truncated while it is copied has the build begin anew, with another number.
        let behind = case.search.behind(&alias).unwrap();
        let number = apply::generation_of(&alias, &behind);
        assert!(number.is_some_and(|number| number >= 2), "{behind}");
    }
    assert_eq!(slots(&mut case), ["resync_beside"]);
    workload.stop();
    case.check();
    connector.stop();
}

fn of_one_index_whose_table_was_rewritten() {
    let mut case = Case::shared("resync_one");
    case.table("other", "id int PRIMARY KEY, n int");
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 500) n");
    let running = case.run();
    case.execute(
        "INSERT INTO other VALUES (1, 1); ALTER TABLE item ALTER n TYPE text USING 'x' || n; \
         INSERT INTO item VALUES (501, 'y')",
    );
    running.end(PATIENCE).expect(3, &["item", "needs resync", "`wal2es resync"]);
    case.execute("DELETE FROM item WHERE id <= 100; INSERT INTO other VALUES (2, 2)");
    case.command(&["run", "--until-caught-up"]).expect(3, &["needs resync"]);
    let alias = case.alias("item");
    case.command(&["resync", "no-such-index"]).expect(2, &["no-such-index", &alias]);
    case.command(&["resync", &alias]).expect_success();
    expect_generation(&case, "item", 2, &[1]);
    expect_generation(&case, "other", 1, &[]);
    let running = case.run();
    case.execute("UPDATE item SET n = 'z' WHERE id = 200; UPDATE other SET n = 5");
    case.check();
    running.stop();
}

fn after_the_slot_was_dropped() {
    let mut case = Case::shared("resync_dropped");
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 500) n");
    case.run().stop();
    case.execute("SELECT pg_drop_replication_slot('resync_dropped')");
    // Nobody will ever send this.
    case.execute("DELETE FROM item WHERE id <= 100; UPDATE item SET n = -n WHERE id > 400");
    case.command(&["run", "--until-caught-up"]).expect(3, &["slot", "`wal2es resync"]);
    case.command(&["run", "--setup", "--until-caught-up"]).expect(3, &["slot", "`wal2es resync"]);
    case.command(&["resync", &case.alias("item")]).expect(2, &["without names"]);
    case.command(&["resync"]).expect_success();
    case.compare();
    expect_generation(&case, "item", 2, &[1]);
    case.execute("INSERT INTO item VALUES (1000, 1)");
    let running = case.run();
    case.check();
    running.stop();
}

fn by_itself_when_the_slot_is_lost() {
    let mut case = Case::shared("resync_itself");
    case.config["source"]["on_slot_loss"] = json!("resync");
    case.config["pipeline"] = json!({"keep_generation": "0s"});
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO item SELECT n, n FROM generate_series(1, 500) n");
    case.run().stop();
    case.execute("SELECT pg_drop_replication_slot('resync_itself')");
    case.execute("DELETE FROM item WHERE id <= 100");
    let running = case.run();
    case.check();
    wait_for("the old generation to go", PATIENCE, || {
        (case.search.generations(&case.alias("item")).len() == 1).then_some(())
    });
    expect_generation(&case, "item", 2, &[]);
    running.stop();
}

fn back_to_the_generation_before() {
    let mut case = Case::shared("resync_back");
    case.table("item", "id int PRIMARY KEY, n int");
    case.execute("INSERT INTO item VALUES (1, 1)");
    let alias = case.alias("item");
    let running = case.run();
    case.command(&["rollback", &alias]).expect(2, &["keep_generation"]);
    case.command(&["resync"]).expect_success();
    case.execute("UPDATE item SET n = 2");
    case.check();
    let told = case.command(&["rollback", &alias]).expect_success();
    assert!(told.stdout.contains("does not follow the stream"), "{}", told.stdout);
    expect_generation(&case, "item", 1, &[2]);
    case.execute("UPDATE item SET n = 3");
    case.settle();
    // The connector has read the state again and leaves the alias alone, also over a restart and a truncation.
    expect_generation(&case, "item", 1, &[2]);
    assert_eq!(case.search.field(&alias, "1", "n"), Some(json!(1)));
    running.stop();
    case.execute("TRUNCATE item; INSERT INTO item VALUES (2, 4)");
    let running = case.run();
    assert_eq!(case.search.field(&alias, "1", "n"), Some(json!(1)));
    case.command(&["rollback", "--undo", &alias]).expect_success();
    wait_for("the newest generation", PATIENCE, || {
        case.execute("UPDATE item SET n = 4");
        let index = case.state().unwrap()["indexes"][0].clone();
        (index["shown"] == index["index"]).then_some(())
    });
    case.check();
    // A resync ends a rollback too.
    case.command(&["rollback", &alias]).expect_success();
    case.command(&["resync"]).expect_success();
    case.check();
    running.stop();
}

fn with_another_mapping() {
    let mut case = Case::shared("resync_mapping");
    case.table("item", "id int PRIMARY KEY, n int, secret text");
    case.execute("INSERT INTO item VALUES (1, 1, 's')");
    let alias = case.alias("item");
    let mut running = case.run();
    case.config["indexes"][0]["exclude"] = json!(["secret"]);
    case.command(&["resync", &alias]).expect_success();
    running.must_run();
    case.execute("INSERT INTO item VALUES (2, 2, 't')");
    case.settle();
    assert_eq!(case.search.field(&alias, "1", "secret"), None);
    assert_eq!(case.search.field(&alias, "2", "secret"), None);
    assert_eq!(case.search.field(&alias, "2", "n"), Some(json!(2)));
    running.stop();
}

fn of_nothing() {
    let mut case = Case::shared("resync_nothing");
    case.table("item", "id int PRIMARY KEY");
    case.command(&["setup"]).expect_success();
    case.command(&["resync"]).expect(2, &["`wal2es run`"]);
    case.command(&["rollback", "x"]).expect(2, &["`wal2es run`"]);
}

/// Somebody writes to the new index before it is shown. The number of its documents is right.
fn nobody_sees_one_that_is_not_equal() {
    let mut case = Case::shared("resync_unequal");
    case.table("item", "id int PRIMARY KEY, t text");
    case.execute("INSERT INTO item SELECT n, repeat(n::text, 20) FROM generate_series(1, 60000) n");
    let mut connector = case.run();
    let alias = case.alias("item");
    let resync = case.start(&["resync"]);
    let document = format!("{alias}-g2/_doc/1");
    wait_for("a document of the copy", PATIENCE, || {
        let found = case.search.try_request("GET", &document, None).ok()?;
        (found.0 == 200).then_some(())
    });
    let path = format!("{document}?version=9000000000000000000&version_type=external");
    case.search.json("PUT", &path, Some(&json!({"id": 1, "t": "foreign"})));
    resync.end(PATIENCE).expect(3, &["differs from public.item", "(1): nobody sees it"]);
    expect_generation(&case, "item", 1, &[]);
    assert_eq!(slots(&mut case), ["resync_unequal"]);
    connector.must_run();
    case.command(&["resync"]).expect_success();
    case.check();
    connector.stop();
}
