//! A search server in memory: versions, tombstones, refreshes and aliases as the real ones have them, and every way in which
//! a request can go wrong.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use fastrand::Rng;
use serde_json::{Value, json};

use super::log::{Log, Table};

/// An index.
#[derive(Default)]
struct Index {
    uuid: String,
    body: Value,
    docs: BTreeMap<String, (u64, u64)>,
    tombstones: HashMap<String, u64>,
    /// What searches find.
    visible: BTreeMap<String, (u64, u64)>,
}

/// A request that was given up and may be executed until then.
struct Late {
    body: String,
    until: Instant,
}

/// What becomes of a request.
pub(super) enum Reply {
    Answer(u16, String),
    Cut,
    /// Nothing happens until the connection is closed, or for a while.
    Hold,
}

/// How likely what is, in thousandths of all bulk requests.
#[derive(Clone, Copy, Default)]
pub(super) struct Faults {
    /// Executed, the answer lost.
    pub(super) lost: u32,
    /// Given up, and executed later or not at all.
    pub(super) given_up: u32,
    /// Executed now and once more later.
    pub(super) twice: u32,
    /// Some items are told to come again.
    pub(super) busy: u32,
    /// 429 or 503 for the whole.
    pub(super) refused: u32,
    /// The answers to other requests are lost.
    pub(super) others: u32,
    /// All tombstones are forgotten.
    pub(super) forgotten: u32,
}

/// See the module.
pub(super) struct Server {
    pub(super) faults: Faults,
    random: Rng,
    indices: BTreeMap<String, Index>,
    aliases: BTreeMap<String, String>,
    states: BTreeMap<String, (u64, Value)>,
    made: u64,
    writes: u64,
    late: Vec<Late>,
    pub(super) keeps_late: std::time::Duration,
    /// Nothing is executed late but by [`Server::execute_all_late`].
    pub(super) late_when_asked: bool,
    log: Log,
    /// The commit that searches show.
    shown: usize,
    /// What must not have happened.
    pub(super) wrong: Vec<String>,
    /// What did happen, for who has to find out why a run failed.
    pub(super) journal: Vec<String>,
    /// Requests that were executed late, and documents that they brought back.
    pub(super) executed_late: u64,
    pub(super) brought_back: u64,
}

impl Server {
    pub(super) fn new(log: Log, random: Rng) -> Self {
        let copied = &log.tables[0].rows;
        let docs: BTreeMap<String, _> =
            copied.iter().map(|(key, row)| ((*key).to_owned(), *row)).collect();
        let visible = docs.clone();
        let index = Index { uuid: "U0".into(), docs, visible, ..Index::default() };
        Server {
            faults: Faults::default(),
            random,
            indices: [("p-g1".to_owned(), index)].into(),
            aliases: [("p".to_owned(), "p-g1".to_owned())].into(),
            states: BTreeMap::new(),
            made: 0,
            writes: 0,
            late: Vec::new(),
            keeps_late: std::time::Duration::ZERO,
            late_when_asked: false,
            log,
            shown: 0,
            wrong: Vec::new(),
            journal: Vec::new(),
            executed_late: 0,
            brought_back: 0,
        }
    }

    /// What is in the index behind the alias, and what searches find there.
    pub(super) fn documents(&self) -> [BTreeMap<&str, (u64, u64)>; 2] {
        let index = &self.indices[&self.aliases["p"]];
        [&index.docs, &index.visible]
            .map(|docs| docs.iter().map(|(key, row)| (key.as_str(), *row)).collect())
    }

    /// The document of the state.
    pub(super) fn state(&self) -> Option<&Value> {
        self.states.get("1.d.s").map(|(_, state)| state)
    }

