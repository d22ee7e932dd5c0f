//! `wal2es rollback`: the alias back to the generation before, while it is kept.
//!
//! The state says first that the alias is held there; then the alias is turned. The newest generation goes on following the
//! stream behind it, until `--undo` or the next resync moves the alias forward again.

use std::process::ExitCode;

use apply::{IndexState, State};
use change::Lsn;
use serde_json::json;

use super::{Installation, answer};
use crate::config::Config;
use crate::failure::Failure;

/// How often the state is changed again when the connector was faster.
const ATTEMPTS: u32 = 20;

pub(super) async fn perform(
    config: &Config,
    alias: &str,
    undo: bool,
    json: bool,
) -> Result<ExitCode, Failure> {
    let mut found = Installation::find(config).await?;
    for _ in 0..ATTEMPTS {
        let mut state = found.state.take().ok_or_else(|| {
            Failure::config(
                "nothing has run for this slot and target yet",
                "start `wal2es run` first",
            )
        })?;
        let index = of(&mut state, alias)?;
        let (from, to) = if undo { forward(index)? } else { back(index)? };
        let as_of = index.shown_lsn;
        if found.target.index(&to).await?.is_none() {
            return Err(Failure::config(
                format!("the index {to} is not there any more"),
                "build a new generation with `wal2es resync`",
            ));
        }
        if found.store.change(&state).await? {
            let actions = vec![
                json!({"add": {"index": to, "alias": alias}}),
                json!({"remove": {"index": from, "alias": alias, "must_exist": false}}),
            ];
            found.target.update_aliases(actions).await?;
            // A connector that has nothing to save does not look at the state.
            crate::position::nudge(&found.source.client).await?;
            report(json, undo, alias, &to, as_of);
            return Ok(ExitCode::SUCCESS);
        }
        found.state = found.store.load().await?;
    }
    Err(Failure::retry("the connector keeps changing the state", "try again"))
}

fn of<'s>(state: &'s mut State, alias: &str) -> Result<&'s mut IndexState, Failure> {
    let known: Vec<String> = state.indexes.iter().map(|index| index.alias.clone()).collect();
    state.indexes.iter_mut().find(|index| index.alias == alias).ok_or_else(|| {
        Failure::config(
            format!("there is no index {alias}"),
            format!("name one of: {}", known.join(", ")),
        )
    })
}

/// From where to where the alias turns back. Doing it again turns the alias again, should that have been missed.
fn back(index: &mut IndexState) -> Result<(String, String), Failure> {
    if let (true, Some(shown)) = (index.held, &index.shown) {
        return Ok((index.index.clone(), shown.clone()));
    }
    let alias = &index.alias;
    if index.is_hidden() {
        return Err(Failure::retry(
            format!("the newest index of {alias} is not shown yet"),
            "wait until `wal2es run` has shown it",
        ));
    }
    let before = index.kept.pop().ok_or_else(|| {
        Failure::config(
            format!("no generation of {alias} before this one is kept"),
            "pipeline.keep_generation says how long one is kept after a resync",
        )
    })?;
    index.held = true;
    index.shown = Some(before.index.clone());
    index.shown_lsn = before.applied_lsn;
    Ok((index.index.clone(), before.index))
}

fn forward(index: &mut IndexState) -> Result<(String, String), Failure> {
    match (index.held, &index.shown) {
        (true, Some(shown)) => {
            let from = shown.clone();
            index.held = false;
            Ok((from, index.index.clone()))
        }
        _ => Err(Failure::config(
            format!("{} is not turned back", index.alias),
            "nothing has to be undone",
        )),
    }
}

fn report(json: bool, undo: bool, alias: &str, to: &str, as_of: Lsn) {
    let value = json!({
        "alias": alias, "index": to, "follows_stream": undo,
        "as_of": (!undo).then(|| as_of.to_string()),
    });
    answer(json, &value, || match undo {
        true => format!("{alias} shows {to} again, which follows the stream"),
        false => format!(
            "{alias} shows {to}, the table as of {as_of}: it does not follow the stream. Changes since then are only in the \
             newest generation, which is kept up to date behind it; `wal2es rollback --undo {alias}` shows that again"
        ),
    });
}

#[cfg(test)]
mod tests {
    use apply::KeptIndex;

    use super::*;

    fn index() -> IndexState {
        let text = r#"{"alias": "p", "table": "public.p", "index": "p-g2", "uuid": "", "histories": [], "shown": "p-g2",
                       "retired": [], "truncations": 0, "plan_hash": ""}"#;
        let mut index: IndexState = serde_json::from_str(text).unwrap();
        index.kept.push(KeptIndex {
            index: "p-g1".into(),
            until: u64::MAX,
            applied_lsn: Lsn::new(8),
        });
        index
    }

    #[test]
    fn back_again_and_forward() {
        let mut index = index();
        assert_eq!(back(&mut index).unwrap(), ("p-g2".to_owned(), "p-g1".to_owned()));
        assert!(index.held && !index.is_hidden());
        assert_eq!(back(&mut index).unwrap(), ("p-g2".to_owned(), "p-g1".to_owned()));
        assert_eq!(forward(&mut index).unwrap(), ("p-g1".to_owned(), "p-g2".to_owned()));
        assert!(index.is_hidden(), "the connector moves readers over");
        assert!(forward(&mut index).is_err());
    }

    #[test]
    fn only_what_is_kept_can_be_turned_back_to() {
        let mut bare = index();
        bare.kept.clear();
        assert!(back(&mut bare).is_err());
        let mut hidden = index();
        hidden.index = "p-g3".into();
        assert!(back(&mut hidden).is_err());
    }
}
