//! An application that writes all the time, as applications do: many small transactions, some large, some rolled back.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use ::postgres::Client;

use super::case::Case;
use super::postgres::{Database, try_connect};

/// The tables that it writes to.
pub const TABLES: [(&str, &str); 2] =
    [("kv", "k int PRIMARY KEY, n bigint, t text"), ("log", "n bigint PRIMARY KEY, t text")];

const KEYS: i32 = 300;

/// Runs until it is stopped or dropped.
pub struct Workload {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    gate: Mutex<()>,
    done: AtomicU64,
}

impl Workload {
    /// Makes the tables in `case`.
    pub fn prepare(case: &mut Case) {
        for (table, columns) in TABLES {
            case.table(table, columns);
        }
    }

    /// Begins to write, `pause` between two transactions.
    pub fn start(case: &Case, rng: fastrand::Rng, pause: Duration) -> Self {
        let shared = Arc::new(Shared::default());
        let (database, mine) = (case.database.clone(), shared.clone());
        let thread = std::thread::spawn(move || write(&database, &mine, rng, pause));
        Workload { shared, thread: Some(thread) }
    }

    /// Nothing is written while the guard lives.
    pub fn pause(&self) -> MutexGuard<'_, ()> {
        self.shared.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Transactions by now.
    pub fn done(&self) -> u64 {
        self.shared.done.load(Ordering::Relaxed)
    }

    /// Ends it and tells how many transactions there were.
    pub fn stop(mut self) -> u64 {
        self.end();
        self.done()
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.end();
    }
}

fn write(database: &Database, shared: &Shared, mut rng: fastrand::Rng, pause: Duration) {
    let mut session: Option<Client> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        let number = shared.done.load(Ordering::Relaxed) + 1;
        {
            let _gate = shared.gate.lock().unwrap_or_else(PoisonError::into_inner);
            // The server may be away for a while.
            session = session
                .or_else(|| try_connect(database.port, &database.name, Database::ADMIN).ok())
                .filter(|session| !session.is_closed());
            if let Some(session) = &mut session
                && session.batch_execute(&transaction(&mut rng, number)).is_ok()
            {
                shared.done.store(number, Ordering::Relaxed);
            }
        }
        std::thread::sleep(pause);
    }
}

fn transaction(rng: &mut fastrand::Rng, number: u64) -> String {
    let mut sql = "BEGIN;".to_owned();
    for at in 0..rng.u64(1..6) {
        let savepoint = rng.u32(..8) == 0;
        if savepoint {
            sql.push_str("SAVEPOINT s;");
        }
        statement(rng, number * 10 + at, &mut sql);
        if savepoint {
            sql.push_str("ROLLBACK TO s;");
        }
    }
    sql.push_str(if rng.u32(..15) == 0 { "ROLLBACK" } else { "COMMIT" });
    sql
}

fn statement(rng: &mut fastrand::Rng, n: u64, sql: &mut String) {
    let (k, other) = (rng.i32(0..KEYS), rng.i32(0..KEYS));
    let written = match rng.u32(..100) {
        0 if rng.u32(..8) == 0 => write!(sql, "TRUNCATE log;"),
        0 => write!(sql, "UPDATE kv SET n = {n};"),
        1..3 => write!(
            sql,
            "INSERT INTO log SELECT {n} * 1000 + i, 'many' FROM generate_series(1, 150) i;"
        ),
        3..20 => write!(sql, "DELETE FROM kv WHERE k = {k};"),
        20..35 => write!(
            sql,
            "UPDATE kv SET k = {other} WHERE k = {k} AND NOT EXISTS (SELECT FROM kv WHERE k = {other});"
        ),
        35..50 => write!(sql, "INSERT INTO log VALUES ({n} * 1000, 'one');"),
        _ => write!(
            sql,
            "INSERT INTO kv VALUES ({k}, {n}, 't') ON CONFLICT (k) DO UPDATE SET n = {n}, t = 'again';"
        ),
    };
    written.unwrap();
}
