//! What an application does to its tables, and worse: savepoints and rollbacks, swapped keys, rows deleted and inserted again,
//! TRUNCATE, large values that updates leave alone.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::Names;
use crate::config::Config;
use crate::source::Source;

/// The tables.
pub(super) const TABLES: [&str; 3] = ["kv", "page", "log"];
const KEYS: i32 = 200;

/// The statements that make them.
pub(super) fn schema(own: &str) -> String {
    format!(
        "CREATE SCHEMA {own};
         CREATE TABLE {own}.kv (k int PRIMARY KEY, n bigint, t text);
         CREATE TABLE {own}.page (id int PRIMARY KEY, n bigint, body text);
         ALTER TABLE {own}.page ALTER body SET STORAGE EXTERNAL;
         CREATE TABLE {own}.log (n bigint, part int, t text, PRIMARY KEY (n, part));
         INSERT INTO {own}.kv SELECT i, 0, 'first' FROM generate_series(1, 100) i;
         INSERT INTO {own}.page SELECT i, 0, repeat('body ' || i, 1000) FROM generate_series(1, 40) i;"
    )
}

/// Writes until it is ended.
pub(super) struct Load {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
    paused: Option<tokio::sync::OwnedMutexGuard<()>>,
}

#[derive(Default)]
struct Shared {
    gate: Arc<Mutex<()>>,
    stop: AtomicBool,
    transactions: AtomicU64,
}

impl Load {
    /// Begins.
    pub(super) fn begin(config: &Config, names: &Names, seed: u64) -> Self {
        let shared = Arc::new(Shared::default());
        let rng = fastrand::Rng::with_seed(seed);
        let task = tokio::spawn(write(config.clone(), names.own.clone(), rng, shared.clone()));
        Load { shared, task, paused: None }
    }

    /// Nothing is written from now on.
    pub(super) async fn pause(&mut self) {
        self.paused = Some(self.shared.gate.clone().lock_owned().await);
    }

    /// Goes on.
    pub(super) fn go_on(&mut self) {
        self.paused = None;
    }

    /// Committed by now.
    pub(super) fn transactions(&self) -> u64 {
        self.shared.transactions.load(Ordering::Relaxed)
    }

    /// Ends it.
    pub(super) async fn end(mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.paused = None;
        let _ = self.task.await;
    }
}

async fn write(config: Config, own: String, mut rng: fastrand::Rng, shared: Arc<Shared>) {
    let mut source: Option<Source> = None;
    while !shared.stop.load(Ordering::Relaxed) {
        {
            let _gate = shared.gate.lock().await;
            if source.as_ref().is_none_or(|source| source.client.is_closed()) {
                source = Source::connect(&config).await.ok();
            }
            let Some(source) = &source else { continue };
            let sql = transaction(&mut rng, &own);
            match source.client.batch_execute(&sql).await {
                Ok(()) => drop(shared.transactions.fetch_add(1, Ordering::Relaxed)),
                Err(_) => drop(source.client.batch_execute("ROLLBACK").await),
            }
        }
        tokio::time::sleep(Duration::from_millis(rng.u64(..6))).await;
    }
}

fn transaction(rng: &mut fastrand::Rng, own: &str) -> String {
    let mut sql = format!("BEGIN; SET LOCAL search_path = {own};");
    for _ in 0..rng.u32(1..7) {
        let savepoint = rng.u32(..8) == 0;
        sql.push_str(if savepoint { "SAVEPOINT s;" } else { "" });
        statement(rng, &mut sql);
        sql.push_str(if savepoint { "ROLLBACK TO s;" } else { "" });
    }
    sql.push_str(if rng.u32(..12) == 0 { "ROLLBACK" } else { "COMMIT" });
    sql
}

fn statement(rng: &mut fastrand::Rng, sql: &mut String) {
    let (a, b, n) = (rng.i32(..KEYS), rng.i32(..KEYS), rng.u64(..1 << 40));
    let (page, other) = (a % 50, b % 50);
    // Writing to a text can't fail.
    let _ = match rng.u32(..100) {
        0 => write!(sql, "TRUNCATE log;"),
        1 => write!(sql, "UPDATE kv SET n = {n};"),
        2..6 => {
            write!(sql, "INSERT INTO log SELECT {n}, i, 'many' FROM generate_series(1, 200) i;")
        }
        6..20 => write!(sql, "DELETE FROM kv WHERE k = {a};"),
        20..30 => write!(
            sql,
            "UPDATE kv SET k = -1 WHERE k = {a}; UPDATE kv SET k = {a} WHERE k = {b}; UPDATE kv SET k = {b} WHERE k = -1;"
        ),
        30..40 => write!(
            sql,
            "UPDATE page SET id = {page} WHERE id = {other} AND NOT EXISTS (SELECT FROM page WHERE id = {page});"
        ),
        40..55 => write!(sql, "UPDATE page SET n = {n} WHERE id = {page};"),
        55..60 => write!(
            sql,
            "DELETE FROM page WHERE id = {page}; INSERT INTO page VALUES ({page}, {n}, repeat('again {n} ', 400));"
        ),
        60..64 => write!(sql, "UPDATE page SET body = repeat('new {n} ', 300) WHERE id = {page};"),
        _ => write!(
            sql,
            "INSERT INTO kv VALUES ({a}, {n}, 't') ON CONFLICT (k) DO UPDATE SET n = {n}, t = 'again';"
        ),
    };
}
