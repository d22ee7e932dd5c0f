//! The managed indices: made by us, known by uuid and history, checked before they are trusted.
//!
//! An index is found again by its name but trusted by its uuid and the `history_uuid` of its primaries: a delete with an
//! external version on an index that is gone makes it anew, with mappings of the server's own, and a restore brings an
//! older state back under the same uuid.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use change::Lsn;
use serde_json::{Map, Value, json};

use crate::bulk::{Guard, Op, Sealed};
use crate::letters::Letters;
use crate::state::{ColumnState, IndexState, State};
use crate::suspects::{Suspects, Written};
use crate::target::{IndexFacts, Target};
use crate::{Error, FORMULA};

/// What an index has to be.
#[derive(Clone, Debug)]
pub struct IndexPlan {
    /// The alias that readers use.
    pub alias: String,
    /// The table, for messages.
    pub table: String,
    /// `dynamic` and `properties`.
    pub mapping: Value,
    /// Settings of the user's own, below `index.`; the ones that wal2es rests on can't be among them.
    pub settings: Map<String, Value>,
    /// Changes with whatever the documents depend on.
    pub hash: String,
    /// The columns that documents are made of.
    pub columns: Vec<ColumnState>,
    /// `pg_class.oid` of the table.
    pub table_oid: u32,
    /// See [`IndexState::membership`].
    pub membership: String,
    /// The OIDs of its partitions.
    pub parts: Vec<u32>,
}

/// Whose an index is, kept in its mapping's `_meta`.
#[derive(Clone, Debug)]
pub(crate) struct Owner {
    /// Id of the state document.
    pub source: String,
    /// The generation.
    pub generation: u32,
}

/// One index in use.
#[derive(Clone, Debug)]
pub struct Managed {
    /// What it has to be.
    pub plan: IndexPlan,
    /// What is kept of it.
    pub state: IndexState,
    /// Changes with the concrete index, see [`crate::Write::index`].
    pub number: u32,
    /// Written since searches last saw it.
    pub(crate) dirty: bool,
}

/// All of them, shared between the applier and the checks that run beside it.
#[derive(Clone, Default)]
pub struct Indices {
    list: Arc<Mutex<Vec<Managed>>>,
    suspects: Arc<Mutex<Suspects>>,
}

impl Managed {
    /// An index that is there already.
    pub fn new(plan: IndexPlan, state: IndexState, number: u32) -> Self {
        Managed { plan, state, number, dirty: false }
    }

    /// Makes the index that `entry` names for the generation of `state`, replacing what an interrupted attempt has left.
    ///
    /// # Errors
    /// See [`create`].
    pub async fn create(
        target: &Target,
        state: &State,
        plan: IndexPlan,
        entry: IndexState,
        number: u32,
    ) -> Result<Self, Error> {
        let facts = create(target, &entry.index, &plan, &Owner::of(state)).await?;
        let state = IndexState { uuid: facts.uuid, histories: facts.histories, ..entry };
        Ok(Managed { plan, state, number, dirty: true })
    }
}

impl IndexPlan {
    /// The first index of `generation`, before it is made. `before` is what readers of the alias see so far.
    pub fn entry(&self, generation: u32, before: Option<&IndexState>) -> IndexState {
        IndexState {
            alias: self.alias.clone(),
            table: self.table.clone(),
            index: format!("{}-g{generation}", self.alias),
            uuid: String::new(),
            histories: Vec::new(),
            shown: before.and_then(|before| before.shown.clone()),
            shown_lsn: before.map_or(Lsn::ZERO, |before| before.shown_lsn),
            retired: before.map(|before| before.retired.clone()).unwrap_or_default(),
            making: None,
            truncations: 0,
            plan_hash: self.hash.clone(),
            columns: self.columns.clone(),
            table_oid: self.table_oid,
            membership: self.membership.clone(),
            parts: self.parts.clone(),
            since: Lsn::ZERO,
            held: false,
            kept: before.map(|before| before.kept.clone()).unwrap_or_default(),
        }
    }
}

impl Owner {
    /// The connector of that state.
    pub(crate) fn of(state: &State) -> Self {
        let source = connector_id(&state.system_id, &state.database, &state.slot);
        Owner { source, generation: state.generation }
    }
}

/// Who a connector is: the name of its state document, and what its indices say of themselves.
pub fn connector_id(system_id: &str, database: &str, slot: &str) -> String {
    format!("{system_id}.{database}.{slot}")
}

