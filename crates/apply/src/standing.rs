//! What an index has become while nobody looked.
//!
//! Asked before the first write of a process, and each minute: the index still says that it is this connector's, takes writes, and has
//! the settings and the mapping that it was made with; its alias leads where it led. An index is known by its uuid and the
//! history of its shards as well, see [`Indices::check`]; but neither changes when somebody sets
//! `translog.durability: async` or adds a pipeline, and then what was promised of the index holds no longer.

use serde_json::{Map, Value, json};

use crate::indices::{
    Indices, Managed, Owner, differences, own_settings, plain, same_index, source_of,
};
use crate::state::{IndexState, State};
use crate::target::Target;
use crate::{Error, FORMULA, tombstones};

/// Blocks that somebody set. The one that a full disk brings (`read_only_allow_delete`) passes by itself, and writes wait.
const BLOCKS: [&str; 3] = ["index.blocks.write", "index.blocks.read_only", "index.blocks.read"];

/// An index of some name, and whose it says that it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Its own name, which may not be the one that was asked for.
    pub index: String,
    /// See [`crate::connector_id`]; none for an index that wal2es did not make.
    pub connector: Option<String>,
}

/// The indices that fit `name`, which may be an alias or a pattern.
///
/// # Errors
/// The target does not answer.
pub async fn claims(target: &Target, name: &str) -> Result<Vec<Claim>, Error> {
    let found = target.index(name).await?.unwrap_or_default();
    let claim = |(index, body): (&String, &Value)| Claim {
        index: index.clone(),
        connector: source_of(body).map(str::to_owned),
    };
    Ok(found.as_object().into_iter().flatten().map(claim).collect())
}

impl Indices {
    /// Checks that each index is as it was made, for the connector of `state`, and that readers are led to it.
    ///
    /// # Errors
    /// Something of it was changed (stop), the index can't be written to (config), or the target does not answer.
    pub async fn check_standing(&self, target: &Target, state: &State) -> Result<(), Error> {
        let owner = Owner::of(state);
        for managed in self.with(|list| list.clone()) {
            let found = target.index(&managed.state.index).await?.unwrap_or_default();
            as_made(&managed, &owner, found.get(&managed.state.index))?;
            put_gc_deletes_back(target, &managed.state, found.get(&managed.state.index)).await?;
            leads_here(target, &managed.state, &owner).await?;
        }
        Ok(())
    }

    /// The same while the applier writes, which may change index and alias at any time.
    ///
    /// # Errors
    /// As [`Indices::check_standing`].
    pub(crate) async fn check_still_standing(
        &self,
        target: &Target,
        state: &State,
    ) -> Result<(), Error> {
        let owner = Owner::of(state);
        for managed in self.with(|list| list.clone()) {
            let looked = async {
                let found = target.index(&managed.state.index).await?.unwrap_or_default();
                as_made(&managed, &owner, found.get(&managed.state.index))?;
                leads_here(target, &managed.state, &owner).await
            };
            let looked = looked.await;
            let places = |state: &IndexState| {
                let IndexState { index, shown, retired, .. } = state;
                (index.clone(), shown.clone(), retired.clone())
            };
            let before = places(&managed.state);
            let is_as_before =
                self.with(|list| list.iter().any(|now| places(&now.state) == before));
            if is_as_before {
                looked?;
            }
        }
        Ok(())
    }
}

fn as_made(managed: &Managed, owner: &Owner, found: Option<&Value>) -> Result<(), Error> {
    let nothing = Map::new();
    let settings = found.and_then(|found| found.get("settings")?.as_object()).unwrap_or(&nothing);
    same_index(&managed.state, found.and_then(|_| settings.get("index.uuid")?.as_str()))?;
    let mapping = found.and_then(|found| found.get("mappings")).unwrap_or(&Value::Null);
    says_whose(&managed.state, owner, mapping)?;
    takes_writes(&managed.state, settings)?;
    has_its_settings(&managed.state, settings)?;
    has_its_mapping(managed, mapping)
}

/// `_meta.wal2es` is what was written there.
fn says_whose(state: &IndexState, owner: &Owner, mapping: &Value) -> Result<(), Error> {
    let index = &state.index;
    let meta = mapping.pointer("/_meta/wal2es").unwrap_or(&Value::Null);
    let formula = meta.get("formula").and_then(Value::as_u64);
    if formula.is_some_and(|formula| formula != u64::from(FORMULA)) {
        return Err(Error::rebuild(
            format!(
                "the index {index} is of another version of wal2es (formula {})",
                plain(&meta["formula"])
            ),
            "go on with that version, or build the indices anew: `wal2es resync`",
        ));
    }
    let source = meta.get("source").and_then(Value::as_str);
    let generation = meta.get("generation").and_then(Value::as_u64);
    if source == Some(owner.source.as_str())
        && formula.is_some()
        && generation == state.generation_of(&state.index).map(u64::from)
        && generation.is_some()
    {
        return Ok(());
    }
    let says = match (source, generation) {
        (Some(source), Some(generation)) => {
            format!("says that it is generation {generation} of the connector {source}")
        }
        (Some(source), None) => format!("says that it is of the connector {source}"),
        (None, _) => "does not say any more whose it is".to_owned(),
    };
    Err(Error::stop(
        format!(
            "the index {index} {says}; it should be of {} (`_meta.wal2es` of its mapping)",
            owner.source
        ),
        format!("does another connector use it? Then choose another `name`; else {}", anew(state)),
    ))
}

