//! The index of dead letters.
//!
//! A letter's id is a digest of the index and the id that it is about, so there is one for a document; its version is that
//! of the change, `external_gte`.

use std::fmt::Write as _;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Letter;
use crate::Error;
use crate::bulk::answer;
use crate::own_index;
use crate::target::{Target, explain};
use crate::version::Version;

/// Where dead letters are.
pub const INDEX: &str = "wal2es-dead-letters";
/// So many are read at once.
const PAGE: usize = 1000;

/// A letter as it was found.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its own id.
    pub name: String,
    /// What it says.
    pub letter: Letter,
}

/// The id of the letter of a document.
pub(super) fn name_of(index: &str, id: &str) -> String {
    let mut digest = Sha256::new();
    digest.update(index.as_bytes());
    digest.update([0]);
    digest.update(id.as_bytes());
    digest.finalize().iter().fold(String::new(), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    })
}

/// The letters of documents of these indices, in no order.
///
/// # Errors
/// The target does not answer.
pub async fn list(target: &Target, indices: &[&str]) -> Result<Vec<Stored>, Error> {
    let mut found = Vec::new();
    if indices.is_empty() || !target.refresh_if_there(INDEX).await? {
        return Ok(found);
    }
    let mut after: Option<Value> = None;
    loop {
        let mut query = json!({
            "size": PAGE,
            "query": {"terms": {"index": indices}},
            "sort": [{"name": "asc"}],
        });
        if let Some(after) = after.take() {
            query["search_after"] = json!([after]);
        }
        let page = target.search_in(INDEX, &query).await?;
        let hits =
            page.pointer("/hits/hits").and_then(Value::as_array).cloned().unwrap_or_default();
        for hit in &hits {
            let letter = serde_json::from_value(hit["_source"].clone()).unwrap_or_default();
            let name = hit["_id"].as_str().unwrap_or_default().to_owned();
            found.push(Stored { name, letter });
        }
        if hits.len() < PAGE {
            return Ok(found);
        }
        after = hits.last().map(|hit| hit["_id"].clone());
    }
}

/// Writes letters over the ones before. One that a later change has left stays. One that is too large for the target goes
/// without its document.
pub(super) async fn write(target: &Target, letters: &[Letter]) -> Result<(), Error> {
    own_index::make(target, INDEX, properties()).await?;
    let mut todo = vec![letters.to_vec()];
    while let Some(mut some) = todo.pop() {
        let Some(outcomes) = send(target, written(&some), some.len()).await? else {
            match some.len() {
                1 => {
                    let without = some.iter_mut().filter_map(|letter| letter.document.take());
                    if without.count() == 0 {
                        return Err(not_written(413));
                    }
                }
                count => todo.push(some.split_off(count / 2)),
            }
            todo.push(some);
            continue;
        };
        if let Some(status) = outcomes.into_iter().find(|status| !matches!(status, 200 | 201 | 409))
        {
            return Err(not_written(status));
        }
    }
    Ok(())
}

/// The request that writes these letters.
fn written(letters: &[Letter]) -> Vec<u8> {
    let mut body = Vec::new();
    for letter in letters {
        let name = name_of(&letter.index, &letter.id);
        let version: u64 = letter.version.parse().unwrap_or_default();
        let action = json!({"index": {
            "_index": INDEX, "_id": name, "version": version, "version_type": "external_gte",
        }});
        let mut source = json!(letter);
        source["name"] = json!(name);
        line(&mut body, &action);
        line(&mut body, &source);
    }
    body
}

/// Deletes the letters of changes up to these versions. True for each that is gone.
pub(super) async fn clear(
    target: &Target,
    letters: &[(String, Version)],
) -> Result<Vec<bool>, Error> {
    let mut body = Vec::new();
    for (name, version) in letters {
        let action = json!({"delete": {
            "_index": INDEX, "_id": name, "version": version.get(), "version_type": "external_gte",
        }});
        line(&mut body, &action);
    }
    let outcomes = send(target, body, letters.len()).await?.ok_or_else(|| not_written(413))?;
    outcomes
        .into_iter()
        .map(|status| match status {
            200 | 404 => Ok(true),
            409 => Ok(false),
            status => Err(not_written(status)),
        })
        .collect()
}