/// Settings that the promise rests on.
pub(crate) fn own_settings() -> [(&'static str, &'static str); 5] {
    [
        ("index.refresh_interval", "-1"),
        ("index.translog.durability", "request"),
        ("index.gc_deletes", crate::tombstones::USUAL),
        ("index.default_pipeline", "_none"),
        ("index.final_pipeline", "_none"),
    ]
}

impl Indices {
    /// Those that a state document or a first load names.
    pub fn new(list: Vec<Managed>) -> Self {
        Indices { list: Arc::new(Mutex::new(list)), suspects: Arc::default() }
    }

    /// Looks at or changes what is suspect of them. Never held over an await.
    pub(crate) fn suspects<T>(&self, look: impl FnOnce(&mut Suspects) -> T) -> T {
        look(&mut self.suspects.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks at or changes the list. Never held over an await.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Vec<Managed>) -> T) -> T {
        look(&mut self.list.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// For the state document.
    pub fn states(&self) -> Vec<IndexState> {
        self.with(|list| list.iter().map(|managed| managed.state.clone()).collect())
    }

    /// Checks that each index is the one that it was.
    ///
    /// # Errors
    /// One of them is gone, was made anew or restored (stop), or can't be looked at (transient).
    pub async fn check(&self, target: &Target) -> Result<(), Error> {
        let states = self.states();
        if states.is_empty() {
            return Ok(());
        }
        let names: Vec<&str> = states.iter().map(|state| state.index.as_str()).collect();
        let facts = target.facts(&names).await?;
        // A table may have been truncated meanwhile: what is not written any more tells nothing.
        let now = self.states();
        let still = |state: &&IndexState| now.iter().any(|now| now.uuid == state.uuid);
        states.iter().filter(still).try_for_each(|state| compare(state, facts.get(&state.index)))
    }
}

/// Checks that each index is the one that it was when its state was written.
///
/// # Errors
/// As [`Indices::check`].
pub async fn check(target: &Target, states: &[IndexState]) -> Result<(), Error> {
    if states.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = states.iter().map(|state| state.index.as_str()).collect();
    let facts = target.facts(&names).await?;
    states.iter().try_for_each(|state| compare(state, facts.get(&state.index)))
}

/// Whether the indices that `states` names are still those: asked after writing and before confirming, because a write to
/// an index that is gone makes it anew.
///
/// # Errors
/// As [`Indices::check`].
pub(crate) async fn still_there(target: &Target, states: &[IndexState]) -> Result<(), Error> {
    if states.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = states.iter().map(|state| state.index.as_str()).collect();
    let uuids = target.uuids(&names).await?;
    states
        .iter()
        .try_for_each(|state| same_index(state, uuids.get(&state.index).map(String::as_str)))
}

/// The check that deliveries make after a failure.
#[derive(Clone)]
pub(crate) struct IndexGuard {
    pub(crate) target: Arc<Target>,
    pub(crate) indices: Indices,
    pub(crate) letters: Letters,
}

impl Guard for IndexGuard {
    async fn check(&self) -> Result<(), Error> {
        self.indices.check(&self.target).await
    }

    fn table_of(&self, index: &str) -> Option<String> {
        self.indices.with(|list| {
            let one = list.iter().find(|managed| managed.state.index == index);
            one.map(|managed| managed.state.table.clone())
        })
    }

    fn letters(&self) -> &Letters {
        &self.letters
    }

    fn unknown(&self, ops: &[Op], body: &[u8]) {
        written(ops, body, |writes| {
            self.indices.suspects(|suspects| suspects.unknown(writes, Instant::now()));
        });
    }

    fn delivered(&self, sealed: &Sealed) {
        if !self.indices.suspects(|suspects| suspects.is_quiet()) {
            written(&sealed.ops, &sealed.body, |writes| {
                self.indices.suspects(|suspects| suspects.delivered(writes, Instant::now()));
            });
        }
    }
}

/// The operations as [`Suspects`] see them. Those of one index mostly follow each other.
fn written(ops: &[Op], body: &[u8], see: impl FnOnce(&mut dyn Iterator<Item = Written<'_>>)) {
    let mut names: Vec<(u32, std::borrow::Cow<'_, str>)> = Vec::new();
    for op in ops {
        if !names.iter().any(|(number, _)| *number == op.index) {
            names.push((op.index, op.index_name(body)));
        }
    }
    let name = |op: &Op| {
        let found = names.iter().find(|(number, _)| *number == op.index);
        found.map_or("", |(_, name)| name.as_ref())
    };
    see(&mut ops.iter().map(|op| Written {
        index: name(op),
        id: op.id(body),
        version: op.version,
        delete: op.is_delete(body),
    }));
}

const ANEW: &str = "if that was meant, build the indices anew: `wal2es resync`";

pub(crate) fn same_index(state: &IndexState, uuid: Option<&str>) -> Result<(), Error> {
    let index = &state.index;
    match uuid {
        None => {
            Err(Error::rebuild(format!("the index {index} has vanished from the target"), ANEW))
        }
        Some(uuid) if uuid != state.uuid => Err(Error::rebuild(
            format!(
                "the index {index} is another one than before: it was replaced, or it vanished and a write made it anew"
            ),
            ANEW,
        )),
        Some(_) => Ok(()),
    }
}

fn compare(state: &IndexState, found: Option<&IndexFacts>) -> Result<(), Error> {
    same_index(state, found.map(|found| found.uuid.as_str()))?;
    let (index, Some(found)) = (&state.index, found) else { return Ok(()) };
    if found.histories.len() < state.histories.len() {
        return Err(Error::transient(
            format!("a primary shard of {index} is not there"),
            "look into the search server's log and `GET _cluster/allocation/explain`",
        ));
    }
    if found.histories != state.histories {
        let what = format!("the index {index} has gone back in time (restored from a snapshot)");
        return Err(Error::rebuild(what, ANEW));
    }
    Ok(())
}

/// Makes the index `name` and checks that it became what was asked for. An index of this name that is `owner`'s own,
/// left over from an interrupted attempt, is replaced.
///
/// # Errors
/// An index of this name is somebody else's, or the target makes something else of it.
pub(crate) async fn create(
    target: &Target,
    name: &str,
    plan: &IndexPlan,
    owner: &Owner,
) -> Result<IndexFacts, Error> {
    let mut settings = plan.settings.clone();
    for (key, value) in own_settings() {
        settings.insert(key.to_owned(), json!(value));
    }
    if target.info().merges_before_refresh() {
        // A refresh would wait for merges, after a first load for ten seconds.
        settings.entry("index.merge_on_flush.enabled").or_insert(json!(false));
    }
    settings.entry("index.number_of_shards").or_insert(json!(1));
    let mut mapping = plan.mapping.clone();
    if let Some(mapping) = mapping.as_object_mut() {
        mapping.insert(
            "_meta".to_owned(),
            json!({"wal2es": {
                "source": owner.source, "generation": owner.generation, "formula": FORMULA,
            }}),
        );
    }
    let body = json!({ "settings": settings, "mappings": mapping });
    if !target.create_index(name, &body).await? {
        refuse_foreign(target, name, owner).await?;
        target.delete_index(name).await?;
        if !target.create_index(name, &body).await? {
            return Err(Error::transient(
                format!("the index {name} was made by somebody else a moment ago"),
                "is a second connector running?",
            ));
        }
    }
    read_back(target, name, &settings, &mapping).await?;
    let shards = settings.get("index.number_of_shards").map(plain);
    facts_of(target, name, shards.and_then(|shards| shards.parse().ok()).unwrap_or(1)).await
}

/// The facts of an index, waiting a little until all its primaries have started.
async fn facts_of(target: &Target, name: &str, shards: usize) -> Result<IndexFacts, Error> {
    for _ in 0..200 {
        if let Some(facts) = target.facts(&[name]).await?.remove(name)
            && facts.histories.len() == shards
        {
            return Ok(facts);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    Err(Error::transient(
        format!("the primary shards of the new index {name} do not start"),
        "look at `GET _cluster/allocation/explain`: disk watermarks, allocation filters",
    ))
}

/// Whose an index says that it is.
pub(crate) fn source_of(index: &Value) -> Option<&str> {
    index.pointer("/mappings/_meta/wal2es/source")?.as_str()
}

async fn refuse_foreign(target: &Target, name: &str, owner: &Owner) -> Result<(), Error> {
    let Some(found) = target.index(name).await? else { return Ok(()) };
    let source = found.as_object().and_then(|indices| indices.values().next()).and_then(source_of);
    if source == Some(owner.source.as_str()) {
        return Ok(());
    }
    Err(Error::config(
        format!("there is an index or alias {name} already that is not ours"),
        "choose another name under `indexes`, or remove it",
    ))
}

/// Settings and mapping as the target has them, against what was asked for: an index template may have slipped
/// something in.
async fn read_back(
    target: &Target,
    name: &str,
    settings: &Map<String, Value>,
    mapping: &Value,
) -> Result<(), Error> {
    let found =
        target.index(name).await?.and_then(|mut found| found.get_mut(name).map(Value::take));
    let Some(found) = found else {
        return Err(Error::transient(
            format!("the target says that it has made the index {name}, and does not have it"),
            "is there a proxy between wal2es and the search server?",
        ));
    };
    let mut wrong = Vec::new();
    for (key, value) in settings {
        let got = found.get("settings").and_then(|settings| settings.get(key));
        if got.map(plain) != Some(plain(value)) {
            let got = got.map_or("missing".to_owned(), plain);
            wrong.push(format!("{key} is {got} instead of {}", plain(value)));
        }
    }
    let nothing = json!({});
    let got = found.get("mappings").unwrap_or(&nothing);
    differences("", mapping, got, &mut wrong);
    if wrong.is_empty() {
        return Ok(());
    }
    let templates = target.templates_of(name).await.unwrap_or_default();
    let by = match templates.is_empty() {
        true => String::new(),
        false => format!(" (index templates for this name: {})", templates.join(", ")),
    };
    Err(Error::config(
        format!("the target makes something else of the index {name}{by}: {}", wrong.join("; ")),
        "change the index template so that it does not match this name",
    ))
}

/// A setting as the target prints it: always a string.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

/// Where two mappings differ. The target prints scalars as it likes and leaves `type: object` out where there are
/// properties.
pub(crate) fn differences(path: &str, want: &Value, got: &Value, wrong: &mut Vec<String>) {
    match (want.as_object(), got.as_object()) {
        (Some(want), Some(got)) => {
            for key in want.keys().chain(got.keys().filter(|key| !want.contains_key(*key))) {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match (want.get(key), got.get(key)) {
                    (Some(a), Some(b)) => differences(&path, a, b, wrong),
                    (Some(Value::Object(empty)), None) if empty.is_empty() => {}
                    _ if key == "type" && want.contains_key("properties") => {}
                    (Some(_), _) => wrong.push(format!("mapping {path} is missing")),
                    (None, _) => wrong.push(format!("mapping {path} was added")),
                }
            }
        }
        _ if plain(want) == plain(got) => {}
        // 1 and 1.0 are the same number.
        _ if want.as_f64().is_some() && want.as_f64() == got.as_f64() => {}
        _ => wrong.push(format!("mapping {path} is {} instead of {}", plain(got), plain(want))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(want: &Value, got: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        differences("", want, got, &mut wrong);
        wrong
    }

    #[test]
    fn a_mapping_that_only_prints_differently_is_the_same() {
        let want = json!({"dynamic": false, "properties": {"a": {"type": "keyword", "ignore_above": 8191}}});
        let got = json!({"dynamic": "false", "properties": {"a": {"type": "keyword", "ignore_above": 8191}}});
        assert_eq!(wrong(&want, &got), [""; 0]);
        let empty =
            wrong(&json!({"dynamic": false, "properties": {}}), &json!({"dynamic": "false"}));
        assert_eq!(empty, [""; 0]);
    }

    #[test]
    fn what_a_template_changed_or_added_is_named() {
        let want = json!({"dynamic": false, "properties": {"a": {"type": "keyword"}}});
        let got = json!({"dynamic": "strict", "properties": {"a": {"type": "text"}, "b": {"type": "long"}}});
        assert_eq!(
            wrong(&want, &got),
            [
                "mapping dynamic is strict instead of false",
                "mapping properties.a.type is text instead of keyword",
                "mapping properties.b was added",
            ]
        );
    }

    #[test]
    fn an_index_is_known_by_uuid_and_history() {
        let state = IndexState {
            alias: "p".into(),
            table: "public.p".into(),
            index: "p-g1".into(),
            uuid: "U".into(),
            histories: vec!["h".into()],
            shown: None,
            shown_lsn: Lsn::ZERO,
            retired: vec![],
            making: None,
            truncations: 0,
            plan_hash: String::new(),
            columns: Vec::new(),
            table_oid: 0,
            membership: String::new(),
            parts: vec![],
            since: Lsn::ZERO,
            held: false,
            kept: vec![],
        };
        let facts = |uuid: &str, histories: &[&str]| IndexFacts {
            uuid: uuid.into(),
            histories: histories.iter().map(|h| (*h).to_owned()).collect(),
        };
        assert!(compare(&state, Some(&facts("U", &["h"]))).is_ok());
        let kind = |found: Option<&IndexFacts>| compare(&state, found).unwrap_err().kind();
        assert_eq!(kind(None), crate::Kind::Stop);
        assert_eq!(kind(Some(&facts("V", &["h"]))), crate::Kind::Stop);
        assert_eq!(kind(Some(&facts("U", &["other"]))), crate::Kind::Stop);
        assert_eq!(kind(Some(&facts("U", &[]))), crate::Kind::Transient);
    }
}