fn takes_writes(state: &IndexState, settings: &Map<String, Value>) -> Result<(), Error> {
    let index = &state.index;
    let is_set = |key: &str| settings.get(key).is_some_and(|value| plain(value) == "true");
    if is_set("index.verified_before_close") {
        return Err(Error::config(
            format!("the index {index} is closed"),
            format!("POST /{index}/_open"),
        ));
    }
    match BLOCKS.iter().find(|block| is_set(block)) {
        None => Ok(()),
        Some(block) => Err(Error::config(
            format!("the index {index} is blocked: {block} is true"),
            format!("PUT /{index}/_settings {}", json!({*block: null})),
        )),
    }
}

fn has_its_settings(state: &IndexState, settings: &Map<String, Value>) -> Result<(), Error> {
    let index = &state.index;
    for (key, want) in own_settings() {
        let got = settings.get(key).map_or_else(|| "not set".to_owned(), plain);
        if got != want && !is_lowered(key, &got) {
            return Err(Error::stop(
                format!(
                    "{key} of the index {index} is {got}, it has to be {want}: somebody has changed it"
                ),
                format!(
                    "if nothing was written since, PUT /{index}/_settings {}; else {}",
                    json!({key: want}),
                    anew(state)
                ),
            ));
        }
    }
    Ok(())
}

/// An earlier process has lowered it and did not live to put it back.
fn is_lowered(key: &str, got: &str) -> bool {
    key == "index.gc_deletes" && got == tombstones::LOWERED
}

async fn put_gc_deletes_back(
    target: &Target,
    state: &IndexState,
    found: Option<&Value>,
) -> Result<(), Error> {
    const KEY: &str = "index.gc_deletes";
    let got = found.and_then(|found| found.get("settings")?.get(KEY)).map(plain);
    if got.is_some_and(|got| is_lowered(KEY, &got)) {
        target.put_settings(&state.index, &json!({ KEY: tombstones::USUAL })).await?;
    }
    Ok(())
}

fn has_its_mapping(managed: &Managed, mapping: &Value) -> Result<(), Error> {
    let mut got = mapping.clone();
    if let Some(got) = got.as_object_mut() {
        got.remove("_meta");
    }
    let mut wrong = Vec::new();
    differences("", &managed.plan.mapping, &got, &mut wrong);
    if wrong.is_empty() {
        return Ok(());
    }
    let index = &managed.state.index;
    Err(Error::stop(
        format!(
            "the mapping of the index {index} is not the one that it was made with: {}",
            wrong.join("; ")
        ),
        anew(&managed.state),
    ))
}

/// Searches by the alias find the index that is shown, or the one that is about to be.
async fn leads_here(target: &Target, state: &IndexState, owner: &Owner) -> Result<(), Error> {
    if state.held {
        return Ok(());
    }
    let alias = &state.alias;
    let behind = target.alias(alias).await?;
    // The alias may have been moved after the state said so, just before another index took that one's place.
    let moved_on = |index: &String| state.is_hidden() && state.retired.contains(index);
    let ours = |index: &String| {
        *index == state.index || state.shown.as_ref() == Some(index) || moved_on(index)
    };
    let Some(other) = behind.iter().find(|index| !ours(index)) else {
        return match (&state.shown, behind.as_slice()) {
            (None, _) | (Some(_), [_]) => Ok(()),
            (Some(shown), []) => Err(Error::stop(
                format!("the alias {alias} is gone: readers don't find the index {shown} any more"),
                format!("{}; or {}", turn(alias, &state.index), anew(state)),
            )),
            (Some(_), _) => Err(Error::stop(
                format!("the alias {alias} leads to several indices: {}", behind.join(", ")),
                format!("remove it from all but {}", state.index),
            )),
        };
    };
    // Nothing of this generation was shown yet; an earlier one may be.
    let earlier = state.shown.is_none()
        && claims(target, other)
            .await?
            .iter()
            .all(|c| c.connector.as_deref() == Some(&*owner.source));
    if earlier {
        return Ok(());
    }
    Err(Error::stop(
        format!("the alias {alias} was turned to the index {other}, away from {}", state.index),
        format!("{}; or choose another `name`", turn(alias, &state.index)),
    ))
}

fn turn(alias: &str, index: &str) -> String {
    let actions = json!({"actions": [
        {"remove": {"index": "*", "alias": alias, "must_exist": false}},
        {"add": {"index": index, "alias": alias}},
    ]});
    format!("turn it back: POST /_aliases {actions}")
}

fn anew(state: &IndexState) -> String {
    format!("build the index anew: `wal2es resync {}`", state.alias)
}
