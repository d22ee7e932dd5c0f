//! Real servers, by `scripts/servers`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Command, Output};

use super::temp::TempDir;

/// A running server, which ends with the test.
pub struct Server {
    kind: String,
    facts: HashMap<String, String>,
    dir: TempDir,
}

impl Server {
    /// `options` go to `servers start`: `--tls`, `--set KEY=VALUE`.
    pub fn start(kind: &str, options: &[&str]) -> Self {
        let mut server =
            Server { kind: kind.to_owned(), facts: HashMap::new(), dir: TempDir::new(kind) };
        server.start_again(options);
        server
    }

    /// On data that is there already.
    pub fn start_on(kind: &str, dir: TempDir, options: &[&str]) -> Self {
        let mut server = Server { kind: kind.to_owned(), facts: HashMap::new(), dir };
        server.start_again(options);
        server
    }

    /// The data directory of a Postgres.
    pub fn cluster(&self) -> PathBuf {
        self.dir.path().join("pg")
    }

    /// On the same data and port.
    pub fn start_again(&mut self, options: &[&str]) {
        let owner = std::process::id().to_string();
        let mut arguments = vec!["start", &self.kind, "--data", self.data()];
        arguments.extend(["--with-pid", &owner]);
        arguments.extend(options);
        let output = servers(&arguments);
        assert!(
            output.status.success(),
            "the tests need {}, which does not start: {}",
            self.kind,
            String::from_utf8_lossy(&output.stderr)
        );
        let facts = String::from_utf8(output.stdout).unwrap();
        let facts = facts.lines().filter_map(|line| line.split_once('='));
        self.facts = facts.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    }

    /// `fast` or `immediate`.
    pub fn stop(&self, mode: &str) {
        expect_done(&servers(&["stop", "--data", self.data(), "--mode", mode]));
    }

    /// SIGKILL.
    pub fn kill9(&self) {
        expect_done(&servers(&["kill9", "--data", self.data()]));
    }

    /// What `servers start` printed: `url`, `port`, `pid`, `ca` and so on.
    pub fn fact(&self, key: &str) -> &str {
        self.facts.get(key).unwrap_or_else(|| panic!("{} has no {key}", self.kind))
    }

    fn data(&self) -> &str {
        self.dir.path().to_str().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = servers(&["stop", "--data", self.data(), "--mode", "immediate"]);
    }
}

fn servers(arguments: &[&str]) -> Output {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/servers");
    Command::new(script)
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("{script}: {error}"))
}

fn expect_done(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
