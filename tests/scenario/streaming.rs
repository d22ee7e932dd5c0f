//! Transactions that are sent while they are still running: held until they commit, and gone when they do not.

use std::time::Duration;

use super::Scenario;
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::{PATIENCE, oracle, wait_for};

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("held_until_they_commit", held_until_they_commit),
    Scenario::new("rolled_back_whole_or_in_part", rolled_back_whole_or_in_part),
    Scenario::new("several_at_once", several_at_once),
    Scenario::new("killed_while_holding", killed_while_holding),
    Scenario::new("large_ones_on_disk", large_ones_on_disk),
    Scenario::new("a_full_disk", a_full_disk),
    Scenario::new("a_directory_that_cannot_be_used", a_directory_that_cannot_be_used),
];

fn streaming(name: &str) -> (Case, Connector) {
    let mut case = Case::shared(name);
    case.read_by("streaming");
    case.config["source"]["spill_memory"] = "64KiB".into();
    case.table("item", "id int PRIMARY KEY, name text");
    case.execute("INSERT INTO item VALUES (0, 'zero')");
    let connector = case.run();
    (case, connector)
}

fn insert(from: u32, to: u32) -> String {
    format!("INSERT INTO item SELECT n, 'a name of some length, number ' || n FROM generate_series({from}, {to}) n")
}

/// Waits until so many transactions are held on disk.
fn held(case: &Case, count: usize) {
    wait_for("transactions on disk", PATIENCE, || (case.spilled().len() == count).then_some(()));
}

fn held_until_they_commit() {
    let (mut case, connector) = streaming("held");
    let mut writer = case.database.session();
    let mut open = writer.transaction().unwrap();
    open.batch_execute(&insert(1, 20_000)).unwrap();
    held(&case, 1);
    // Others commit meanwhile and are confirmed.
    case.execute("INSERT INTO item VALUES (-1, 'meanwhile')");
    case.settle();
    let alias = case.alias("item");
    assert_eq!(case.search.count(&alias), Some(2));
    open.batch_execute("UPDATE item SET name = name || '!' WHERE id % 100 = 1").unwrap();
    open.commit().unwrap();
    case.check();
    held(&case, 0);
    connector.stop();
}

fn rolled_back_whole_or_in_part() {
    let (mut case, connector) = streaming("held_part");
    case.execute(&format!("BEGIN; {}; ROLLBACK", insert(1, 5_000)));
    let [a, b, c, again, back, last] = [
        insert(1, 3_000),
        insert(3_001, 6_000),
        insert(6_001, 9_000),
        insert(6_001, 6_500),
        insert(3_001, 5_000),
        insert(5_001, 8_000),
    ];
    case.execute(&format!(
        "BEGIN; {a}; SAVEPOINT a; {b}; SAVEPOINT b; {c}; ROLLBACK TO b; {again}; ROLLBACK TO a; \
         UPDATE item SET name = 'kept' WHERE id < 10; {back}; SAVEPOINT c; {last}; RELEASE c; \
         DELETE FROM item WHERE id = 1; COMMIT"
    ));
    case.check();
    held(&case, 0);
    connector.stop();
}

fn several_at_once() {
    let (mut case, connector) = streaming("held_several");
    let mut writers: Vec<_> = (0..4).map(|_| case.database.session()).collect();
    for (writer, from) in writers.iter_mut().zip([0, 10_000, 20_000, 30_000]) {
        writer.batch_execute(&format!("BEGIN; {}", insert(from + 1, from + 2_000))).unwrap();
    }
    for (writer, from) in writers.iter_mut().zip([0, 10_000, 20_000, 30_000]).rev() {
        writer.batch_execute(&insert(from + 2_001, from + 4_000)).unwrap();
    }
    held(&case, 4);
    for (writer, end) in writers.iter_mut().zip(["COMMIT", "ROLLBACK", "COMMIT", "COMMIT"]).rev() {
        writer.batch_execute(end).unwrap();
    }
    case.check();
    held(&case, 0);
    connector.stop();
}

fn killed_while_holding() {
    let (mut case, connector) = streaming("held_killed");
    let mut writer = case.database.session();
    let mut open = writer.transaction().unwrap();
    open.batch_execute(&insert(1, 10_000)).unwrap();
    held(&case, 1);
    connector.kill();
    let left = case.spilled();
    assert_eq!(left.len(), 1, "a killed process leaves its file");
    // The next one removes it, and is sent the transaction from its beginning.
    let connector = case.run();
    open.batch_execute(&insert(10_001, 12_000)).unwrap();
    open.commit().unwrap();
    case.check();
    held(&case, 0);
    connector.stop();
}

fn large_ones_on_disk() {
    let (mut case, connector) = streaming("held_large");
    case.execute(&insert(1, 300_000));
    let alias = case.alias("item");
    wait_for("all rows", Duration::from_secs(240), || {
        (case.search.count(&alias) == Some(300_001)).then_some(())
    });
    held(&case, 0);
    connector.stop();
    let ids: Vec<String> = (1..=300_000).step_by(997).map(|id| id.to_string()).collect();
    let filter = format!("id IN ({})", ids.join(", "));
    let search = &case.search;
    oracle::compare_some(&mut case.sql, search, "item", &alias, &filter, &ids).expect_none();
}

/// A limit for the size of files is as good as a full disk, and needs no disk.
fn a_full_disk() {
    let (mut case, connector) = streaming("held_full");
    connector.stop();
    let connector = case.start_limited(&["run"], 256);
    case.execute("BEGIN");
    case.execute(&insert(1, 50_000));
    // Its commit record is behind this.
    let commit = case.written();
    case.execute("COMMIT");
    connector.end(PATIENCE).expect(3, &["spill/wal2es-", "source.spill_dir"]);
    assert!(case.confirmed() <= commit, "it is confirmed");
    let connector = case.run();
    case.compare();
    connector.stop();
}

fn a_directory_that_cannot_be_used() {
    let (mut case, connector) = streaming("held_nowhere");
    connector.stop();
    std::fs::write(case.dir.path().join("file"), "in the way").unwrap();
    case.config["source"]["spill_dir"] = "file".into();
    case.command(&["run"]).expect(2, &["file/wal2es-", "source.spill_dir"]);
}