/// Sends the documents of these letters once more, and clears those that the target takes now. True for each that is
/// cleared: its document is there, or a later one.
///
/// # Errors
/// The target does not answer.
pub async fn retry(target: &Target, letters: &[Stored]) -> Result<Vec<bool>, Error> {
    let mut gone = Vec::new();
    for stored in letters {
        let Letter { index, id, version, document, .. } = &stored.letter;
        let version: u64 = version.parse().unwrap_or_default();
        let Some(document) = document else {
            gone.push(false);
            continue;
        };
        let action = json!({"index": {
            "_index": index, "_id": id, "version": version, "version_type": "external_gte",
        }});
        let mut body = Vec::new();
        line(&mut body, &action);
        body.extend_from_slice(document.as_bytes());
        body.push(b'\n');
        let outcomes = send(target, body, 1).await?.unwrap_or(vec![413]);
        let taken = outcomes.iter().all(|status| matches!(status, 200 | 201 | 409));
        if taken {
            clear(target, &[(stored.name.clone(), Version::from_raw(version))]).await?;
        }
        gone.push(taken);
    }
    Ok(gone)
}

/// Deletes letters.
///
/// # Errors
/// The target does not answer.
pub async fn discard(target: &Target, letters: &[Stored]) -> Result<(), Error> {
    let versions = letters.iter().map(|stored| {
        let version = stored.letter.version.parse().unwrap_or_default();
        (stored.name.clone(), Version::from_raw(version))
    });
    let versions: Vec<_> = versions.collect();
    for some in versions.chunks(PAGE) {
        clear(target, some).await?;
    }
    Ok(())
}

/// Deletes the letters of an index that is gone.
///
/// # Errors
/// The target does not answer.
pub async fn forget_index(target: &Target, index: &str) -> Result<(), Error> {
    // Not by _delete_by_query, whose module not every installation has.
    let found = list(target, &[index]).await?;
    if !found.is_empty() {
        discard(target, &found).await?;
        target.refresh_if_there(INDEX).await?;
    }
    Ok(())
}

/// One line of a request.
fn line(body: &mut Vec<u8>, value: &Value) {
    body.extend_from_slice(value.to_string().as_bytes());
    body.push(b'\n');
}

/// The status of each item; none when the request is larger than the target takes.
async fn send(target: &Target, body: Vec<u8>, items: usize) -> Result<Option<Vec<u16>>, Error> {
    let answer = target.bulk(body.into()).await?;
    if answer.status == 413 {
        return Ok(None);
    }
    if answer.status != 200 {
        let text =
            format!("{INDEX}: the target answers {}{}", answer.status, explain(&answer.body));
        return Err(match answer.status.as_u16() {
            401 | 403 => {
                Error::config(text, "give the user the rights that the README lists on wal2es-*")
            }
            _ => Error::transient(text, "look into the search server's log"),
        });
    }
    match answer::parse(&answer.body, items) {
        Ok(items) => Ok(Some(items.iter().map(|item| item.status).collect())),
        Err(why) => {
            Err(Error::transient(format!("{INDEX}: {why}"), "look into the search server's log"))
        }
    }
}

fn not_written(status: u16) -> Error {
    let text = format!("a dead letter could not be written to {INDEX}: status {status}");
    match status {
        400 => Error::stop(text, "was the index made by somebody else? Delete it: it is made anew"),
        413 => Error::stop(
            text,
            "raise http.max_content_length of the search server, or the limit of a proxy before it",
        ),
        _ => Error::transient(text, "look into the search server's log"),
    }
}

/// What is searched of a letter.
fn properties() -> Value {
    json!({
        "name": {"type": "keyword"},
        "alias": {"type": "keyword"},
        "index": {"type": "keyword"},
        "table": {"type": "keyword"},
        "id": {"type": "keyword", "ignore_above": 512},
        "lsn": {"type": "keyword"},
        "version": {"type": "keyword"},
        "at": {"type": "date"},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_has_one_letter() {
        assert_eq!(name_of("a", "bc"), name_of("a", "bc"));
        assert_ne!(name_of("a", "bc"), name_of("ab", "c"));
        assert_eq!(name_of("a", "b").len(), 64);
    }
}
