//! `wal2es verify`: whether the indices are what the tables are.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use apply::{Repaired, Store};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use verify::Kind;

use super::answer;
use crate::config::Config;
use crate::failure::Failure;
use crate::monitor::Monitor;
use crate::run;
use crate::source::Source;
use crate::verify::{Compared, CopyDifference, Difference, How, Verifier};

/// Ids of a kind that are shown to people; machines are given all.
const SHOWN: usize = 20;

pub(super) async fn perform(
    config: &Config,
    indexes: &[String],
    how: How,
    timeout: Duration,
    json: bool,
) -> Result<ExitCode, Failure> {
    let stop = CancellationToken::new();
    let source = Source::connect(config).await?;
    let monitor = Arc::new(Monitor::new(config, stop.clone()));
    let (context, source) = run::survey(config.clone(), source, stop, monitor).await?;
    let chosen = choose(&context, indexes)?;
    let mut store = Store::new(
        context.target.clone(),
        &context.system.system_id,
        &source.info.dbname,
        &config.source.slot,
    );
    if context.events.is_some() {
        let state = store.load().await?;
        let incomplete = state.is_some_and(|state| run::is_incomplete(&state.read_to));
        must_be_comparable(incomplete, how)?;
    }
    let mut verifier = Verifier { context: &context, source: &source, store, timeout, young: None };
    let mut all = Vec::new();
    for at in chosen {
        let compared = verifier.compare(at, how).await?;
        tracing::info!(
            table = %compared.table, rows = compared.rows, documents = compared.documents, at = %compared.at,
            differences = compared.differences.len(), "compared"
        );
        all.push(compared);
    }
    let equal = all.iter().all(Compared::is_equal);
    let value = json!({
        "equal": equal, "indexes": all.iter().map(as_json).collect::<Vec<_>>(),
    });
    answer(json, &value, || all.iter().map(as_text).collect::<Vec<_>>().join("\n"));
    if equal {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::retry("index and table differ", remedy(&all, how.repair)))
}

/// What events make can be told from all of them only, and only in their order.
fn must_be_comparable(incomplete: bool, how: How) -> Result<(), Failure> {
    if incomplete {
        return Err(Failure::config(
            "what only deleted events say can't be compared (events.retention: delete)",
            "keep the events for as long as their documents are to be compared",
        ));
    }
    match how.repair {
        false => Ok(()),
        true => Err(Failure::config(
            "with source.capture: events single documents are not repaired: each has the version of its event",
            "build the indices anew: `wal2es resync`",
        )),
    }
}

/// The places of the planned tables that are to be compared.
fn choose(context: &run::Context, indexes: &[String]) -> Result<Vec<usize>, Failure> {
    if indexes.is_empty() {
        return Ok((0..context.planned.len()).collect());
    }
    let place = |alias: &String| {
        context.planned.iter().position(|one| one.index.alias == *alias).ok_or_else(|| {
            let known: Vec<&str> =
                context.planned.iter().map(|one| one.index.alias.as_str()).collect();
            Failure::config(
                format!("there is no index {alias} in the configuration"),
                format!("name one of: {}", known.join(", ")),
            )
        })
    };
    indexes.iter().map(place).collect()
}

fn remedy(all: &[Compared], repaired: bool) -> String {
    if all.iter().all(|compared| !compared.more && compared.remaining().next().is_none()) {
        return "have the copies that differ built anew: set index.number_of_replicas to 0 and back".to_owned();
    }
    let differing = all.iter().filter(|compared| !compared.is_equal());
    let names: Vec<&str> = differing.map(|compared| compared.alias.as_str()).collect();
    let names = names.join(" ");
    if !repaired {
        return "`wal2es verify --repair` writes these documents anew; find out who else writes to the index".to_owned();
    }
    match all.iter().any(|compared| compared.more) {
        true => format!(
            "`wal2es verify --repair` again for the rest, or build anew: `wal2es resync {names}`"
        ),
        false => format!("build anew what could not be repaired: `wal2es resync {names}`"),
    }
}

