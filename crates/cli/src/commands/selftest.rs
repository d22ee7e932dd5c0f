//! `wal2es selftest`.

use std::process::ExitCode;

use serde_json::json;

use super::answer;
use crate::args::Args;
use crate::config::Config;
use crate::failure::Failure;
use crate::selftest::{self, Outcome, Wanted};

pub(super) async fn perform(
    args: &Args,
    config: &Config,
    rounds: u32,
    seed: Option<u64>,
) -> Result<ExitCode, Failure> {
    let outcome = selftest::perform(args, config, Wanted { rounds, seed }).await?;
    let Outcome { seed, rounds, transactions, kills, stops, rows, .. } = &outcome;
    let (source, target) = (outcome.cuts_of_source, outcome.cuts_of_target);
    let value = json!({
        "equal": outcome.difference.is_none(), "seed": seed.to_string(), "rounds": rounds,
        "transactions": transactions, "kills": kills, "stops": stops, "cuts_of_source": source,
        "cuts_of_target": target, "rows_compared": rows, "difference": outcome.difference,
    });
    let did = format!(
        "{rounds} rounds, {transactions} transactions, {kills} kills, {stops} stops, {source} ended streams, {target} cuts \
         of the target"
    );
    match &outcome.difference {
        None => {
            answer(args.json, &value, || {
                format!(
                    "index and table were equal each time: {did}, {rows} rows compared (seed {seed})"
                )
            });
            Ok(ExitCode::SUCCESS)
        }
        Some(difference) => {
            answer(args.json, &value, || {
                format!("index and table differ after {did}: {difference}")
            });
            Err(Failure::retry(
                format!("index and table differ; the seed is {seed}"),
                "report it with the seed; schema, slot and indices of the selftest are left for you to look at",
            ))
        }
    }
}
