//! `wal2es run`.

use std::process::ExitCode;
use std::sync::Arc;

use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{answer, setup};
use crate::args::Args;
use crate::config::Config;
use crate::failure::Failure;
use crate::http::Endpoint;
use crate::monitor::Monitor;
use crate::run::{self, End, Options};

pub(super) async fn perform(
    args: &Args,
    config: &Config,
    until_caught_up: bool,
    with_setup: bool,
) -> Result<ExitCode, Failure> {
    let json = args.json;
    let stop = CancellationToken::new();
    stop_on_signals(&stop)?;
    let options = Options { until_caught_up, rebuild: false };
    let monitor = Arc::new(Monitor::new(config, stop.clone()));
    let endpoint = Endpoint::open(&config.http, &monitor).await?;
    if with_setup {
        // A slot is made only when the transactions that are open now have ended.
        tokio::select! {
            () = stop.cancelled() => return Ok(ExitCode::SUCCESS),
            made = setup::ensure(config) => drop(made?),
        }
    }
    let ended = run::run(args, options, stop, monitor.clone()).await;
    monitor.close();
    if let Some(endpoint) = endpoint {
        endpoint.close().await;
    }
    match ended? {
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