fn name_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Missing => "missing",
        Kind::Extra => "extra",
        Kind::Different => "different",
        Kind::Foreign => "foreign version",
    }
}

/// Why it could not be repaired.
fn why_not(repaired: &Repaired) -> Option<String> {
    match repaired {
        Repaired::Done => None,
        Repaired::Newer(version) => {
            Some(format!("its version, {version}, is above that of the repair"))
        }
        Repaired::Refused(why) => Some(why.clone()),
    }
}

fn as_json(compared: &Compared) -> Value {
    let difference = |found: &Difference| {
        json!({
            "id": found.id, "kind": name_of(found.kind),
            "version": found.version.map(|version| version.to_string()),
            "repaired": found.repaired.as_ref().map(|repaired| *repaired == Repaired::Done),
            "reason": found.repaired.as_ref().and_then(why_not),
        })
    };
    let copies = compared.copies.as_ref().map(|copies| {
        let difference = |found: &CopyDifference| {
            json!({"id": found.id, "shard": found.shard, "nodes": found.nodes})
        };
        let differences: Vec<Value> = copies.differences.iter().map(difference).collect();
        json!({"compared": copies.compared, "differences": differences})
    });
    json!({
        "index": compared.alias, "name": compared.index, "shown": compared.shown, "table": compared.table,
        "equal": compared.is_equal(), "lsn": compared.at.to_string(),
        "rows": compared.rows, "documents": compared.documents,
        "differences": compared.differences.iter().map(difference).collect::<Vec<_>>(),
        "dead_letters": compared.refused, "more_differences": compared.more, "still_changing": compared.moving, "copies": copies,
    })
}

fn as_text(compared: &Compared) -> String {
    let mut text = format!(
        "{}: {} rows of {} and {} documents of {} compared as of {}",
        compared.alias,
        compared.rows,
        compared.table,
        compared.documents,
        compared.index,
        compared.at
    );
    text.push_str(if compared.differences.is_empty() { ": equal" } else { ": they differ" });
    for kind in [Kind::Missing, Kind::Extra, Kind::Different, Kind::Foreign] {
        let of: Vec<&str> = compared
            .differences
            .iter()
            .filter(|found| found.kind == kind)
            .map(|found| found.id.as_str())
            .collect();
        if of.is_empty() {
            continue;
        }
        let dots = if of.len() > SHOWN { ", …" } else { "" };
        let first = of.iter().take(SHOWN).copied().collect::<Vec<_>>().join(", ");
        text.push_str(&format!("\n  {} {}: {first}{dots}", of.len(), name_of(kind)));
    }
    let repaired = compared.differences.len() - compared.remaining().count();
    if repaired > 0 {
        text.push_str(&format!("\n  {repaired} repaired"));
    }
    for found in compared.remaining().take(SHOWN) {
        if let Some(why) = found.repaired.as_ref().and_then(why_not) {
            text.push_str(&format!("\n  {} could not be repaired: {why}", found.id));
        }
    }
    if !compared.refused.is_empty() {
        text.push_str(&format!(
            "\n  {} rows have no document, as their dead letters say",
            compared.refused.len()
        ));
    }
    if compared.more {
        text.push_str("\n  and more, which were not looked for");
    }
    if let Some(shown) = &compared.shown {
        text.push_str(&format!("\n  readers of {} see another index, {shown}", compared.alias));
    }
    if compared.moving > 0 {
        text.push_str(&format!(
            "\n  {} keys were changed each time that they were looked at",
            compared.moving
        ));
    }
    if let Some(copies) = &compared.copies {
        let (all, differing) = (copies.compared, copies.differences.len());
        text.push_str(&format!(
            "\n  {all} copies of its shards compared, {differing} documents differ"
        ));
        for found in copies.differences.iter().take(SHOWN) {
            let (id, [primary, other]) = (&found.id, &found.nodes);
            text.push_str(&format!("\n  {id} differs between the nodes {primary} and {other}"));
        }
    }
    text
}
