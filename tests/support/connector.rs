//! The binary under test.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{PATIENCE, wait_for};

/// The one that was built with the tests, unless the environment names another.
static BINARY: LazyLock<String> = LazyLock::new(|| {
    let built = env!("CARGO_BIN_EXE_wal2es").to_owned();
    std::env::var("WAL2ES_TEST_BINARY").unwrap_or(built)
});

/// How a command ended.
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// Exit code 0.
    pub fn expect_success(self) -> Self {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self
    }

    /// That exit code, and every one of `words` in what it says.
    pub fn expect(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in:\n{}", self.stderr);
        }
        self
    }
}

/// A process of the binary. Killed when dropped.
pub struct Connector {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Connector {
    /// Starts it in the directory `dir`, with nothing but `env` in its environment.
    pub fn start(dir: &Path, arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let mut command = Command::new(BINARY.as_str());
        command.args(arguments).env_clear().envs(env.iter().copied());
        Self::spawn(dir, command)
    }

    /// The same, with a limit for the size of the files that it writes.
    pub fn start_limited(dir: &Path, arguments: &[&str], kib: u32) -> Self {
        let mut command = Command::new("bash");
        let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
        command.args(["-c", &script, "limited", BINARY.as_str()]).args(arguments).env_clear();
        Self::spawn(dir, command)
    }

    fn spawn(dir: &Path, mut command: Command) -> Self {
        let number = fastrand::u32(..);
        let log = |kind: &str| dir.join(format!("{kind}-{number:08x}"));
        let (stdout, stderr) = (log("stdout"), log("stderr"));
        let child = command
            .current_dir(dir)
            .env("HOME", dir)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).unwrap())
            .stderr(File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        Connector { child, stdout, stderr }
    }

    /// Waits for its end.
    pub fn end(mut self, patience: Duration) -> Ended {
        let status = wait_for("the end of wal2es", patience, || self.ended());
        Ended { code: status.code(), stdout: read(&self.stdout), stderr: read(&self.stderr) }
    }

    /// SIGTERM, and exit code 0 after it.
    pub fn stop(self) -> Ended {
        self.signal(Signal::SIGTERM);
        self.end(PATIENCE).expect_success()
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its exit status, once it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Fails with its last words if it has ended.
    pub fn must_run(&mut self) {
        if let Some(status) = self.ended() {
            panic!("wal2es ended with {status}:\n{}", self.log());
        }
    }

    /// What it has said on stderr.
    pub fn log(&self) -> String {
        read(&self.stderr)
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("wal2es said last:\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
