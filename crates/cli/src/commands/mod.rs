//! The commands, one file each.

mod dead_letters;
mod resync;
mod rollback;
mod run;
mod selftest;
mod setup;
mod status;
mod teardown;
mod verify;
mod wait;

pub(crate) use setup::parse_name;

use std::process::ExitCode;
use std::sync::Arc;

use apply::{Reports, State, Store, Target};
use serde_json::Value;
use wal::System;

use crate::args::{Args, Command};
use crate::config::Config;
use crate::failure::Failure;
use crate::source::Source;
use crate::verify::How;

/// Does what was typed.
///
/// # Errors
/// See [`Failure`].
pub async fn perform(args: Args) -> Result<ExitCode, Failure> {
    let config = Config::load(&args)?;
    let json = args.json;
    // Without a file nobody has run `setup`.
    let fileless = args.source.is_some() && args.config.is_none();
    match args.command.clone() {
        Command::Setup { print } => setup::perform(&config, print).await,
        Command::Run { until_caught_up, setup, .. } => {
            run::perform(&args, &config, until_caught_up, setup || fileless).await
        }
        Command::Status => status::perform(&config, json).await,
        Command::Wait { lsn, xid, timeout } => {
            wait::perform(&config, lsn, xid, timeout, json).await
        }
        Command::Resync { indexes, timeout } => {
            resync::perform(&args, &config, indexes, timeout).await
        }
        Command::Verify { indexes, repair, copies, timeout } => {
            let how = How { repair, copies };
            verify::perform(&config, &indexes, how, timeout, json).await
        }
        Command::Rollback { index, undo } => rollback::perform(&config, &index, undo, json).await,
        Command::DeadLetters(what) => dead_letters::perform(&config, what, json).await,
        Command::Selftest { rounds, seed } => selftest::perform(&args, &config, rounds, seed).await,
        Command::Teardown { indices } => teardown::perform(&config, indices, json).await,
    }
}

/// Prints an answer on stdout: JSON for machines, else text for people.
#[expect(clippy::print_stdout, reason = "stdout carries the answer")]
fn answer(json: bool, value: &Value, text: impl FnOnce() -> String) {
    if json {
        println!("{value}");
    } else {
        println!("{}", text());
    }
}

/// The state document that belongs to the configuration, with what it takes to get at it.
struct Installation {
    source: Source,
    system: System,
    target: Arc<Target>,
    store: Store,
    state: Option<State>,
}

impl Installation {
    /// How many rows of the indices that are written have no document.
    async fn dead_letters(&self) -> Result<usize, Failure> {
        let indexes = self.state.iter().flat_map(|state| &state.indexes);
        let names: Vec<&str> = indexes.map(|index| index.index.as_str()).collect();
        Ok(apply::letters::list(&self.target, &names).await?.len())
    }

    async fn find(config: &Config) -> Result<Self, Failure> {
        let source = Source::connect(config).await?;
        let system = source.identify().await?;
        let target = Arc::new(Target::connect(&config.target()).await?);
        let mut store =
            Store::new(target.clone(), &system.system_id, &source.info.dbname, &config.source.slot);
        let state = store.load().await?;
        Ok(Installation { source, system, target, store, state })
    }

    /// What the connector reports, beside the state document.
    fn reports(&self, config: &Config) -> Reports {
        let (system_id, database) = (&self.system.system_id, &self.source.info.dbname);
        Reports::new(self.target.clone(), system_id, database, &config.source.slot)
    }
}
