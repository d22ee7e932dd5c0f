//! One schedule from its first fault to the comparison at its end.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::Signal;
use serde_json::json;

use super::load::Load;
use super::schedule::{Event, Schedule, Strike};
use super::statements::{LATER, PREPARE, TABLES};
use super::total::Total;
use super::watch::{Aliases, Watch};
use crate::support::case::Case;
use crate::support::connector::Connector;
use crate::support::fault::{Protocol, Proxy};
use crate::support::shared::{FRAGILE_POSTGRES, Pair};
use crate::support::{PATIENCE, wait_for};

/// For everything to be searchable once the last fault is over.
const CATCH_UP: Duration = Duration::from_secs(300);
/// As a supervisor waits before it starts a process again.
const RESTART_PAUSE: Duration = Duration::from_millis(100);
const WAIT: &[&str] = &["wait", "--timeout", "300s"];
const TICK: Duration = Duration::from_millis(20);

/// Runs it on servers that nobody else uses meanwhile. Fails, with the servers perhaps stopped, when something is not as
/// it must be.
pub fn run(pair: &mut Pair, schedule: &Schedule) -> Total {
    let mut stage = Stage::set(pair, schedule);
    for event in &schedule.events {
        stage.tend_for(event.after);
        stage.happen(event);
    }
    stage.end()
}

/// Everything that takes part. Dropped in this order.
struct Stage<'p> {
    connector: Connector,
    /// It was told to stop, or killed.
    expected_to_end: bool,
    /// The process is a resync.
    resyncs: bool,
    /// How many columns were added.
    columns: u32,
    /// `LATER` is followed.
    more: bool,
    load: Load,
    watch: Watch,
    _logs: Logs,
    case: Case,
    source: Proxy,
    target: Proxy,
    pair: &'p mut Pair,
    total: Total,
}

impl<'p> Stage<'p> {
    fn set(pair: &'p mut Pair, schedule: &Schedule) -> Self {
        let mut rng = schedule.rng.clone();
        let port = |fact: &str| fact.rsplit(':').next().unwrap().parse().unwrap();
        let postgres = port(pair.postgres.fact("port"));
        let source = Proxy::start(Protocol::Bytes, postgres, rng.fork());
        let target = Proxy::start(Protocol::Http, port(pair.search.fact("url")), rng.fork());
        let mut case = Case::on(&format!("storm_{}", schedule.seed), &pair.postgres, &pair.search);
        case.through(&source, &target);
        case.read_by(schedule.way);
        case.config["pipeline"] =
            json!({"batch_rows": schedule.batch_rows, "lanes": schedule.lanes});
        for (table, columns) in TABLES {
            case.table(table, columns);
        }
        case.execute(&format!("CREATE TABLE {} ({})", LATER.0, LATER.1));
        case.execute(PREPARE);
        case.command(&["setup"]).expect_success();
        let load = Load::start(&case.database, &mut rng, schedule);
        let connector = if schedule.copies { case.start(&["run"]) } else { streaming(&mut case) };
        let watch = Watch::start(&case.search, aliases(&case), !case.by_queue());
        Stage {
            connector,
            expected_to_end: false,
            resyncs: false,
            columns: 0,
            more: false,
            load,
            watch,
            _logs: Logs { dir: case.dir.path().to_owned(), seed: schedule.seed },
            case,
            source,
            target,
            pair,
            total: Total { schedules: 1, ..Total::default() },
        }
    }

    /// Sees to it that a connector runs, or what it asks for.
    fn tend(&mut self) {
        let Some(status) = self.connector.ended() else { return };
        let asks = self.columns > 0 && self.connector.log().contains("`wal2es resync");
        match status.code() {
            Some(1) => self.total.restarts += 1,
            Some(3) if asks => {}
            Some(0) if self.resyncs => {}
            _ if self.expected_to_end => {}
            _ => panic!("wal2es ended with {status}, which is not worth a retry"),
        }
        self.resyncs = status.code() == Some(3);
        std::thread::sleep(RESTART_PAUSE);
        self.connector = self.case.start(&[if self.resyncs { "resync" } else { "run" }]);
        self.expected_to_end = false;
    }

