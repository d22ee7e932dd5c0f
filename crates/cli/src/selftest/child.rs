//! This program once more, as a process that can be killed, with the scratch tables in place of the configured ones.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child as Process, ChildStderr, Command};
use tokio::time::timeout;

use super::{Names, PATIENCE};
use crate::args::Args;
use crate::failure::Failure;

/// How to start it.
pub(super) struct Child {
    program: PathBuf,
    arguments: Vec<String>,
    names: Names,
    /// In place of the configured target.
    target: Option<String>,
}

/// One that runs. Killed when it is dropped.
pub(super) struct Running {
    process: Process,
    /// The last lines of its log.
    last: Arc<Mutex<VecDeque<String>>>,
}

/// So many lines are kept.
const LINES: usize = 3;

/// What one has said.
pub(super) struct Said {
    pub(super) success: bool,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Child {
    pub(super) fn new(args: &Args, names: &Names, target: Option<String>) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(|error| {
            Failure::config(
                format!("the program can't find itself: {error}"),
                "start it by its path",
            )
        })?;
        let mut arguments = Vec::new();
        let mut add = |name: &str, value: String| arguments.extend([name.to_owned(), value]);
        if let Some(file) = &args.config {
            add("--config", file.to_string_lossy().into_owned());
        }
        if let Some(source) = &args.source {
            add("--source", source.clone());
        }
        for url in args.target.iter().filter(|_| target.is_none()) {
            add("--target", url.clone());
        }
        for table in &names.tables {
            add("--table", table.clone());
        }
        Ok(Child { program, arguments, names: names.clone(), target })
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).args(words);
        command.env("WAL2ES_SOURCE_SLOT", &self.names.own);
        command.env("WAL2ES_SOURCE_PUBLICATION", &self.names.own);
        command.env("WAL2ES_TARGET_CHECK_INTERVAL", "2s");
        if words.contains(&"run") {
            // The configured address is that of the connector that runs for good.
            command.args(["--listen", "127.0.0.1:0"]);
        }
        if let Some(target) = &self.target {
            command.env("WAL2ES_TARGET_URL", target);
        }
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts a command.
    pub(super) fn start(&self, words: &[&str]) -> Result<Running, Failure> {
        let mut command = self.command(words);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().map_err(|error| not_started(&error))?;
        let last = Arc::new(Mutex::new(VecDeque::new()));
        if let Some(log) = process.stderr.take() {
            tokio::spawn(keep_last(log, last.clone()));
        }
        Ok(Running { process, last })
    }

    /// Does a command to its end.
    pub(super) async fn run(&self, words: &[&str], patience: Duration) -> Result<Said, Failure> {
        let output = timeout(patience, self.command(words).output());
        let output = output.await.map_err(|_| {
            Failure::retry(
                format!("`wal2es {}` did not end", words.join(" ")),
                "look at the servers",
            )
        })?;
        let output = output.map_err(|error| not_started(&error))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Said {
            success: output.status.success(),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        })
    }

    /// The same for one that must succeed.
    pub(super) async fn finish(&self, words: &[&str]) -> Result<(), Failure> {
        let said = self.run(words, PATIENCE).await?;
        match said.success {
            true => Ok(()),
            false => Err(said.failure(&words.join(" "))),
        }
    }
}

impl Said {
    /// What the command ended with.
    pub(super) fn failure(&self, command: &str) -> Failure {
        let mut last: Vec<&str> = self.stderr.lines().rev().take(3).collect();
        last.reverse();
        Failure::retry(format!("`wal2es {command}` failed: {}", last.join("; ")), "as said there")
    }
}

async fn keep_last(log: ChildStderr, last: Arc<Mutex<VecDeque<String>>>) {
    let mut lines = BufReader::new(log).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut last = last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() == LINES {
            last.pop_front();
        }
        last.push_back(line);
    }
}

fn not_started(error: &std::io::Error) -> Failure {
    Failure::retry(
        format!("a process could not be started: {error}"),
        "look at the limits (ulimit -a)",
    )
}

impl Running {
    /// Whether it runs still. It may have ended with the code for what is worth another try, as when it is cut off
    /// while it starts; whoever supervises it starts it again then.
    ///
    /// # Errors
    /// It has ended with another one.
    pub(super) fn runs(&mut self) -> Result<bool, Failure> {
        match self.process.try_wait() {
            Ok(None) => Ok(true),
            Ok(Some(status)) if status.code() == Some(1) => Ok(false),
            Ok(Some(status)) => {
                let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                let last: Vec<&str> = last.iter().map(String::as_str).collect();
                Err(Failure::retry(
                    format!("the connector under test ended with {status}: {}", last.join("; ")),
                    "as said there",
                ))
            }
            Err(error) => Err(not_started(&error)),
        }
    }

    /// SIGKILL.
    pub(super) async fn kill(mut self) -> Result<(), Failure> {
        self.process.kill().await.map_err(|error| not_started(&error))
    }

    /// SIGTERM, and waits for its end.
    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        let pid = self.process.id().and_then(|pid| i32::try_from(pid).ok());
        if let Some(pid) = pid {
            let pid = nix::unistd::Pid::from_raw(pid);
            // It may just have ended.
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        }
        let ended = timeout(PATIENCE, self.process.wait()).await;
        match ended {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(not_started(&error)),
            Err(_) => Err(Failure::retry("the connector under test does not end", "report this")),
        }
    }
}
