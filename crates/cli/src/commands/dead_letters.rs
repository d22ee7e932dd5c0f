//! `wal2es dead-letters`: the rows that have no document.
//!
//! A letter goes by itself when its row changes to something that the target takes. `retry` is for when the target has
//! changed: it sends the very document, at its very version, so whatever came later stays.

use std::process::ExitCode;

use apply::letters::{self, Stored};
use serde_json::{Value, json};

use super::{Installation, answer};
use crate::args::DeadLetters;
use crate::config::Config;
use crate::failure::Failure;
use crate::reread::have_state_reread;

/// So many are shown to people.
const MOST: usize = 200;

pub(super) async fn perform(
    config: &Config,
    what: DeadLetters,
    json: bool,
) -> Result<ExitCode, Failure> {
    let mut found = Installation::find(config).await?;
    match what {
        DeadLetters::List { indexes } => {
            let stored = of(&found, &indexes).await?;
            list(&stored, json);
        }
        DeadLetters::Retry { index, ids } => {
            let stored = chosen(&found, index, &ids).await?;
            // A document would make an index anew that is gone.
            let states = found.state.as_ref().map_or(&[][..], |state| &state.indexes);
            apply::check(&found.target, states).await?;
            let gone = letters::retry(&found.target, &stored).await?;
            let cleared = gone.iter().filter(|gone| **gone).count();
            if cleared > 0 {
                have_state_reread(&mut found.store, &found.source).await?;
            }
            let left = stored.len() - cleared;
            let value = json!({"cleared": cleared, "left": left});
            answer(json, &value, || told_of_retry(cleared, left));
            return Ok(if left == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        DeadLetters::Discard { index: None, all: false, .. } => {
            return Err(Failure::config("which dead letters?", "name an index, or say --all"));
        }
        DeadLetters::Discard { index, ids, .. } => {
            let stored = chosen(&found, index, &ids).await?;
            letters::discard(&found.target, &stored).await?;
            answer(json, &json!({"discarded": stored.len()}), || {
                format!("discarded {}: their rows have no document until they change", stored.len())
            });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Those of the indices that are written now, by alias.
async fn of(found: &Installation, aliases: &[String]) -> Result<Vec<Stored>, Failure> {
    let indexes = found.state.as_ref().map(|state| state.indexes.as_slice()).unwrap_or_default();
    let known: Vec<&str> = indexes.iter().map(|index| index.alias.as_str()).collect();
    if let Some(unknown) = aliases.iter().find(|alias| !known.contains(&alias.as_str())) {
        return Err(Failure::config(
            format!("there is no index {unknown}"),
            format!("name one of: {}", known.join(", ")),
        ));
    }
    let wanted = indexes.iter().filter(|one| aliases.is_empty() || aliases.contains(&one.alias));
    let names: Vec<&str> = wanted.map(|index| index.index.as_str()).collect();
    Ok(letters::list(&found.target, &names).await?)
}

/// Those of one index, or of all; of it, those with these ids.
async fn chosen(
    found: &Installation,
    index: Option<String>,
    ids: &[String],
) -> Result<Vec<Stored>, Failure> {
    let mut stored = of(found, index.as_slice()).await?;
    if let Some(unknown) = ids.iter().find(|id| !stored.iter().any(|one| one.letter.id == **id)) {
        return Err(Failure::config(
            format!("there is no dead letter of document {unknown}"),
            "see `wal2es dead-letters list`",
        ));
    }
    stored.retain(|one| ids.is_empty() || ids.contains(&one.letter.id));
    Ok(stored)
}

fn told_of_retry(cleared: usize, left: usize) -> String {
    match left {
        0 => format!("the target took all {cleared}"),
        _ => format!(
            "the target took {cleared}; {left} are left. One without a document is sent again when its row is written \
             again (UPDATE … SET column = column)"
        ),
    }
}

fn list(stored: &[Stored], json: bool) {
    let value: Vec<Value> = stored.iter().map(|stored| json!(stored.letter)).collect();
    answer(json, &json!({"dead_letters": value}), || {
        let mut lines: Vec<String> = stored.iter().take(MOST).map(line).collect();
        match stored.len() {
            0 => lines.push("no dead letters: every row has its document".to_owned()),
            count if count > MOST => lines.push(format!("… and {} more", count - MOST)),
            _ => {}
        }
        lines.join("\n")
    });
}

fn line(stored: &Stored) -> String {
    let letter = &stored.letter;
    format!(
        "{}  {}  document {:?} of {}, commit at {}: {}",
        letter.at, letter.table, letter.id, letter.alias, letter.lsn, letter.reason
    )
}
