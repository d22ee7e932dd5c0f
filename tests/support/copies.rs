//! Copies of a Postgres: of its files while it is stopped, and a standby.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::postgres::{Database, connect, lsn};
use super::servers::Server;
use super::temp::TempDir;
use super::{PATIENCE, shared, wait_for};

/// A copy of the files of a stopped server.
pub struct Backup {
    dir: TempDir,
}

impl Backup {
    /// Makes it.
    pub fn of(stopped: &Server) -> Self {
        let dir = TempDir::new("backup");
        copy(&stopped.cluster(), &dir.path().join("pg"));
        Backup { dir }
    }

    /// Puts the files back in place of those that a stopped server has now.
    pub fn restore(&self, stopped: &Server) {
        std::fs::remove_dir_all(stopped.cluster()).unwrap();
        copy(&self.dir.path().join("pg"), &stopped.cluster());
    }
}

/// With owners and modes.
fn copy(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-a").arg(from).arg(to));
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A standby of `primary`, started with `options`, and caught up with all that is written by now. It reads from the slot
/// `standby`.
pub fn standby(primary: &Server, database: &str, options: &[&str]) -> Server {
    let port: u16 = primary.fact("port").parse().unwrap();
    let mut session = connect(port, "postgres", Database::ADMIN);
    let mut rules = open(&primary.cluster().join("pg_hba.conf"));
    writeln!(rules, "host replication all 127.0.0.1/32 trust").unwrap();
    session.batch_execute("SELECT pg_reload_conf()").unwrap();
    session.batch_execute("SELECT pg_create_physical_replication_slot('standby', true)").unwrap();

    let dir = TempDir::new("standby");
    let cluster = dir.path().join("pg");
    let base = Path::new(primary.fact("bin")).join("pg_basebackup");
    let to = cluster.to_str().unwrap();
    let from = ["-h", "127.0.0.1", "-p", primary.fact("port"), "-U", Database::ADMIN];
    run(Command::new(base).args(from).args(["-D", to, "-X", "stream", "-c", "fast", "--no-sync"]));
    open(&cluster.join("standby.signal"));
    let like = primary.cluster();
    run(Command::new("chown")
        .arg("-R")
        .arg(format!("--reference={}", like.display()))
        .arg(&cluster));

    let admin = Database::ADMIN;
    let source =
        format!("primary_conninfo=host=127.0.0.1 port={port} user={admin} dbname={database}");
    let mut all = vec![
        "--set",
        &source,
        "--set",
        "primary_slot_name=standby",
        "--set",
        "hot_standby_feedback=on",
    ];
    all.extend(options);
    let standby = Server::start_on(&shared::postgres_kind(), dir, &all);
    let written: String =
        session.query_one("SELECT pg_current_wal_lsn()::text", &[]).unwrap().get(0);
    wait_until_replayed(&standby, &written);
    standby
}

fn open(path: &PathBuf) -> std::fs::File {
    std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap()
}

fn session(server: &Server) -> postgres::Client {
    connect(server.fact("port").parse().unwrap(), "postgres", Database::ADMIN)
}

/// The standby shows what the primary had written at `position`.
pub fn wait_until_replayed(standby: &Server, position: &str) {
    let mut session = session(standby);
    wait_for("the standby to catch up", PATIENCE, || {
        let query = "SELECT pg_last_wal_replay_lsn()::text";
        let replayed: Option<String> = session.query_one(query, &[]).unwrap().get(0);
        replayed.filter(|replayed| lsn(replayed) >= lsn(position))
    });
}

/// The standby gets nothing more. Stopping its receiver would not do: what lies in the socket is still read.
pub fn cut_off(standby: &Server) {
    let mut session = session(standby);
    session.batch_execute("ALTER SYSTEM SET primary_conninfo = ''").unwrap();
    session.batch_execute("SELECT pg_reload_conf()").unwrap();
    wait_for("the receiver to end", PATIENCE, || {
        let query = "SELECT count(*) FROM pg_stat_wal_receiver";
        (session.query_one(query, &[]).unwrap().get::<_, i64>(0) == 0).then_some(())
    });
}

/// Makes a primary of it.
pub fn promote(standby: &Server) {
    let mut session = session(standby);
    let done: bool = session.query_one("SELECT pg_promote(true, 60)", &[]).unwrap().get(0);
    assert!(done, "the standby was not promoted");
}
