//! The indices that wal2es keeps for itself, of states and of dead letters: one shard, a copy where there is a node for it, and
//! nothing that an index template could change about what is written.

use serde_json::{Value, json};

use crate::Error;
use crate::target::{ApiError, Target};

/// Makes the index `name` unless it is there. `properties` is what can be searched of it.
///
/// # Errors
/// The target does not answer or does not allow it.
pub(crate) async fn make(target: &Target, name: &str, properties: Value) -> Result<(), Error> {
    let body = json!({
        "settings": {
            "index.number_of_shards": 1,
            "index.auto_expand_replicas": "0-1",
            "index.translog.durability": "request",
            "index.default_pipeline": "_none",
            "index.final_pipeline": "_none",
        },
        "mappings": { "dynamic": false, "properties": properties },
    });
    match target.create_index(name, &body).await {
        Ok(_) => Ok(()),
        Err(ApiError::Status { kind, .. }) if kind == "security_exception" => {
            // Without the right to make indices, an index made by an administrator will do.
            match target.index(name).await? {
                Some(_) => Ok(()),
                None => Err(Error::config(
                    format!("the user may not make the index {name}, and it is not there"),
                    "give the user the right `create_index` on wal2es-*, or make the index once",
                )),
            }
        }
        Err(error) => Err(error.into()),
    }
}
