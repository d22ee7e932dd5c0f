//! `wal2es run`.

use std::process::ExitCode;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::answer;
use crate::args::Args;
use crate::failure::Failure;
use crate::run::{self, End, Options};

pub(super) async fn perform(args: &Args, until_caught_up: bool) -> Result<ExitCode, Failure> {
    let json = args.json;
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let options = Options { until_caught_up, rebuild: false };
    match run::run(args, options, stop).await? {
        End::CaughtUp(visible) => {
            answer(json, &json!({"visible_lsn": visible.to_string()}), || {
                format!("caught up: everything up to {visible} is searchable")
            });
        }
        End::Stopped if until_caught_up => {
            return Err(Failure::retry("stopped before it had caught up", "start it again"));
        }
        End::Stopped => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// SIGTERM and SIGINT stop in order; a second one at once.
pub(super) fn stop_on_signals(stop: &CancellationToken) -> Result<(), Failure> {
    let failed = |error| Failure::retry(format!("signals can't be caught: {error}"), "report this");
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let stop = stop.clone();
    tokio::spawn(async move {
        for second in [false, true] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if second {
                std::process::exit(1);
            }
            info!("told to stop: finishing what is in flight (once more to stop at once)");
            stop.cancel();
        }
    });
    Ok(())
}
