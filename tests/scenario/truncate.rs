//! TRUNCATE, wherever it stands.

use nix::sys::signal::Signal;

use super::Scenario;
use crate::support::case::Case;
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("one_table", one_table),
    Scenario::new("several_tables_at_once", several_tables),
    Scenario::new("within_a_transaction", within_a_transaction),
    Scenario::new("rolled_back", rolled_back),
    Scenario::new("then_restart", then_restart),
];

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("a", "id int PRIMARY KEY, t text");
    case.table("b", "id int PRIMARY KEY, t text");
    fill(&mut case);
    case
}

fn fill(case: &mut Case) {
    for table in ["a", "b"] {
        case.execute(&format!("INSERT INTO {table} SELECT n, 'x' FROM generate_series(1, 300) n"));
    }
}

fn one_table() {
    let mut case = case("truncate");
    let _connector = case.run();
    case.execute("TRUNCATE a");
    case.check();
    case.execute("INSERT INTO a VALUES (1, 'after')");
    case.check();
    case.execute("TRUNCATE a");
    case.execute("TRUNCATE a");
    case.execute("INSERT INTO a VALUES (2, 'after two')");
    case.check();
    only_the_living_index_is_left(&case, "a");
}

/// Readers had some seconds to leave the old ones.
fn only_the_living_index_is_left(case: &Case, table: &str) {
    let alias = case.alias(table);
    let living = case.search.behind(&alias).unwrap();
    wait_for("the old indices to go", PATIENCE, || {
        let all = case.search.find(&format!("{alias}-*"))?;
        let all = all.as_object()?;
        (all.len() == 1 && all.contains_key(&living)).then_some(())
    });
}

fn several_tables() {
    let mut case = case("truncates");
    let _connector = case.run();
    case.execute("TRUNCATE a, b");
    case.check();
    fill(&mut case);
    case.check();
    case.execute("BEGIN; DELETE FROM a WHERE id < 10; TRUNCATE b, a; INSERT INTO b VALUES (1, 'b'); COMMIT");
    case.check();
}

fn within_a_transaction() {
    let mut case = case("truncating");
    let _connector = case.run();
    case.execute(
        "BEGIN; INSERT INTO a VALUES (1000, 'before'); UPDATE a SET t = 'y' WHERE id < 5; UPDATE b SET t = 'y'; \
         TRUNCATE a; INSERT INTO a VALUES (1, 'behind'), (2000, 'new'); DELETE FROM b WHERE id > 200; COMMIT",
    );
    case.check();
    case.execute(
        "BEGIN; TRUNCATE a; INSERT INTO a VALUES (5, 'gone'); TRUNCATE a; INSERT INTO a VALUES (6, 'stays'); COMMIT",
    );
    case.check();
    case.execute("BEGIN; INSERT INTO a VALUES (7, 'gone'); TRUNCATE a; COMMIT");
    case.check();
    case.execute("INSERT INTO a VALUES (6, 'again'), (7, 'again')");
    case.check();
}

fn rolled_back() {
    let mut case = case("untruncated");
    let _connector = case.run();
    case.execute("BEGIN; TRUNCATE a; INSERT INTO a VALUES (1, 'never'); ROLLBACK");
    case.check();
    case.execute(
        "BEGIN; SAVEPOINT s; TRUNCATE b; ROLLBACK TO s; UPDATE b SET t = 'z' WHERE id = 1; COMMIT",
    );
    case.check();
}

/// A replayed TRUNCATE must not take rows that came after it.
fn then_restart() {
    let mut case = case("truncated");
    let mut connector = case.run();
    for round in 0..6 {
        case.execute("TRUNCATE a; INSERT INTO a SELECT n, 'after' FROM generate_series(1, 50) n");
        case.execute("BEGIN; INSERT INTO a VALUES (99, 'x'); TRUNCATE a; INSERT INTO a VALUES (7, 'y'); COMMIT");
        if round % 2 == 0 {
            let alias = case.alias("a");
            wait_for("the truncated table", PATIENCE, || {
                (case.search.count(&alias) == Some(1)).then_some(())
            });
        }
        match round % 3 {
            0 => connector.kill(),
            1 => drop(connector.stop()),
            _ => {
                connector.signal(Signal::SIGTERM);
                connector.kill();
            }
        }
        case.execute("INSERT INTO a VALUES (8, 'while nobody looked')");
        connector = case.run();
        case.compare();
    }
    only_the_living_index_is_left(&case, "a");
}
