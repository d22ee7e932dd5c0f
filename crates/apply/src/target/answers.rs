//! The parts of the target's answers that matter, in the shape in which they come.

use std::collections::HashMap;

use serde::Deserialize;

#[derive(Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ErrorCause,
}

#[derive(Deserialize)]
pub(super) struct ErrorCause {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) reason: Option<String>,
    pub(super) caused_by: Option<Box<CausedBy>>,
}

#[derive(Deserialize)]
pub(super) struct CausedBy {
    pub(super) reason: Option<String>,
}

#[derive(Deserialize)]
pub(super) struct Doc<T> {
    #[serde(rename = "_seq_no")]
    pub(super) seq_no: i64,
    #[serde(rename = "_primary_term")]
    pub(super) primary_term: i64,
    #[serde(rename = "_source")]
    pub(super) source: T,
}

#[derive(Deserialize)]
pub(super) struct Written {
    #[serde(rename = "_seq_no")]
    pub(super) seq_no: i64,
    #[serde(rename = "_primary_term")]
    pub(super) primary_term: i64,
}

#[derive(Deserialize)]
pub(super) struct Refreshed {
    #[serde(rename = "_shards")]
    pub(super) shards: Shards,
}

#[derive(Deserialize)]
pub(super) struct Found {
    #[serde(default)]
    pub(super) hits: Hits,
}

#[derive(Default, Deserialize)]
pub(super) struct Hits {
    #[serde(default)]
    pub(super) hits: Vec<Hit>,
}

#[derive(Deserialize)]
pub(super) struct Hit {
    #[serde(rename = "_id")]
    pub(super) id: String,
}

#[derive(Deserialize)]
pub(super) struct Counted {
    pub(super) count: u64,
    #[serde(rename = "_shards")]
    pub(super) shards: Shards,
}

#[derive(Deserialize)]
pub(super) struct Shards {
    pub(super) successful: u32,
    pub(super) failed: u32,
}

/// One index of `GET /…/_settings/index.uuid`.
#[derive(Deserialize)]
pub(super) struct Uuid {
    pub(super) settings: UuidSetting,
}

#[derive(Deserialize)]
pub(super) struct UuidSetting {
    #[serde(rename = "index.uuid")]
    pub(super) uuid: String,
}

#[derive(Deserialize)]
pub(super) struct Stats {
    #[serde(default)]
    pub(super) indices: HashMap<String, IndexStats>,
}

#[derive(Deserialize)]
pub(super) struct IndexStats {
    #[serde(default)]
    pub(super) shards: HashMap<String, Vec<ShardStats>>,
}

#[derive(Deserialize)]
pub(super) struct ShardStats {
    pub(super) routing: Routing,
    pub(super) commit: Option<ShardCommit>,
}

#[derive(Deserialize)]
pub(super) struct Routing {
    pub(super) primary: bool,
}

#[derive(Deserialize)]
pub(super) struct ShardCommit {
    pub(super) user_data: UserData,
}

#[derive(Deserialize)]
pub(super) struct UserData {
    pub(super) history_uuid: Option<String>,
}

impl IndexStats {
    /// The histories of the primaries that have started, in the order of their shards.
    pub(super) fn histories(self) -> Vec<String> {
        let mut by_shard: Vec<(u32, String)> = Vec::new();
        for (shard, copies) in self.shards {
            let primary = copies.into_iter().find(|copy| copy.routing.primary);
            let history = primary.and_then(|p| p.commit).and_then(|c| c.user_data.history_uuid);
            if let (Ok(shard), Some(history)) = (shard.parse(), history) {
                by_shard.push((shard, history));
            }
        }
        by_shard.sort();
        by_shard.into_iter().map(|(_, history)| history).collect()
    }
}

#[derive(Deserialize)]
pub(super) struct ComposableTemplates {
    #[serde(default)]
    pub(super) index_templates: Vec<ComposableTemplate>,
}

#[derive(Deserialize)]
pub(super) struct ComposableTemplate {
    pub(super) name: String,
    #[serde(rename = "index_template")]
    pub(super) template: Template,
}

#[derive(Deserialize)]
pub(super) struct Template {
    #[serde(default)]
    pub(super) index_patterns: Vec<String>,
}

impl Template {
    /// One of its patterns matches.
    pub(super) fn fits(&self, index: &str) -> bool {
        self.index_patterns.iter().any(|pattern| glob(pattern, index))
    }
}

/// `*` stands for any text, as in index patterns.
fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(head) else { return false };
    (0..=text.len()).any(|at| text.get(at..).is_some_and(|tail| glob(rest, tail)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(glob("logs-*", "logs-1") && glob("*", "x") && glob("a*c", "abc") && glob("a", "a"));
        assert!(!glob("logs-*", "log") && !glob("a*c", "abd") && !glob("a", "ab"));
    }

    #[test]
    fn histories_are_those_of_each_primary_in_order() {
        let body = br#"{"indices":{"p-g1":{"shards":{
            "1":[{"routing":{"primary":false},"commit":{"user_data":{"history_uuid":"x"}}},
                 {"routing":{"primary":true},"commit":{"user_data":{"history_uuid":"h1"}}}],
            "0":[{"routing":{"primary":true},"commit":{"user_data":{"history_uuid":"h0"}}}]}}}}"#;
        let stats: Stats = serde_json::from_slice(body).unwrap();
        let histories = stats.indices.into_iter().next().unwrap().1.histories();
        assert_eq!(histories, ["h0", "h1"]);
    }
}
