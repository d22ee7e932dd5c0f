//! Which nodes have a copy of each shard.

use std::collections::{BTreeMap, HashMap};

use hyper::Method;
use serde::Deserialize;

use super::api::{ApiError, Target, list, read};

#[derive(Deserialize)]
struct Stats {
    #[serde(default)]
    indices: HashMap<String, Shards>,
}

#[derive(Deserialize)]
struct Shards {
    #[serde(default)]
    shards: BTreeMap<String, Vec<Copy>>,
}

#[derive(Deserialize)]
struct Copy {
    routing: Routing,
}

#[derive(Deserialize)]
struct Routing {
    state: String,
    primary: bool,
    node: Option<String>,
}

impl Target {
    /// The ids of the nodes that searches can ask for each shard of an index, by its number; the primary's comes first.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn copies(&self, index: &str) -> Result<BTreeMap<u32, Vec<String>>, ApiError> {
        const QUERY: &str = "level=shards&filter_path=indices.*.shards.*.routing";
        let path = format!("{}/_stats/docs?{QUERY}", list(&[index]));
        let answer = self.call(Method::GET, &path, None, &[200]).await?;
        let mut stats: Stats = read("the index statistics", &answer)?;
        let shards = stats.indices.remove(index).map(|shards| shards.shards).unwrap_or_default();
        Ok(shards.into_iter().filter_map(of_shard).collect())
    }
}

fn of_shard((number, copies): (String, Vec<Copy>)) -> Option<(u32, Vec<String>)> {
    let mut copies: Vec<Routing> = copies.into_iter().map(|copy| copy.routing).collect();
    copies.retain(|copy| matches!(copy.state.as_str(), "STARTED" | "RELOCATING"));
    copies.sort_by_key(|copy| !copy.primary);
    Some((number.parse().ok()?, copies.into_iter().filter_map(|copy| copy.node).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_that_can_be_asked_the_primary_first() {
        let body = r#"[{"routing":{"state":"STARTED","primary":false,"node":"b"}},
                       {"routing":{"state":"INITIALIZING","primary":false,"node":"c"}},
                       {"routing":{"state":"STARTED","primary":true,"node":"a"}}]"#;
        let found = of_shard(("3".to_owned(), serde_json::from_str(body).unwrap()));
        assert_eq!(found, Some((3, vec!["a".to_owned(), "b".to_owned()])));
    }
}
