//! What is typed.

use std::path::PathBuf;
use std::time::Duration;

use change::Lsn;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::log::LogFormat;

/// Keeps Elasticsearch and OpenSearch indices equal to Postgres tables, by logical replication.
#[derive(Parser, Debug)]
#[command(name = "wal2es", version, about, max_term_width = 100)]
pub struct Args {
    /// The configuration file.
    #[arg(long, global = true, env = "WAL2ES_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// URL or key=value string of the Postgres; with --target and --table no file is needed.
    #[arg(long, global = true, value_name = "URL")]
    pub source: Option<String>,
    /// URL of the search server; may be given again for more nodes of the same cluster.
    #[arg(long, global = true, value_name = "URL")]
    pub target: Vec<String>,
    /// A table, `schema.name`; may be given again.
    #[arg(long = "table", global = true, value_name = "TABLE")]
    pub tables: Vec<String>,
    /// Answers as JSON.
    #[arg(long, global = true)]
    pub json: bool,
    /// More log; twice for even more.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub verbose: u8,
    /// How the log on stderr looks.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub log_format: LogFormat,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Subcommand, Debug, Clone)]
pub enum Command {
    /// Make publication and slot.
    Setup {
        /// Only print the SQL.
        #[arg(long)]
        print: bool,
    },
    /// Copy what is missing, then stream until stopped.
    Run {
        /// End with exit code 0 when everything committed before the call is searchable.
        #[arg(long)]
        until_caught_up: bool,
        /// Make publication and slot if they are missing.
        #[arg(long)]
        setup: bool,
        /// Tell the state over HTTP on this address and port, such as 127.0.0.1:8084.
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<String>,
    },
    /// State, lag, indices.
    Status,
    /// Wait until everything up to a position is searchable.
    Wait {
        /// The position; the server's current one if left out.
        lsn: Option<Lsn>,
        /// Wait for a transaction by its pg_current_xact_id() instead.
        #[arg(long, conflicts_with = "lsn", value_name = "N")]
        xid: Option<u64>,
        /// Give up after this time, with exit code 1.
        #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// Build a new generation beside the old one, then move the aliases over.
    Resync {
        /// The indices, by their aliases; all if none is named.
        indexes: Vec<String>,
        /// How long to wait for the aliases once everything is built, with exit code 1 after that.
        #[arg(long, default_value = "5m", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// Compare indices and tables exactly, while the stream runs.
    Verify {
        /// The indices, by their aliases; all if none is named.
        indexes: Vec<String>,
        /// Write the documents anew that differ, and no others.
        #[arg(long)]
        repair: bool,
        /// Compare the copies of each shard with each other too.
        #[arg(long)]
        copies: bool,
        /// How long to wait for the connector to get as far as the tables, with exit code 1 after that.
        #[arg(long, default_value = "1m", value_parser = humantime::parse_duration)]
        timeout: Duration,
    },
    /// Turn an alias back to the generation before, while it is kept.
    Rollback {
        /// The index, by its alias.
        index: String,
        /// Turn it to the newest generation again.
        #[arg(long)]
        undo: bool,
    },
    /// Rows that have no document: the target refuses it, or none can be made.
    #[command(subcommand)]
    DeadLetters(DeadLetters),
    /// Try it on these servers: scratch tables and indices, a connector that is killed and cut off under load, and a
    /// comparison after each round.
    Selftest {
        /// How many rounds, of some ten seconds each.
        #[arg(long, default_value = "10", value_name = "N")]
        rounds: u32,
        /// Have the load and the faults of an earlier one again.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Remove slot, publication and state.
    Teardown {
        /// Remove the indices too.
        #[arg(long)]
        indices: bool,
    },
}

/// What to do with dead letters.
#[derive(Clone, Debug, Subcommand)]
pub enum DeadLetters {
    /// Show them.
    List {
        /// The indices, by their aliases; all if none is named.
        indexes: Vec<String>,
    },
    /// Send their documents once more: those that the target takes now are cleared.
    Retry {
        /// The index, by its alias.
        index: Option<String>,
        /// The documents, by their ids; all of the index if none is named.
        ids: Vec<String>,
    },
    /// Forget them: their rows stay without a document until they change.
    Discard {
        /// The index, by its alias.
        index: Option<String>,
        /// The documents, by their ids; all of the index if none is named.
        ids: Vec<String>,
        /// Those of all indices.
        #[arg(long, conflicts_with = "index")]
        all: bool,
    },
}

/// Commands that are announced in the manual and not built yet.
const ANNOUNCED: &[&str] = &["plan", "explain", "config"];

impl Args {
    /// Reads what was typed.
    ///
    /// # Errors
    /// What is wrong with it, or the text of `--help`.
    pub fn read(typed: impl IntoIterator<Item = std::ffi::OsString>) -> Result<Args, clap::Error> {
        Args::try_parse_from(typed).map_err(|error| {
            let unknown = match error.get(ContextKind::InvalidSubcommand) {
                Some(ContextValue::String(name)) => name.as_str(),
                _ => return error,
            };
            if !ANNOUNCED.contains(&unknown) {
                return error;
            }
            let text = format!("`wal2es {unknown}` is not built yet; `wal2es help` lists what is");
            Args::command().error(ErrorKind::InvalidSubcommand, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_commands_say_that_they_are_not_there_yet() {
        let read = |words: &[&str]| Args::read(words.iter().map(Into::into));
        let error = read(&["wal2es", "explain"]).unwrap_err();
        assert_eq!((error.exit_code(), error.kind()), (2, ErrorKind::InvalidSubcommand));
        assert!(error.to_string().contains("`wal2es explain` is not built yet"), "{error}");
        let error = read(&["wal2es", "rnu"]).unwrap_err();
        assert!(!error.to_string().contains("not built yet"), "{error}");
        assert!(read(&["wal2es", "status"]).is_ok());
    }

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_may_stand_before_and_after_the_command() {
        let args = Args::parse_from(["wal2es", "--json", "wait", "0/16", "--timeout", "2s"]);
        assert!(args.json);
        let Command::Wait { lsn, timeout, .. } = args.command else { panic!() };
        assert_eq!((lsn, timeout), (Some(Lsn::new(0x16)), Duration::from_secs(2)));
        let args = Args::parse_from(["wal2es", "run", "--table", "a", "--table", "b"]);
        assert_eq!(args.tables, ["a", "b"]);
    }
}
