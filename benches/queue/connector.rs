//! The binary, with a trigger queue on the table `item`, or reading events.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// How it is configured.
pub struct Connector<'a> {
    pub binary: &'a str,
    /// Of libpq, `key=value`.
    pub postgres: &'a str,
    /// `HOST:PORT`.
    pub target: &'a str,
    /// Of the index, the publication and the schema of what is made.
    pub name: &'a str,
    /// The order of the events; none for the trigger queue.
    pub order: Option<&'a str>,
}

impl Connector<'_> {
    /// Makes what it needs and runs it, up to the end of the first copy.
    pub fn run(&self) -> Running {
        self.configure();
        self.command(&["setup"]).expect("setup");
        let running = Running(self.prepare(&["run"]).stderr(Stdio::null()).spawn().unwrap());
        while self.command(&["wait", "--timeout", "120s"]).is_err() {
            assert!(running.is_there(), "the connector has ended");
        }
        running
    }

    /// Leaves nothing behind in the database.
    pub fn tear_down(&self, mut running: Running) {
        running.signal(Signal::SIGTERM);
        assert!(running.0.wait().unwrap().success());
        self.command(&["teardown"]).expect("teardown");
        std::fs::remove_file(self.file()).unwrap();
    }

    /// Does a command to its end. An error is what it said.
    fn command(&self, arguments: &[&str]) -> Result<(), String> {
        let ended = self.prepare(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        ended.status.success().then_some(()).ok_or(said)
    }

    fn configure(&self) {
        let Connector { postgres, target, name, order, .. } = self;
        let mut config = serde_json::json!({
            "source": {"url": postgres, "slot": name, "publication": name, "capture": "queue"},
            "target": {"url": format!("http://{target}")},
            "indexes": [{"name": name, "table": "public.item"}],
            "queue": {"schema": name},
            // The sink has nothing to compare with.
            "pipeline": {"verify_copies": false},
        });
        if let Some(order) = order {
            config["source"]["capture"] = "events".into();
            config["events"] = serde_json::json!({"table": "public.event", "order": order, "schema": name, "fill": "connector"});
            config["indexes"] = serde_json::json!([{"name": name, "table": "public.event", "id": "key", "payload": "payload"}]);
        }
        std::fs::write(self.file(), config.to_string()).unwrap();
    }

    fn prepare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.binary);
        command
            .args(["--config", self.file().to_str().unwrap()])
            .args(arguments)
            .stdout(Stdio::null());
        command
    }

    fn file(&self) -> PathBuf {
        std::env::temp_dir().join(format!("wal2es-{}-{}.yml", std::process::id(), self.name))
    }
}

/// `run`, in the background. Killed when dropped.
pub struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().try_into().unwrap()), signal).unwrap();
    }

    /// User and system time by now.
    pub fn cpu(&self) -> Duration {
        let stat = self.read("stat");
        // In hundredths of a second, counted from behind the name in parentheses.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }

    /// The most that was ever resident, in kB.
    pub fn peak_kb(&self) -> u64 {
        let status = self.read("status");
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        most.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// It has not ended.
    fn is_there(&self) -> bool {
        !self.read("stat").contains(") Z ")
    }

    fn read(&self, what: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{what}", self.0.id())).unwrap()
    }
}