    /// Everything up to `confirmed` is in the index: it will not come again.
    pub(super) fn must_hold(&mut self, confirmed: usize, known: usize) {
        let Some(name) = self.state().and_then(|state| state.pointer("/indexes/0/index")) else {
            return;
        };
        let Some(index) = name.as_str().and_then(|name| self.indices.get(name)) else { return };
        let mut missing = Vec::new();
        for (key, (version, _)) in &self.log.tables[confirmed].rows {
            // It may have been deleted since.
            let later = self.log.tables[known].last.get(key) != Some(version);
            let held = index.docs.get(*key).is_some_and(|(held, _)| held >= version);
            if !held && !later {
                missing.push(format!("{key} at {version} is confirmed and not there"));
            }
        }
        self.wrong.extend(missing);
    }

    pub(super) fn handle(&mut self, method: &str, path: &str, query: &str, body: &str) -> Reply {
        self.execute_some_late();
        if self.chance(self.faults.forgotten) {
            self.forget();
        }
        if path == "/_bulk" {
            let reply = self.bulk(body);
            let became = match &reply {
                Reply::Answer(status, answer) => format!("{status} {answer}"),
                Reply::Cut => "cut".to_owned(),
                Reply::Hold => "hold".to_owned(),
            };
            self.journal.push(format!("{body} -> {became}"));
            return reply;
        }
        self.journal.push(format!("{method} {path} {body}"));
        let lost = self.chance(self.faults.others);
        let (status, answer) = self.other(method, path, query, body);
        if lost { Reply::Cut } else { Reply::Answer(status, answer) }
    }

    /// The client has closed the connection of a request on hold.
    pub(super) fn given_up(&mut self, body: String) {
        self.keep_late(body);
    }

    /// All that may still be executed.
    pub(super) fn execute_all_late(&mut self) {
        self.forget();
        for late in std::mem::take(&mut self.late) {
            self.execute_late(&late);
        }
    }

    /// As after a flush and a restart.
    fn forget(&mut self) {
        self.journal.push("tombstones forgotten".to_owned());
        self.indices.values_mut().for_each(|index| index.tombstones.clear());
    }

    pub(super) fn has_late(&self) -> bool {
        !self.late.is_empty()
    }

    fn chance(&mut self, thousandths: u32) -> bool {
        self.random.u32(..1000) < thousandths
    }

    fn keep_late(&mut self, body: String) {
        self.late.push(Late { body, until: Instant::now() + self.keeps_late });
    }

