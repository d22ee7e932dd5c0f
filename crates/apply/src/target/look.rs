//! Certain documents as they are now, whether searches see them or not.

use std::borrow::Cow;

use hyper::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::api::{ApiError, Target, read_borrowed, segment};
use super::client::ANSWER_LIMIT;

/// Ids of one request.
const MOST: usize = 500;
/// An answer beyond this is asked for again in halves, in bytes.
const LARGEST: usize = 8 << 20;

/// One document.
#[derive(Deserialize)]
pub struct Found<'a> {
    /// `_id`.
    #[serde(rename = "_id", borrow)]
    pub id: Cow<'a, str>,
    /// `_version`; none when there is no such document.
    #[serde(rename = "_version")]
    pub version: Option<u64>,
    #[serde(rename = "_source", borrow)]
    source: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
}

impl Found<'_> {
    /// The document, byte for byte as it was written; none when there is no such document.
    pub fn source(&self) -> Option<&[u8]> {
        self.source.map(|source| source.get().as_bytes())
    }
}

#[derive(Deserialize)]
struct Docs<'a> {
    #[serde(borrow)]
    docs: Vec<Found<'a>>,
}

impl Target {
    /// Hands each of the documents `ids` to `each`, by [realtime `_mget`](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-mget).
    ///
    /// # Errors
    /// The target does not answer, or there is no such index.
    pub async fn look_at(
        &self,
        index: &str,
        ids: &[&str],
        mut each: impl FnMut(&Found<'_>),
    ) -> Result<(), ApiError> {
        let mut todo: Vec<&[&str]> = ids.chunks(MOST).rev().collect();
        while let Some(ids) = todo.pop() {
            let path = format!("{}/_mget", segment(index));
            let limit = if ids.len() == 1 { ANSWER_LIMIT } else { LARGEST };
            let query = json!({ "ids": ids });
            match self.call_for(limit, Method::POST, &path, Some(&query), &[200]).await {
                Ok(answer) => {
                    let found: Docs<'_> = read_borrowed("the documents", &answer)?;
                    if let Some(error) = found.docs.iter().find_map(|found| found.error) {
                        return Err(ApiError::Unreadable {
                            what: "the documents".to_owned(),
                            why: super::shorten(error.get()).to_owned(),
                        });
                    }
                    found.docs.iter().for_each(&mut each);
                }
                Err(ApiError::Send(error)) if error.is_too_large() && ids.len() > 1 => {
                    let (first, second) = ids.split_at(ids.len() / 2);
                    todo.extend([second, first]);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
