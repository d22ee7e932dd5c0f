//! Sessions that write at the same time, each from its own chance, and go on after whatever the server does to them.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use ::postgres::{Client, Error};

use super::schedule::Schedule;
use super::statements::statement;
use crate::support::postgres::{Database, try_connect};

const SESSIONS: u64 = 3;
/// Transactions of a session at most: while a server is away for long, they must not become too many to catch up with.
const MOST: usize = 400;
/// Numbers of rows: each session has its own, and each statement room for a thousand.
const STEP: u64 = 1_000;

/// What is sent in one go.
pub enum Line {
    Sql(String),
    /// The command, and the rows.
    Copy(String, String),
}

/// Runs until it is stopped or dropped.
pub struct Load {
    shared: Arc<Shared>,
    sessions: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    committed: AtomicU64,
    rolled_back: AtomicU64,
    /// Ended by the server, or with an unknown outcome.
    failed: AtomicU64,
}

impl Load {
    /// Sessions that write as `schedule` says.
    pub fn start(database: &Database, rng: &mut fastrand::Rng, schedule: &Schedule) -> Self {
        let shared = Arc::new(Shared::default());
        let session = |at| {
            let session = Session {
                database: database.clone(),
                shared: shared.clone(),
                rng: rng.fork(),
                pause: schedule.pause,
                many: schedule.many,
                number: at * STEP,
                client: None,
            };
            std::thread::spawn(move || session.run())
        };
        let sessions = (0..SESSIONS).map(session).collect();
        Load { shared, sessions }
    }

    /// Ends it. How many transactions were committed, rolled back, and failed.
    pub fn stop(&mut self) -> [u64; 3] {
        self.end();
        let Shared { committed, rolled_back, failed, .. } = &*self.shared;
        [committed, rolled_back, failed].map(|count| count.load(Ordering::Relaxed))
    }

    fn end(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for session in self.sessions.drain(..) {
            let _ = session.join();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.end();
    }
}

struct Session {
    database: Database,
    shared: Arc<Shared>,
    rng: fastrand::Rng,
    pause: Duration,
    many: u64,
    number: u64,
    client: Option<Client>,
}

impl Session {
    fn run(mut self) {
        for _ in 0..MOST {
            if self.shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let lines = self.transaction();
            let committed = matches!(lines.last(), Some(Line::Sql(sql)) if sql == "COMMIT");
            let count = match self.send(&lines) {
                Ok(()) if committed => &self.shared.committed,
                Ok(()) => &self.shared.rolled_back,
                Err(_) => {
                    self.recover();
                    &self.shared.failed
                }
            };
            count.fetch_add(1, Ordering::Relaxed);
            self.rest();
        }
    }

    /// The same whatever the server did to the one before.
    fn transaction(&mut self) -> Vec<Line> {
        let doomed = self.rng.u32(..7) == 0;
        let mut lines = vec![Line::Sql("BEGIN".to_owned())];
        for _ in 0..self.rng.u32(1..7) {
            self.number += SESSIONS * STEP;
            // One in eight is a savepoint's, which goes the way of the transaction or not.
            let savepoint = self.rng.u32(..8) == 0;
            let undone = savepoint && self.rng.bool();
            let steps = statement(&mut self.rng, self.number, self.many, doomed || undone);
            if savepoint {
                lines.push(Line::Sql("SAVEPOINT s".to_owned()));
            }
            lines.extend(steps);
            if savepoint {
                let end = if undone { "ROLLBACK TO s" } else { "RELEASE s" };
                lines.push(Line::Sql(end.to_owned()));
            }
        }
        lines.push(Line::Sql(if doomed { "ROLLBACK" } else { "COMMIT" }.to_owned()));
        lines
    }

    fn send(&mut self, lines: &[Line]) -> Result<(), Error> {
        let client = match &mut self.client {
            Some(client) => client,
            none => {
                let mut client =
                    try_connect(self.database.port, &self.database.name, Database::ADMIN)?;
                client.batch_execute("SET deadlock_timeout = '50ms'; SET lock_timeout = '1s'")?;
                none.insert(client)
            }
        };
        for line in lines {
            match line {
                Line::Sql(sql) => client.batch_execute(sql)?,
                Line::Copy(sql, rows) => {
                    let mut copy = client.copy_in(sql.as_str())?;
                    // A failure to write is told by the end too.
                    let _ = copy.write_all(rows.as_bytes());
                    copy.finish()?;
                }
            }
        }
        Ok(())
    }

    fn recover(&mut self) {
        let recovered = self.client.take().filter(|client| !client.is_closed());
        self.client = recovered
            .and_then(|mut client| client.batch_execute("ROLLBACK").is_ok().then_some(client));
        if self.client.is_none() {
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn rest(&mut self) {
        let micros = u64::try_from(self.pause.as_micros()).unwrap();
        std::thread::sleep(Duration::from_micros(self.rng.u64(..=micros)));
    }
}
