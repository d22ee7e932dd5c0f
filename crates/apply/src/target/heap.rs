//! How much heap the nodes have.

use std::collections::HashMap;

use hyper::Method;
use serde::Deserialize;

use super::api::{ApiError, Target, read};

#[derive(Deserialize)]
struct Nodes {
    #[serde(default)]
    nodes: HashMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    jvm: Jvm,
}

#[derive(Deserialize)]
struct Jvm {
    mem: Memory,
}

#[derive(Deserialize)]
struct Memory {
    heap_max_in_bytes: u64,
}

impl Target {
    /// The heap of the node that has the smallest, in bytes. None when no node tells.
    ///
    /// # Errors
    /// The target does not answer or does not allow it.
    pub(crate) async fn smallest_heap(&self) -> Result<Option<u64>, ApiError> {
        const PATH: &str = "/_nodes/stats/jvm?filter_path=nodes.*.jvm.mem.heap_max_in_bytes";
        let nodes: Nodes = read("the heaps", &self.call(Method::GET, PATH, None, &[200]).await?)?;
        Ok(nodes.nodes.values().map(|node| node.jvm.mem.heap_max_in_bytes).min())
    }
}
