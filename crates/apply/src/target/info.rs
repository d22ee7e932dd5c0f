//! What kind of server it is.

use serde::Deserialize;

/// The two families. They differ in a few mapping types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch.
    OpenSearch,
}

/// The answer to [`GET /`](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-info).
#[derive(Clone, Debug)]
pub struct ServerInfo {
    /// Which family.
    pub distribution: Distribution,
    /// `3.6.0`.
    pub version: String,
    /// `cluster_uuid`.
    pub cluster: String,
}

#[derive(Deserialize)]
struct Root {
    cluster_uuid: String,
    version: RootVersion,
}

#[derive(Deserialize)]
struct RootVersion {
    number: String,
    distribution: Option<String>,
}

impl ServerInfo {
    /// None when the answer is of something else.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let root: Root = serde_json::from_slice(body).ok()?;
        let distribution = match root.version.distribution.as_deref() {
            Some("opensearch") => Distribution::OpenSearch,
            _ => Distribution::Elasticsearch,
        };
        Some(ServerInfo { distribution, version: root.version.number, cluster: root.cluster_uuid })
    }
}

impl ServerInfo {
    /// OpenSearch 3 waits for merges in a refresh unless told otherwise (`index.merge_on_flush.enabled`).
    pub(crate) fn merges_before_refresh(&self) -> bool {
        self.distribution == Distribution::OpenSearch && self.major_minor() >= (3, 0)
    }

    /// Major and minor version; 0 where it can't be read.
    pub fn major_minor(&self) -> (u32, u32) {
        let mut parts = self.version.split('.').map(|part| part.parse().unwrap_or(0));
        (parts.next().unwrap_or(0), parts.next().unwrap_or(0))
    }
}

impl std::fmt::Display for ServerInfo {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} {}", self.distribution, self.version)
    }
}