    fn tend_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            self.tend();
            if Instant::now() >= until {
                return;
            }
            std::thread::sleep(TICK);
        }
    }

    fn tend_until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        wait_for(what, CATCH_UP, || {
            self.tend();
            look(self)
        })
    }

    fn happen(&mut self, event: &Event) {
        for strike in &event.strikes {
            *self.total.strikes.entry(strike.name()).or_default() += 1;
            self.strike(*strike);
        }
        // A process that was killed comes back when the event is over.
        std::thread::sleep(event.lasts);
        for strike in &event.strikes {
            self.mend(*strike);
        }
        self.tend();
    }

    fn strike(&mut self, strike: Strike) {
        match strike {
            Strike::KillConnector => self.end_connector(Signal::SIGKILL),
            Strike::StopConnector => self.end_connector(Signal::SIGTERM),
            Strike::Source(fault) => self.source.set(fault),
            Strike::Target(fault) => self.target.set(fault),
            Strike::EndSource(end) => self.source.end(end),
            Strike::EndTarget(end) => self.target.end(end),
            Strike::EndWalsender => {
                let of_slot = "SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1";
                let of_queue = "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND application_name = 'wal2es'";
                let which = if self.case.by_queue() { of_queue } else { of_slot };
                let query = format!("SELECT pg_terminate_backend(pid) FROM ({which}) ours (pid)");
                // The server may be away.
                let _ = self.case.sql.query(&query, &[&self.case.name]);
            }
            Strike::CrashPostgres => self.pair.postgres.stop("immediate"),
            Strike::StopPostgres => self.pair.postgres.stop("fast"),
            Strike::KillSearch => {
                self.watch.search_is_killed();
                self.pair.search.kill9();
            }
            Strike::DiskFull => drop(self.block(true)),
            Strike::AddColumn => {
                self.columns += 1;
                let table = if self.columns % 2 == 1 { "log" } else { "kv" };
                let _ = self.try_execute(&format!(
                    "ALTER TABLE {table} ADD COLUMN more_{} int DEFAULT 7",
                    self.columns
                ));
            }
            Strike::AddTable => {
                let sql = format!("ALTER PUBLICATION {} ADD TABLE {}", self.case.name, LATER.0);
                if !self.more && self.try_execute(&sql) {
                    self.more = true;
                    self.case.follow(LATER.0);
                    self.end_connector(Signal::SIGTERM);
                }
            }
        }
    }

    /// False if it was not done, as far as is known: the server may be away, or somebody holds the lock.
    fn try_execute(&mut self, sql: &str) -> bool {
        self.case.sql.batch_execute(&format!("SET lock_timeout = '2s'; {sql}")).is_ok()
    }

    fn end_connector(&mut self, signal: Signal) {
        if self.connector.ended().is_none() {
            self.expected_to_end = true;
            self.connector.signal(signal);
        }
    }

    fn mend(&mut self, strike: Strike) {
        match strike {
            Strike::Source(_) => self.source.heal(),
            Strike::Target(_) => self.target.heal(),
            Strike::CrashPostgres | Strike::StopPostgres => {
                self.pair.postgres.start_again(&FRAGILE_POSTGRES);
                self.case.reconnect();
            }
            Strike::KillSearch => self.pair.search.start_again(&[]),
            _ => {}
        }
        if strike == Strike::DiskFull {
            wait_for("the end of the block", PATIENCE, || self.block(false));
        }
    }

    /// None if the server did not do it.
    fn block(&self, full: bool) -> Option<()> {
        let block = if full { json!(true) } else { json!(null) };
        let settings = json!({"index.blocks.read_only_allow_delete": block}).to_string();
        let indices = format!("{},wal2es-state", aliases(&self.case).all);
        let missing = "ignore_unavailable=true&allow_no_indices=true";
        let path = format!("{indices}/_settings?{missing}");
        let (status, _) = self.case.search.try_request("PUT", &path, Some(&settings)).ok()?;
        (status == 200).then_some(())
    }

    /// Everything that was written is searchable. A connector that asks for a resync first makes one wait more.
    fn catch_up(&mut self) {
        let mut wait = self.case.start(WAIT);
        self.tend_until("the end of what was written", |stage| {
            match wait.ended()?.code() {
                Some(0) => return Some(()),
                _ if stage.columns > 0 => wait = stage.case.start(WAIT),
                code => panic!("wait ended with {code:?}: {}", wait.log()),
            }
            None
        });
    }

    fn all_is_built(&mut self) -> Option<()> {
        let state = self.case.state()?;
        let indices = state["indexes"].as_array()?;
        let tables = TABLES.len() + usize::from(self.more);
        let shown = indices.iter().filter(|index| index["shown"].is_string()).count();
        let all = state["step"] == "streaming" && shown == tables && !self.resyncs;
        (all && state["needs_resync"].is_null()).then_some(())
    }

    /// Nothing is written any more: indices and tables are equal.
    fn end(mut self) -> Total {
        // A strike at the same server may have been mended by another before it had happened.
        self.source.heal();
        self.target.heal();
        let [committed, rolled_back, failed] = self.load.stop();
        if self.columns > 0 {
            // What was added is noticed with the next row.
            self.case.execute("INSERT INTO log VALUES (-100000); INSERT INTO kv VALUES (-100000)");
        }
        self.tend_until("indices for all tables", Self::all_is_built);
        self.catch_up();
        self.tend_until("what was built last", Self::all_is_built);
        if self.case.by_queue() {
            self.tend_until("the queue to be empty", |stage| {
                (stage.case.entries() == 0).then_some(())
            });
        }
        let seen = self.watch.stop();
        self.case.compare();
        assert!(seen.wrong.is_empty(), "seen meanwhile: {:#?}", seen.wrong);
        self.total.rows = rows(&mut self.case);
        self.total.looks = seen.looks;
        self.total.reappeared = seen.reappeared;
        self.total.spoilt = self.target.spoilt();
        (self.total.committed, self.total.rolled_back) = (committed, rolled_back);
        self.total.failed = failed;
        self.tend();
        self.connector.stop();
        self.total
    }
}

