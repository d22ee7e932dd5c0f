//! `wal2es selftest`: a proof, on the servers of those who ask, or a counterexample with its seed.
//!
//! ```text
//! load ──► scratch tables ──► wal2es run, a child process ──► cut (a proxy) ──► scratch indices
//!                                   ▲ killed, stopped, its walsender terminated
//! ```
//!
//! Tables in a schema of their own are written to all the time while a connector of their own is killed, stopped and cut
//! off, by a schedule that follows from the seed. After each round nothing is written for a moment, and `wal2es verify`
//! compares. Everything is done by the commands that users have, in processes of their own; what was made is removed
//! at the end, unless index and table differ.

mod child;
mod cut;
mod load;

use std::time::Duration;

use tracing::info;

use crate::args::Args;
use crate::config::Config;
use crate::failure::Failure;
use crate::source::Source;
use child::Child;
use cut::Cut;
use load::Load;

/// How long a fault may take to be got over.
const PATIENCE: Duration = Duration::from_secs(300);

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) rounds: u32,
    pub(crate) transactions: u64,
    pub(crate) kills: u32,
    pub(crate) stops: u32,
    pub(crate) cuts_of_source: u32,
    pub(crate) cuts_of_target: u32,
    pub(crate) rows: u64,
    /// What `verify` says of the first difference.
    pub(crate) difference: Option<String>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) rounds: u32,
    pub(crate) seed: Option<u64>,
}

/// The names of everything that is made.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    /// Of slot, publication and schema.
    pub(crate) own: String,
    pub(crate) tables: Vec<String>,
}

/// Does it.
///
/// # Errors
/// The servers don't allow it, or the connector does not get over a fault.
pub(crate) async fn perform(
    args: &Args,
    config: &Config,
    wanted: Wanted,
) -> Result<Outcome, Failure> {
    let seed = wanted.seed.unwrap_or_else(|| fastrand::u64(..));
    let own = format!("wal2es_selftest_{:08x}", fastrand::u32(..));
    let tables = load::TABLES.iter().map(|table| format!("{own}.{table}")).collect();
    let names = Names { own, tables };
    let source = Source::connect(config).await?;
    source.client.batch_execute(&load::schema(&names.own)).await?;
    info!(seed, schema = names.own, rounds = wanted.rounds, "selftest");
    let cut = Cut::before(&config.target.url).await?;
    let child = Child::new(args, &names, cut.as_ref().map(Cut::url))?;
    let mut outcome = Outcome { seed, ..Outcome::default() };
    let done = rounds(config, wanted, &child, cut.as_ref(), &mut outcome).await;
    if outcome.difference.is_none() {
        let removed = child.finish(&["teardown", "--indices"]).await;
        let dropped = format!("DROP SCHEMA {} CASCADE", names.own);
        let dropped = Source::connect(config).await?.client.batch_execute(&dropped).await;
        done?;
        removed?;
        dropped?;
        return Ok(outcome);
    }
    done?;
    Ok(outcome)
}

async fn rounds(
    config: &Config,
    wanted: Wanted,
    child: &Child,
    cut: Option<&Cut>,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let mut rng = fastrand::Rng::with_seed(outcome.seed);
    let mut load = Load::begin(config, child.names(), rng.u64(..));
    for round in 1..=wanted.rounds {
        let mut faults = rng.fork();
        disturb(config, child, cut, &mut faults, outcome).await?;
        load.pause().await;
        let compared = compare(child).await;
        outcome.transactions = load.transactions();
        outcome.rounds = round;
        match compared? {
            Ok(rows) => outcome.rows += rows,
            Err(difference) => {
                outcome.difference = Some(difference);
                break;
            }
        }
        info!(round, transactions = outcome.transactions, kills = outcome.kills, "equal");
        load.go_on();
    }
    load.end().await;
    Ok(())
}

/// One round: the connector runs, and things happen to it.
async fn disturb(
    config: &Config,
    child: &Child,
    cut: Option<&Cut>,
    rng: &mut fastrand::Rng,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    let mut running = child.start(&["run", "--setup"])?;
    for _ in 0..rng.u32(2..6) {
        tokio::time::sleep(Duration::from_millis(rng.u64(100..2000))).await;
        if !running.runs()? {
            running = child.start(&["run", "--setup"])?;
        }
        match (rng.u32(..4), cut) {
            (0, Some(cut)) => {
                cut.all();
                outcome.cuts_of_target += 1;
            }
            (1, _) => {
                if end_walsender(config, child.names()).await? {
                    outcome.cuts_of_source += 1;
                }
            }
            (2, _) => {
                running.stop().await?;
                outcome.stops += 1;
                running = child.start(&["run", "--setup"])?;
            }
            _ => {
                running.kill().await?;
                outcome.kills += 1;
                running = child.start(&["run", "--setup"])?;
            }
        }
    }
    running.stop().await
}

/// Ends the server's side of the stream. False if there is none now.
async fn end_walsender(config: &Config, names: &Names) -> Result<bool, Failure> {
    let source = Source::connect(config).await?;
    let sql = "SELECT pg_catalog.pg_terminate_backend(active_pid) FROM pg_catalog.pg_replication_slots \
               WHERE slot_name = $1 AND active_pid IS NOT NULL";
    Ok(source.client.query_opt(sql, &[&names.own]).await?.is_some())
}

/// Catches up and compares. The number of rows, or what differs.
async fn compare(child: &Child) -> Result<Result<u64, String>, Failure> {
    let mut running = child.start(&["run", "--setup"])?;
    child.finish(&["wait", "--timeout", "5m"]).await?;
    let verified = child.run(&["--json", "verify"], PATIENCE).await?;
    running.runs()?;
    running.stop().await?;
    let said: serde_json::Value = serde_json::from_str(&verified.stdout).unwrap_or_default();
    let count = |key: &str| {
        let all = said["indexes"].as_array().into_iter().flatten();
        all.filter_map(|one| one[key].as_u64()).sum::<u64>()
    };
    match said["equal"].as_bool() {
        Some(true) => Ok(Ok(count("rows"))),
        Some(false) => Ok(Err(said.to_string())),
        None => Err(verified.failure("verify")),
    }
}
