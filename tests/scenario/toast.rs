//! A large value that an UPDATE does not touch is not in the stream.

use super::Scenario;
use crate::support::PATIENCE;
use crate::support::case::Case;

pub const SCENARIOS: &[Scenario] = &[
    Scenario::new("stops_without_the_old_row", stops_without_the_old_row),
    Scenario::new("comes_from_the_old_row", comes_from_the_old_row),
];

fn case(name: &str) -> Case {
    let mut case = Case::shared(name);
    case.table("page", "id int PRIMARY KEY, views int, body text");
    case.execute("ALTER TABLE page ALTER body SET STORAGE EXTERNAL");
    case.execute("INSERT INTO page SELECT n, 0, repeat('body ' || n, 3000) FROM generate_series(1, 10) n");
    case
}

/// Never a document without the value, and nothing behind it is confirmed.
fn stops_without_the_old_row() {
    let mut case = case("toast");
    let connector = case.run();
    case.compare();
    let before = crate::support::oracle::documents(&case.search, &case.alias("page"));
    case.execute("UPDATE page SET views = views + 1 WHERE id = 3");
    let written = case.written();
    let advice = ["page", "body", "REPLICA IDENTITY FULL", "wal2es resync"];
    connector.end(PATIENCE).expect(3, &advice);
    let after = crate::support::oracle::documents(&case.search, &case.alias("page"));
    assert!(before.iter().all(|(id, document)| after[id].source == document.source));
    assert!(case.confirmed() < written);
    // It stays so.
    case.command(&["run"]).expect(3, &advice);
}

fn comes_from_the_old_row() {
    let mut case = case("toastfull");
    case.execute("ALTER TABLE page REPLICA IDENTITY FULL");
    let _connector = case.run();
    case.execute("UPDATE page SET views = views + 1");
    case.check();
    case.execute("UPDATE page SET id = id + 100 WHERE id < 5");
    case.execute("UPDATE page SET body = repeat('new', 4000) WHERE id = 6; UPDATE page SET views = 9 WHERE id = 6");
    case.check();
}
