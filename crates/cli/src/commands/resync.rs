//! `wal2es resync`: a new generation beside the old one, then the aliases move over.
//!
//! As long as the slot has everything since the state was saved, the new indices are built beside it and become part of the
//! state when they are as far ([`crate::run::build`]); a connector that runs goes on meanwhile and shows them. After a gap
//! nothing can follow the old indices: then this command takes the connector's place, builds everything, and shows it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use apply::{Room, State, Step};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::{Installation, answer};
use crate::args::Args;
use crate::config::Config;
use crate::failure::Failure;
use crate::monitor::Monitor;
use crate::run::{self, End, Options, Scope};
use crate::source::Source;

/// Between two looks at the state document.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After this long without anybody reading the slot, nobody will show what was built.
const NOBODY_AFTER: Duration = Duration::from_secs(2);

pub(super) async fn perform(
    args: &Args,
    config: &Config,
    indexes: Vec<String>,
    timeout: Duration,
) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    super::run::stop_on_signals(&stop)?;
    let mut found = Installation::find(config).await?;
    let Some(state) = found.state.take() else {
        return Err(Failure::config(
            "nothing has run for this slot and target yet",
            "`wal2es run` builds the first generation",
        ));
    };
    check_room(&found, &state, &indexes).await?;
    if !config.by_log() {
        if !indexes.is_empty() {
            return Err(Failure::config(
                format!("with source.capture: {} every index is built anew", config.source.capture),
                "run `wal2es resync` without names",
            ));
        }
        return in_place(args, config, stop).await;
    }
    let (rebuild, why) = needs_all(&mut found, config, &state, &stop).await?;
    if rebuild {
        if !indexes.is_empty() {
            return Err(Failure::config(
                format!("{why}, so every index needs a new generation"),
                "run `wal2es resync` without names",
            ));
        }
        info!("{why}: building everything anew, in place of the connector");
        return in_place(args, config, stop).await;
    }
    let scope = if indexes.is_empty() { Scope::All } else { Scope::Named(indexes) };
    let Some(built) = run::build(config, &scope, &stop, None).await? else { return Err(stopped()) };
    info!(
        indexes = built.aliases.join(", "),
        "built; the aliases move over when the connector has read it"
    );
    wait_until_shown(args, config, found, &built.aliases, stop, timeout).await?;
    let value = json!({"resynced": built.aliases});
    answer(args.json, &value, || format!("resynced {}", built.aliases.join(", ")));
    Ok(ExitCode::SUCCESS)
}

fn stopped() -> Failure {
    Failure::retry("stopped before the new generation was built", "start it again")
}

fn not_moved() -> Failure {
    Failure::retry(
        "stopped before the aliases had moved over",
        "the connector moves them over when it runs",
    )
}

/// Whether the stream has a gap, so that nothing can follow the indices that are there; and why.
async fn needs_all(
    found: &mut Installation,
    config: &Config,
    state: &State,
    stop: &CancellationToken,
) -> Result<(bool, String), Failure> {
    if state.step == Step::Copying {
        return Ok((true, "the copy before was interrupted".to_owned()));
    }
    let source = Source::connect(config).await?;
    let monitor = Arc::new(Monitor::new(config, stop.clone()));
    let (context, source) = run::survey(config.clone(), source, stop.clone(), monitor).await?;
    match run::fits(&context, &source, &mut found.store).await {
        Ok(()) => Ok((false, String::new())),
        Err(failure) if failure.is_cured_by_rebuild() => Ok((true, failure.cause().to_owned())),
        Err(failure) => Err(failure),
    }
}

async fn in_place(
    args: &Args,
    config: &Config,
    stop: CancellationToken,
) -> Result<ExitCode, Failure> {
    let options = Options { until_caught_up: true, rebuild: true };
    match take_its_place(args, config, options, stop).await? {
        End::CaughtUp(visible) => {
            answer(args.json, &json!({"visible_lsn": visible.to_string()}), || {
                format!("resynced everything: searchable up to {visible}; now start `wal2es run`")
            });
            Ok(ExitCode::SUCCESS)
        }
        End::Stopped => Err(stopped()),
    }
}