/// Keeps what the connector said if the run fails.
struct Logs {
    dir: PathBuf,
    seed: u64,
}

impl Drop for Logs {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        let files = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut logs: Vec<(SystemTime, PathBuf)> = files
            .filter(|file| file.file_name().to_string_lossy().starts_with("stderr"))
            .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
            .collect();
        logs.sort();
        let said: Vec<String> =
            logs.iter().filter_map(|(_, path)| std::fs::read_to_string(path).ok()).collect();
        let kept = std::env::temp_dir().join(format!("wal2es-schedule-{}.log", self.seed));
        if std::fs::write(&kept, said.join("---- next process\n")).is_ok() {
            eprintln!("all that wal2es said: {}", kept.display());
        }
    }
}

/// A connector that has made the first copy and reads the log, or the queue.
fn streaming(case: &mut Case) -> Connector {
    let mut connector = case.start(&["run"]);
    wait_for("the stream", PATIENCE, || {
        connector.must_run();
        let log = connector.log();
        let follows = ["streaming from", "taking from the trigger queue"];
        follows.iter().any(|line| log.contains(line)).then_some(())
    });
    connector
}

/// `*` for all indices of the tables, shown or not.
fn aliases(case: &Case) -> Aliases {
    let [kv, twin] = ["kv", "twin"].map(|table| case.alias(table));
    let all: Vec<String> = TABLES
        .iter()
        .chain([&LATER])
        .map(|(table, _)| format!("{}-g*", case.alias(table)))
        .collect();
    Aliases { all: all.join(","), kv, twin }
}

fn rows(case: &mut Case) -> u64 {
    let count = |(table, _): &(&str, &str)| {
        let query = format!("SELECT count(*) FROM {table}");
        u64::try_from(case.sql.query_one(&query, &[]).unwrap().get::<_, i64>(0)).unwrap()
    };
    TABLES.iter().map(count).sum()
}
