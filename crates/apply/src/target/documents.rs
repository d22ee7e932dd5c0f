//! Documents as they stand in an index, by realtime [multi get](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-mget):
//! what was written last is found, refreshed or not.
//!
//! The whole source is asked for and kept as it came: a filter (`_source_includes`, `filter_path`) has the server write
//! it anew, and 1.50 becomes 1.5.

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::api::{ApiError, Target};
use super::client::ANSWER_LIMIT;
use crate::version::Version;

/// One document as it stands in an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) version: Version,
    /// As it was sent, byte for byte.
    pub(crate) source: Bytes,
}

#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow)]
    docs: Vec<Doc<'a>>,
}

#[derive(Deserialize)]
struct Doc<'a> {
    #[serde(default)]
    found: bool,
    #[serde(rename = "_version", default)]
    version: u64,
    #[serde(rename = "_source", borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Target {
    /// The documents of `wanted` (index and id, the id as a JSON string), in that order; none where there is none.
    ///
    /// # Errors
    /// The target does not answer for all of them. See [`ApiError::is_too_large`].
    pub(crate) async fn documents(
        &self,
        wanted: &[(&str, &[u8])],
    ) -> Result<Vec<Option<Document>>, ApiError> {
        let mut body = b"{\"docs\":[".to_vec();
        for (number, (index, id)) in wanted.iter().enumerate() {
            body.extend_from_slice(if number == 0 {
                b"{\"_index\":\""
            } else {
                b",{\"_index\":\""
            });
            body.extend_from_slice(index.as_bytes());
            body.extend_from_slice(b"\",\"_id\":");
            body.extend_from_slice(id);
            body.push(b'}');
        }
        body.extend_from_slice(b"]}");
        let answer = self
            .call_raw(ANSWER_LIMIT, Method::POST, "/_mget?realtime=true", body.into(), &[200])
            .await?;
        let unreadable =
            |why: String| ApiError::Unreadable { what: "the documents".to_owned(), why };
        let found: Found<'_> =
            serde_json::from_slice(&answer.body).map_err(|error| unreadable(error.to_string()))?;
        if found.docs.len() != wanted.len() {
            return Err(unreadable(format!("{} for {}", found.docs.len(), wanted.len())));
        }
        let document = |doc: Doc<'_>| match (doc.error, doc.found, doc.source) {
            (Some(error), _, _) => Err(unreadable(error.get().chars().take(300).collect())),
            (None, false, _) => Ok(None),
            (None, true, None) => Err(unreadable("a document without its source".to_owned())),
            (None, true, Some(source)) => Ok(Some(Document {
                version: Version::from_raw(doc.version),
                source: Bytes::copy_from_slice(source.get().as_bytes()),
            })),
        };
        found.docs.into_iter().map(document).collect()
    }
}
