//! A table that nobody writes to must not keep the log of a busy server.

use super::Scenario;
use crate::support::case::Case;
use crate::support::postgres::{Database, lsn};
use crate::support::{PATIENCE, wait_for};

pub const SCENARIOS: &[Scenario] = &[Scenario::new("beside_a_busy_database", beside_a_busy_database)];

fn beside_a_busy_database() {
    let mut case = Case::shared("idle");
    case.table("item", "id int PRIMARY KEY");
    case.execute("INSERT INTO item VALUES (1)");
    let _connector = case.run();
    let neighbour = Database::create(case.database.port, "busy");
    let mut busy = neighbour.session();
    busy.batch_execute("CREATE TABLE t (n int, filler text)").unwrap();
    for _ in 0..3 {
        busy.batch_execute("INSERT INTO t SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n").unwrap();
        let position = "SELECT pg_current_wal_insert_lsn()::text";
        let written = lsn(busy.query_one(position, &[]).unwrap().get(0));
        wait_for("the slot to advance", PATIENCE, || {
            // The server sends its position when it has something to say.
            busy.batch_execute("INSERT INTO t VALUES (0, '')").unwrap();
            (case.confirmed() >= written).then_some(())
        });
        case.check_positions();
    }
    drop(busy);
    neighbour.remove();
    case.check();
}