    fn execute_some_late(&mut self) {
        if self.late_when_asked {
            return;
        }
        let (ready, waiting): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.late).into_iter().partition(|_| self.random.u8(..8) == 0);
        self.late = waiting;
        if !ready.is_empty() && self.random.bool() {
            self.forget();
        }
        ready.iter().for_each(|late| self.execute_late(late));
    }

    fn execute_late(&mut self, late: &Late) {
        if late.until > Instant::now() {
            self.journal.push(format!("late: {}", late.body));
            self.executed_late += 1;
            let before = self.indices.values().map(|index| index.docs.len()).sum::<usize>();
            self.execute(&late.body, true);
            let after = self.indices.values().map(|index| index.docs.len()).sum::<usize>();
            self.brought_back += after.saturating_sub(before) as u64;
        }
    }

    fn bulk(&mut self, body: &str) -> Reply {
        let faults = self.faults;
        let mut dice = self.random.u32(..1000);
        let mut is = |share: u32| {
            let hit = dice < share;
            dice = if hit { 1000 } else { dice - share };
            hit
        };
        if is(faults.lost) {
            self.execute(body, false);
            return Reply::Cut;
        }
        if is(faults.given_up) {
            return match self.random.bool() {
                true => Reply::Hold,
                false => {
                    self.keep_late(body.to_owned());
                    Reply::Cut
                }
            };
        }
        if is(faults.twice) {
            let answer = self.execute(body, false);
            self.keep_late(body.to_owned());
            // A gateway has lost its patience; or nobody knows of the second one but us, which only a proxy does that
            // sends a request again.
            return match self.random.bool() {
                true => Reply::Answer(504, String::new()),
                false => {
                    drop(answer);
                    Reply::Cut
                }
            };
        }
        if is(faults.refused) {
            let status = if self.random.bool() { 429 } else { 503 };
            return Reply::Answer(status, "{}".to_owned());
        }
        let busy = is(faults.busy);
        let items = self.execute_items(body, false, busy);
        Reply::Answer(200, answer(&items))
    }

    fn execute(&mut self, body: &str, late: bool) -> String {
        answer(&self.execute_items(body, late, false))
    }

    fn execute_items(&mut self, body: &str, late: bool, busy: bool) -> Vec<Value> {
        let mut items = Vec::new();
        let mut lines = body.lines();
        while let Some(action) = lines.next() {
            let action: Value = serde_json::from_str(action).unwrap();
            let (verb, of) = action.as_object().unwrap().iter().next().unwrap();
            let source = (verb == "index").then(|| lines.next().unwrap());
            let item = match busy && self.random.bool() {
                true => json!({"status": 429, "error": {"type": "busy", "reason": ""}}),
                false => self.item(of, source, late),
            };
            items.push(json!({ verb: item }));
        }
        items
    }

    fn item(&mut self, of: &Value, source: Option<&str>, late: bool) -> Value {
        let (name, id) = (of["_index"].as_str().unwrap(), of["_id"].as_str().unwrap());
        let version = of["version"].as_u64().unwrap();
        if !self.indices.contains_key(name) {
            if !late {
                self.wrong.push(format!("{name} is written and not there"));
            }
            // What a late request does to an index that has gone is another matter.
            return json!({"status": 404, "error": {"type": "index_not_found_exception", "reason": ""}});
        }
        let index = self.indices.get_mut(name).unwrap();
        let current = index.docs.get(id).map(|(version, _)| version).or(index.tombstones.get(id));
        let takes = |current: &u64| match of["version_type"].as_str().unwrap() {
            "external" => version > *current,
            _ => version >= *current,
        };
        if let Some(current) = current.filter(|current| !takes(current)) {
            let reason = format!("[{id}]: current version [{current}] is higher or equal to ours");
            return json!({"status": 409, "error": {"type": "version_conflict", "reason": reason}});
        }
        match source {
            Some(source) => {
                let number = serde_json::from_str::<Value>(source).unwrap()["n"].as_u64().unwrap();
                index.tombstones.remove(id);
                index.docs.insert(id.to_owned(), (version, number));
                json!({"status": 201, "result": "created"})
            }
            None => {
                index.tombstones.insert(id.to_owned(), version);
                match index.docs.remove(id) {
                    Some(_) => json!({"status": 200, "result": "deleted"}),
                    None => json!({"status": 404, "result": "not_found"}),
                }
            }
        }
    }

    fn other(&mut self, method: &str, path: &str, query: &str, body: &str) -> (u16, String) {
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let answer = match (method, &parts[..]) {
            (_, [""]) => {
                json!({"cluster_uuid": "c", "version": {"number": "3.6.0", "distribution": "opensearch"}})
            }
            (_, [names, "_refresh"]) => {
                for name in names.split(',') {
                    if let Some(index) = self.indices.get_mut(name) {
                        index.visible = index.docs.clone();
                    }
                }
                self.look();
                json!({"_shards": {"successful": 1, "failed": 0}})
            }
            (_, [_, "_flush"]) => json!({}),
            (_, [names, "_settings", "index.uuid"]) => {
                self.of_each(names, |index| json!({"settings": {"index.uuid": index.uuid}}))
            }
            (_, [names, "_stats", "docs"]) => {
                let shard = json!({"routing": {"primary": true}, "commit": {"user_data": {"history_uuid": "h"}}});
                json!({"indices": self.of_each(names, |_| json!({"shards": {"0": [shard]}}))})
            }
            ("POST", ["_aliases"]) => {
                self.turn(body);
                json!({})
            }
            (_, ["_alias", alias]) => match self.aliases.get(*alias) {
                Some(index) => json!({ index: {} }),
                None => return (404, "{}".to_owned()),
            },
            (_, ["wal2es-state", ..]) => return self.document(method, &parts, query, body),
            ("PUT", [name]) => {
                if self.indices.contains_key(*name) {
                    let kind = "resource_already_exists_exception";
                    return (400, json!({"error": {"type": kind, "reason": ""}}).to_string());
                }
                self.made += 1;
                let uuid = format!("U{}", self.made);
                let body = serde_json::from_str(body).unwrap();
                self.indices.insert((*name).to_owned(), Index { uuid, body, ..Index::default() });
                json!({})
            }
            ("GET", [name]) => {
                if !self.indices.contains_key(*name) {
                    return (404, "{}".to_owned());
                }
                self.of_each(name, |index| index.body.clone())
            }
            ("DELETE", [name]) => {
                self.indices.remove(*name);
                json!({})
            }
            _ => panic!("{method} {path}"),
        };
        (200, answer.to_string())
    }

    fn of_each(&self, names: &str, of: impl Fn(&Index) -> Value) -> Value {
        let found = names.split(',').filter_map(|name| Some((name, self.indices.get(name)?)));
        found
            .map(|(name, index)| (name.to_owned(), of(index)))
            .collect::<serde_json::Map<_, _>>()
            .into()
    }

    fn turn(&mut self, body: &str) {
        let actions: Value = serde_json::from_str(body).unwrap();
        for action in actions["actions"].as_array().unwrap() {
            if let Some(add) = action.get("add") {
                let of = |field: &str| add[field].as_str().unwrap().to_owned();
                self.aliases.insert(of("alias"), of("index"));
            }
        }
        self.look();
    }

    fn document(&mut self, method: &str, parts: &[&str], query: &str, body: &str) -> (u16, String) {
        let [_, "_doc", id] = parts else {
            let hits: Vec<Value> = self.states.keys().map(|id| json!({ "_id": id })).collect();
            return (200, json!({"hits": {"hits": hits}}).to_string());
        };
        let current = self.states.get(*id);
        let at = current.map_or(0, |(at, _)| *at);
        let is = |part: &str| query.split('&').any(|one| one == part);
        match method {
            "GET" => match current {
                Some((at, source)) => {
                    (200, json!({"_seq_no": at, "_primary_term": 1, "_source": source}).to_string())
                }
                None => (404, "{}".to_owned()),
            },
            "DELETE" => {
                self.states.remove(*id);
                (200, "{}".to_owned())
            }
            _ if query.contains("if_seq_no") && !is(&format!("if_seq_no={at}")) => {
                (409, "{}".to_owned())
            }
            _ if is("op_type=create") && current.is_some() => (409, "{}".to_owned()),
            _ => {
                self.writes += 1;
                let (id, source) = ((*id).to_owned(), serde_json::from_str(body).unwrap());
                self.states.insert(id, (self.writes, source));
                (200, json!({"_seq_no": self.writes, "_primary_term": 1}).to_string())
            }
        }
    }

    /// A search: it must find the table as of a commit, none before the last that was seen. Of a deleted row an older
    /// document may be there for a while.
    fn look(&mut self) {
        let [_, found] = self.documents();
        let fits = |table: &Table| {
            // Of the same version: it was written and deleted by one large transaction.
            let gone = |key: &str, version: u64| table.last.get(key).is_some_and(|v| version <= *v);
            table.rows.iter().all(|(key, row)| found.get(key) == Some(row))
                && found
                    .iter()
                    .all(|(key, (version, _))| table.rows.contains_key(key) || gone(key, *version))
        };
        let at = (self.shown..self.log.tables.len()).find(|at| fits(&self.log.tables[*at]));
        match at {
            Some(at) => self.shown = at,
            None => {
                let tables = &self.log.tables[self.shown..];
                let what = format!(
                    "after commit {} searches found {found:?}, which is none of {tables:?}",
                    self.shown
                );
                self.wrong.push(what);
            }
        }
    }
}

fn answer(items: &[Value]) -> String {
    let failed =
        |item: &Value| item.as_object().unwrap().values().any(|of| of.get("error").is_some());
    json!({"errors": items.iter().any(failed), "items": items}).to_string()
}