/// The connector shows what was built as soon as it has read the state again. If none runs, this command does it.
async fn wait_until_shown(
    args: &Args,
    config: &Config,
    mut found: Installation,
    aliases: &[String],
    stop: CancellationToken,
    timeout: Duration,
) -> Result<(), Failure> {
    let began = Instant::now();
    let mut nobody_since: Option<Instant> = None;
    let mut nudged = Instant::now();
    loop {
        let Some(state) = found.store.load().await? else {
            return Err(Failure::retry(
                "the state document has gone",
                "was `wal2es teardown` run?",
            ));
        };
        let hidden =
            |index: &apply::IndexState| aliases.contains(&index.alias) && index.is_hidden();
        if !state.indexes.iter().any(hidden) {
            return Ok(());
        }
        let slot = found.source.slot(&state.slot).await?;
        let read = slot.is_some_and(|slot| slot.active_pid.is_some());
        nobody_since = if read { None } else { nobody_since.or(Some(Instant::now())) };
        if nobody_since.is_some_and(|since| since.elapsed() > NOBODY_AFTER) {
            info!("no connector runs: moving the aliases over");
            let options = Options { until_caught_up: true, rebuild: false };
            match take_its_place(args, config, options, stop.clone()).await {
                Ok(End::CaughtUp(_)) => return Ok(()),
                Ok(End::Stopped) => return Err(not_moved()),
                // A connector has come back.
                Err(failure) if failure.is_transient() => {
                    warn!(%failure, "the aliases could not be moved over; waiting for the connector");
                    nobody_since = None;
                }
                Err(failure) => return Err(failure),
            }
        }
        if nudged.elapsed() > Duration::from_secs(1) {
            // A connector that has nothing to save does not look at the state.
            nudged = Instant::now();
            crate::position::nudge(&found.source.client).await?;
        }
        if began.elapsed() > timeout {
            return Err(Failure::retry(
                "the new indices are built, but the connector has not shown them yet",
                "it will when it has caught up: see `wal2es status`",
            ));
        }
        tokio::select! {
            () = stop.cancelled() => return Err(not_moved()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Runs as the connector would.
async fn take_its_place(
    args: &Args,
    config: &Config,
    options: Options,
    stop: CancellationToken,
) -> Result<End, Failure> {
    let monitor = Arc::new(Monitor::new(config, stop.clone()));
    let ended = run::run(args, options, stop, monitor.clone()).await;
    monitor.close();
    ended
}

/// Both generations are there until the aliases have moved over.
async fn check_room(
    found: &Installation,
    state: &State,
    indexes: &[String],
) -> Result<(), Failure> {
    let wanted = |alias: &String| indexes.is_empty() || indexes.contains(alias);
    let names: Vec<&str> = state
        .indexes
        .iter()
        .filter(|index| wanted(&index.alias))
        .map(|index| index.index.as_str())
        .collect();
    let sizes = found.target.sizes(&names).await?;
    let needed: u64 = sizes.values().sum();
    let room = match found.target.room().await {
        Ok(room) => room,
        Err(error) => {
            warn!(%error, "the free disk of the target is not known; going on without that check");
            return Ok(());
        }
    };
    let Room { free, usable, watermark } = &room;
    info!(
        needed = %bytesize::ByteSize(needed), free = %bytesize::ByteSize(*free),
        usable = %bytesize::ByteSize(*usable), %watermark, "disk of the target"
    );
    if *usable < needed || *usable == 0 {
        return Err(Failure::stop(
            format!(
                "the target has not got the disk for a second generation: about {} are needed, and {} can be written \
                 before its low watermark ({watermark}) is reached",
                bytesize::ByteSize(needed),
                bytesize::ByteSize(*usable)
            ),
            "make room (`keep_generation: 0s` drops kept generations), add a node, or name fewer indices",
        ));
    }
    Ok(())
}
