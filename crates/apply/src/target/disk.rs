//! How much room the target has: a node above its low disk watermark takes no new shard, so an index that is built there
//! would not start, and above the flood stage nothing can be written or deleted any more.
//!
//! [Disk-based shard allocation](https://www.elastic.co/docs/reference/elasticsearch/configuration-reference/cluster-level-shard-allocation-routing-settings#disk-based-shard-allocation).

use std::collections::HashMap;

use hyper::Method;
use serde::Deserialize;
use serde_json::Value;

use super::api::{ApiError, Target, list, read};

const LOW: &str = "cluster.routing.allocation.disk.watermark.low";

/// The room of all data nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Bytes that are free.
    pub free: u64,
    /// Bytes that can be written before every node is above its low watermark; all that is free when the watermarks are off.
    pub usable: u64,
    /// The watermark, as it is set.
    pub watermark: String,
}

#[derive(Deserialize)]
struct Nodes {
    #[serde(default)]
    nodes: HashMap<String, Node>,
}

#[derive(Deserialize)]
struct Node {
    fs: Files,
    #[serde(default)]
    roles: Vec<String>,
}

#[derive(Deserialize)]
struct Files {
    total: Total,
}

#[derive(Deserialize)]
struct Total {
    total_in_bytes: u64,
    available_in_bytes: u64,
}

#[derive(Deserialize)]
struct Sizes {
    #[serde(default)]
    indices: HashMap<String, Size>,
}

#[derive(Deserialize)]
struct Size {
    primaries: Stored,
}

#[derive(Deserialize)]
struct Stored {
    store: Bytes,
}

#[derive(Deserialize)]
struct Bytes {
    size_in_bytes: u64,
}

impl Target {
    /// The room of the data nodes.
    ///
    /// # Errors
    /// The target does not answer or does not allow it.
    pub async fn room(&self) -> Result<Room, ApiError> {
        const NODES: &str = "/_nodes/stats/fs?filter_path=nodes.*.fs.total.total_in_bytes,nodes.*.fs.total.available_in_bytes,nodes.*.roles";
        const SETTINGS: &str = "/_cluster/settings?include_defaults=true&flat_settings=true";
        let nodes: Nodes = read("the nodes", &self.call(Method::GET, NODES, None, &[200]).await?)?;
        let settings: Value =
            read("the cluster settings", &self.call(Method::GET, SETTINGS, None, &[200]).await?)?;
        let setting = |name: &str| {
            let places = ["transient", "persistent", "defaults"];
            places.iter().find_map(|place| settings[*place][name].as_str().map(str::to_owned))
        };
        let off = setting("cluster.routing.allocation.disk.threshold_enabled").as_deref()
            == Some("false");
        let low = if off { None } else { setting(LOW) };
        let headroom = setting(&format!("{LOW}.max_headroom")).and_then(|text| bytes(&text));
        let disks =
            nodes.nodes.values().filter(|node| node.holds_data()).map(|node| &node.fs.total);
        Ok(Room {
            free: disks.clone().map(|disk| disk.available_in_bytes).sum(),
            usable: disks
                .map(|disk| match &low {
                    Some(low) => disk.available_in_bytes.saturating_sub(kept_free(
                        low,
                        headroom,
                        disk.total_in_bytes,
                    )),
                    None => disk.available_in_bytes,
                })
                .sum(),
            watermark: low.unwrap_or_else(|| "off".to_owned()),
        })
    }

    /// The size of the primary shards of each of `names` that exists, in bytes.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn sizes(&self, names: &[&str]) -> Result<HashMap<String, u64>, ApiError> {
        const QUERY: &str =
            "ignore_unavailable=true&filter_path=indices.*.primaries.store.size_in_bytes";
        if names.is_empty() {
            return Ok(HashMap::new());
        }
        let path = format!("{}/_stats/store?{QUERY}", list(names));
        let answer = self.call(Method::GET, &path, None, &[200]).await?;
        let sizes: Sizes = read("the index statistics", &answer)?;
        let size = |(name, size): (String, Size)| (name, size.primaries.store.size_in_bytes);
        Ok(sizes.indices.into_iter().map(size).collect())
    }
}

impl Node {
    /// Servers that tell no roles hold data.
    fn holds_data(&self) -> bool {
        self.roles.is_empty() || self.roles.iter().any(|role| role.starts_with("data"))
    }
}

/// What has to stay free of a disk of `total` bytes: `85%`, `0.85`, or `10gb` that must be left.
fn kept_free(low: &str, headroom: Option<u64>, total: u64) -> u64 {
    let low = low.trim();
    let percent = match low.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().ok(),
        None => low.parse::<f64>().ok().filter(|ratio| *ratio <= 1.0).map(|ratio| ratio * 100.0),
    };
    match percent {
        Some(percent) => {
            // In thousandths of a percent, so that no float has to become a size.
            let thousandths = format!("{:.0}", (100.0 - percent.clamp(0.0, 100.0)) * 1000.0);
            let free = u128::from(total) * thousandths.parse::<u128>().unwrap_or(0) / 100_000;
            let free = u64::try_from(free).unwrap_or(total);
            headroom.map_or(free, |headroom| free.min(headroom))
        }
        None => bytes(low).unwrap_or(0),
    }
}

/// `10gb`, in the [units](https://www.elastic.co/docs/reference/elasticsearch/rest-apis/api-conventions#byte-units) of the
/// target, which are powers of 1024.
fn bytes(text: &str) -> Option<u64> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text.get(digits.len()..)? {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        "p" | "pb" => 50,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watermarks_in_all_their_forms() {
        let total = 1000 << 30;
        assert_eq!(kept_free("85%", None, total), 150 << 30);
        assert_eq!(kept_free("0.85", None, total), 150 << 30);
        assert_eq!(kept_free("85%", Some(100 << 30), total), 100 << 30);
        assert_eq!(kept_free("10gb", None, total), 10 << 30);
        assert_eq!(kept_free("1000000b", None, total), 1_000_000);
        assert_eq!(kept_free("99.5%", None, 200_000), 1000);
        assert_eq!(bytes("200GB"), Some(200 << 30));
        assert_eq!(bytes("-1"), None);
    }
}
