//! The calls of the target's API that wal2es makes, one method each.

use std::collections::HashMap;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answers::{
    ComposableTemplates, Counted, Doc, ErrorBody, Found, IndexStats, Refreshed, Stats, Template,
    Uuid, Written,
};
use super::client::{ANSWER_LIMIT, Answer, Client, SendError};
use super::config::TargetConfig;
use super::info::ServerInfo;
use crate::Error;
use crate::backoff::Backoff;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
/// How often a call is repeated that finds the server or a shard just starting: about twenty seconds. Every call here may be
/// repeated: its effect is the same, or it is compare-and-set.
const PATIENCE: u32 = 32;
/// What may stand in a path segment as it is.
const SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'*');

/// The target answered, but not with what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// No answer.
    #[error(transparent)]
    Send(#[from] SendError),
    /// An answer of another status.
    #[error("{what}: the target answers {status}{reason}")]
    Status {
        /// What was asked for.
        what: String,
        /// HTTP status.
        status: StatusCode,
        /// The type of the error, such as `security_exception`; empty when the answer has none.
        kind: String,
        /// `: type: reason`, as the server explains it, or nothing.
        reason: String,
    },
    /// A good status with a body that can't be read.
    #[error("{what}: the target's answer can't be read: {why}")]
    Unreadable {
        /// What was asked for.
        what: String,
        /// What is wrong.
        why: String,
    },
}

impl ApiError {
    /// The answer is larger than what is read of one: ask for less.
    pub(crate) fn is_too_large(&self) -> bool {
        matches!(self, ApiError::Send(error) if error.is_too_large())
    }
}

impl From<ApiError> for Error {
    fn from(error: ApiError) -> Self {
        let text = error.to_string();
        match error {
            ApiError::Send(error) => error.into(),
            // With 429 and 503 it is a full disk or a cluster that is starting, which pass.
            ApiError::Status { kind, status, .. }
                if kind == "cluster_block_exception" && status == StatusCode::FORBIDDEN =>
            {
                Error::config(
                    text,
                    "lift the block: `cluster.blocks.*` in the cluster's settings, `index.blocks.*` in the index's",
                )
            }
            ApiError::Status { status, .. } => match status.as_u16() {
                401 => Error::config(text, "check target.username and target.password or api_key"),
                403 => Error::config(text, "give the user the rights that the README lists"),
                408 | 429 | 500.. => Error::transient(text, "look into the search server's log"),
                _ => Error::config(text, "look into the search server's log"),
            },
            ApiError::Unreadable { .. } => {
                Error::transient(text, "is there a proxy between wal2es and the search server?")
            }
        }
    }
}

/// What tells an index from another one of the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexFacts {
    /// Changes when the index is deleted and made anew.
    pub uuid: String,
    /// `history_uuid` of each primary shard in order. Changes when a shard goes back in time: a restore over a closed
    /// index keeps the uuid. Fewer than there are shards while one is not there.
    pub histories: Vec<String>,
}

/// A place in the history of a document, for compare-and-set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DocVersion {
    pub(crate) seq_no: i64,
    pub(crate) primary_term: i64,
}

/// One search server or cluster.
pub struct Target {
    client: Client,
    info: ServerInfo,
}

impl Target {
    /// Connects and asks what kind of server it is.
    ///
    /// # Errors
    /// Unreachable, a wrong login, or not a search server.
    pub async fn connect(config: &TargetConfig) -> Result<Self, Error> {
        let client = Client::new(config)?;
        let answer = client.send(Method::GET, "/", JSON, Bytes::new()).await?;
        let answer = expect("GET /", answer, &[200])?;
        let info = ServerInfo::parse(&answer.body).ok_or_else(|| {
            Error::config(
                format!("{} is no Elasticsearch and no OpenSearch", config.urls.join(", ")),
                "check target.url",
            )
        })?;
        Ok(Target { client, info })
    }

    /// What kind of server it is.
    pub fn info(&self) -> &ServerInfo {
        &self.info
    }

    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        good: &[u16],
    ) -> Result<Answer, ApiError> {
        self.call_for(ANSWER_LIMIT, method, path, body, good).await
    }

    /// The same for an answer of up to `limit` bytes.
    pub(super) async fn call_for(
        &self,
        limit: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
        good: &[u16],
    ) -> Result<Answer, ApiError> {
        let body = body.map(|body| Bytes::from(body.to_string())).unwrap_or_default();
        self.call_raw(limit, method, path, body, good).await
    }

    pub(super) async fn call_raw(
        &self,
        limit: usize,
        method: Method,
        path: &str,
        body: Bytes,
        good: &[u16],
    ) -> Result<Answer, ApiError> {
        let what = format!("{method} {}", path.split('?').next().unwrap_or(path));
        let mut backoff = Backoff::default();
        loop {
            let answer =
                self.client.send_for(limit, method.clone(), path, JSON, body.clone()).await?;
            let starting = matches!(answer.status.as_u16(), 429 | 503);
            if !starting || backoff.attempts() >= PATIENCE {
                return expect(&what, answer, good);
            }
            tokio::time::sleep(backoff.next()).await;
        }
    }

    /// Sends a [bulk](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk) body as it is and
    /// gives back the whole answer, of any status.
    pub(crate) async fn bulk(&self, body: Bytes) -> Result<Answer, SendError> {
        const PATH: &str = "/_bulk?filter_path=errors,items.*.status,items.*.result,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason&refresh=false";
        self.client.send(Method::POST, PATH, NDJSON, body).await
    }

    /// Makes an index. True when it was made, false when one of that name is there already.
    pub async fn create_index(&self, name: &str, body: &Value) -> Result<bool, ApiError> {
        match self.call(Method::PUT, &segment(name), Some(body), &[200]).await {
            Ok(_) => Ok(true),
            Err(ApiError::Status { kind, .. }) if kind == "resource_already_exists_exception" => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Settings, mappings and aliases of the index, of the index behind an alias, or of those that fit a pattern; none when
    /// there is none.
    pub async fn index(&self, name: &str) -> Result<Option<Value>, ApiError> {
        let path = format!("{}?flat_settings=true", segment(name));
        let answer = self.call(Method::GET, &path, None, &[200, 404]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        read::<Value>("the index's settings", &answer).map(Some)
    }

    /// Deletes an index if it is there.
    pub async fn delete_index(&self, name: &str) -> Result<(), ApiError> {
        self.call(Method::DELETE, &segment(name), None, &[200, 404]).await.map(drop)
    }

    /// Changes settings of an index if it is there.
    pub async fn put_settings(&self, name: &str, settings: &Value) -> Result<(), ApiError> {
        let path = format!("{}/_settings", segment(name));
        self.call(Method::PUT, &path, Some(settings), &[200, 404]).await.map(drop)
    }

    /// Several [alias actions](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-indices-update-aliases) at once.
    pub async fn update_aliases(&self, actions: Vec<Value>) -> Result<(), ApiError> {
        let body = json!({ "actions": actions });
        self.call(Method::POST, "/_aliases", Some(&body), &[200]).await.map(drop)
    }

    /// The indices that an alias points to; none when there is no such alias.
    pub async fn alias(&self, name: &str) -> Result<Vec<String>, ApiError> {
        let path = format!("/_alias{}", segment(name));
        let answer = self.call(Method::GET, &path, None, &[200, 404]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        read::<HashMap<String, Value>>("the alias", &answer).map(|map| map.into_keys().collect())
    }

    /// The uuid of each of `names` that exists.
    pub(crate) async fn uuids(&self, names: &[&str]) -> Result<HashMap<String, String>, ApiError> {
        const QUERY: &str = "flat_settings=true&ignore_unavailable=true&allow_no_indices=true";
        let path = format!("{}/_settings/index.uuid?{QUERY}", list(names));
        let answer = self.call(Method::GET, &path, None, &[200]).await?;
        let found: HashMap<String, Uuid> = read("the index settings", &answer)?;
        Ok(found.into_iter().map(|(name, found)| (name, found.settings.uuid)).collect())
    }

    /// The facts of each of `names` that exists. Settings tell what is there; statistics do not have an index whose shards
    /// have not started yet.
    pub async fn facts(&self, names: &[&str]) -> Result<HashMap<String, IndexFacts>, ApiError> {
        let uuids = self.uuids(names).await?;
        const SHARDS: &str = "level=shards&ignore_unavailable=true&filter_path=indices.*.shards.*.routing.primary,indices.*.shards.*.commit.user_data.history_uuid";
        let path = format!("{}/_stats/docs?{SHARDS}", list(names));
        let answer = self.call(Method::GET, &path, None, &[200]).await?;
        let mut stats: Stats = read("the index statistics", &answer)?;
        let facts = uuids.into_iter().map(|(name, uuid)| {
            let histories = stats.indices.remove(&name).map(IndexStats::histories);
            let histories = histories.unwrap_or_default();
            (name, IndexFacts { uuid, histories })
        });
        Ok(facts.collect())
    }

    /// Makes everything written so far visible to searches. False when a shard did not.
    pub(crate) async fn refresh(&self, names: &[&str]) -> Result<bool, ApiError> {
        let path = format!("{}/_refresh", list(names));
        let answer = self.call(Method::POST, &path, None, &[200]).await?;
        let refreshed: Refreshed = read("the refresh", &answer)?;
        Ok(refreshed.shards.failed == 0 && refreshed.shards.successful > 0)
    }

    /// Refreshes an index; false if there is none of that name.
    pub(crate) async fn refresh_if_there(&self, name: &str) -> Result<bool, ApiError> {
        let path = format!("{}/_refresh", segment(name));
        let answer = self.call(Method::POST, &path, None, &[200, 404]).await?;
        Ok(answer.status == StatusCode::OK)
    }

    /// The answer to a [search](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-search). Small ones
    /// alone: it is read as a whole.
    pub(crate) async fn search_in(&self, index: &str, query: &Value) -> Result<Value, ApiError> {
        let path = format!("{}/_search?allow_partial_search_results=false", segment(index));
        let answer = self.call(Method::POST, &path, Some(query), &[200]).await?;
        read("the search", &answer)
    }

    /// Has everything written so far put into segments, which searches do not see before a refresh.
    pub(crate) async fn flush(&self, names: &[&str]) -> Result<(), ApiError> {
        let path = format!("{}/_flush?wait_if_ongoing=true", list(names));
        self.call(Method::POST, &path, None, &[200, 404]).await.map(drop)
    }

    /// How many documents searches find in an index. None when a shard did not answer.
    pub(crate) async fn count(&self, name: &str) -> Result<Option<u64>, ApiError> {
        let path = format!("{}/_count", segment(name));
        let answer = self.call(Method::GET, &path, None, &[200]).await?;
        let counted: Counted = read("the count", &answer)?;
        Ok((counted.shards.failed == 0).then_some(counted.count))
    }

    /// A document by realtime GET.
    pub(crate) async fn get_doc<T: for<'de> Deserialize<'de>>(
        &self,
        index: &str,
        id: &str,
    ) -> Result<Option<(T, DocVersion)>, ApiError> {
        let path = format!("{}/_doc{}", segment(index), segment(id));
        let answer = self.call(Method::GET, &path, None, &[200, 404]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let doc: Doc<T> = read("the document", &answer)?;
        let version = DocVersion { seq_no: doc.seq_no, primary_term: doc.primary_term };
        Ok(Some((doc.source, version)))
    }

    /// The ids of the documents of an index, as far as searches find them, up to ten thousand.
    pub(crate) async fn ids(&self, index: &str) -> Result<Vec<String>, ApiError> {
        const QUERY: &str = "size=10000&_source=false&filter_path=hits.hits._id";
        let path = format!("{}/_search?{QUERY}", segment(index));
        let answer = self.call(Method::GET, &path, None, &[200, 404]).await?;
        if answer.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        let found: Found = read("the search", &answer)?;
        Ok(found.hits.hits.into_iter().map(|hit| hit.id).collect())
    }

    /// Writes a document if it is still at `expected` (none: if there is none). None when it is not.
    pub(crate) async fn put_doc(
        &self,
        index: &str,
        id: &str,
        source: &Value,
        expected: Option<DocVersion>,
    ) -> Result<Option<DocVersion>, ApiError> {
        let condition = match expected {
            Some(at) => format!("if_seq_no={}&if_primary_term={}", at.seq_no, at.primary_term),
            None => "op_type=create".to_owned(),
        };
        let path = format!("{}/_doc{}?{condition}", segment(index), segment(id));
        let answer = self.call(Method::PUT, &path, Some(source), &[200, 201, 409]).await?;
        if answer.status == StatusCode::CONFLICT {
            return Ok(None);
        }
        let written: Written = read("the write", &answer)?;
        Ok(Some(DocVersion { seq_no: written.seq_no, primary_term: written.primary_term }))
    }

    /// Writes a document over whatever is there.
    pub(crate) async fn overwrite_doc(
        &self,
        index: &str,
        id: &str,
        source: &Value,
    ) -> Result<(), ApiError> {
        let path = format!("{}/_doc{}", segment(index), segment(id));
        self.call(Method::PUT, &path, Some(source), &[200, 201]).await.map(drop)
    }

    /// Deletes a document if it is there, and still at `expected` if that is given.
    pub(crate) async fn delete_doc(
        &self,
        index: &str,
        id: &str,
        expected: Option<DocVersion>,
    ) -> Result<(), ApiError> {
        let condition = expected.map_or_else(String::new, |at| {
            format!("?if_seq_no={}&if_primary_term={}", at.seq_no, at.primary_term)
        });
        let path = format!("{}/_doc{}{condition}", segment(index), segment(id));
        self.call(Method::DELETE, &path, None, &[200, 404, 409]).await.map(drop)
    }

    /// Names of the templates (of both kinds) that apply to an index of this name.
    pub async fn templates_of(&self, index: &str) -> Result<Vec<String>, ApiError> {
        let mut names = Vec::new();
        let answer = self.call(Method::GET, "/_index_template", None, &[200, 404]).await?;
        if answer.status == StatusCode::OK {
            let all: ComposableTemplates = read("the index templates", &answer)?;
            let fit = all.index_templates.into_iter().filter(|t| t.template.fits(index));
            names.extend(fit.map(|template| template.name));
        }
        let answer = self.call(Method::GET, "/_template", None, &[200, 404]).await?;
        if answer.status == StatusCode::OK {
            let all: HashMap<String, Template> = read("the templates", &answer)?;
            names.extend(all.into_iter().filter(|(_, t)| t.fits(index)).map(|(name, _)| name));
        }
        Ok(names)
    }
}

/// `/name`, encoded.
pub(super) fn segment(name: &str) -> String {
    format!("/{}", utf8_percent_encode(name, SEGMENT))
}

/// `/a,b`, encoded.
pub(super) fn list(names: &[&str]) -> String {
    let names: Vec<_> =
        names.iter().map(|name| utf8_percent_encode(name, SEGMENT).to_string()).collect();
    format!("/{}", names.join(","))
}

fn expect(what: &str, answer: Answer, good: &[u16]) -> Result<Answer, ApiError> {
    if good.contains(&answer.status.as_u16()) {
        // A page of a proxy, of whatever status: nobody has done anything.
        let first = answer.body.iter().find(|byte| !byte.is_ascii_whitespace());
        return match first {
            Some(b'{' | b'[') => Ok(answer),
            _ => {
                Err(ApiError::Unreadable { what: what.to_owned(), why: "it is no JSON".to_owned() })
            }
        };
    }
    let (kind, reason) = (error_kind(&answer.body), explain(&answer.body));
    Err(ApiError::Status { what: what.to_owned(), status: answer.status, kind, reason })
}

/// The type of an error body; nothing when it has none.
fn error_kind(body: &[u8]) -> String {
    serde_json::from_slice::<ErrorBody>(body).map(|body| body.error.kind).unwrap_or_default()
}

/// `: type: reason` of an error body, shortened; nothing when it has none.
pub(crate) fn explain(body: &[u8]) -> String {
    let Ok(body) = serde_json::from_slice::<ErrorBody>(body) else { return String::new() };
    let mut text = format!(": {}: {}", body.error.kind, body.error.reason.unwrap_or_default());
    if let Some(cause) = body.error.caused_by.and_then(|cause| cause.reason) {
        text.push_str(&format!(" ({cause})"));
    }
    shorten(&text).to_owned()
}

/// At most 300 bytes of a server's text.
pub(crate) fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(300)).unwrap_or(text)
}

pub(super) fn read<T: for<'de> Deserialize<'de>>(
    what: &str,
    answer: &Answer,
) -> Result<T, ApiError> {
    read_borrowed(what, answer)
}

/// The same for what borrows from the answer.
pub(super) fn read_borrowed<'a, T: Deserialize<'a>>(
    what: &str,
    answer: &'a Answer,
) -> Result<T, ApiError> {
    serde_json::from_slice(&answer.body)
        .map_err(|error| ApiError::Unreadable { what: what.to_owned(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_in_paths() {
        assert_eq!(segment("7632.shop.wal2es"), "/7632.shop.wal2es");
        assert_eq!(list(&["a/b", "ü"]), "/a%2Fb,%C3%BC");
    }

    #[test]
    fn a_page_is_no_answer() {
        let answer = |status: u16, body: &'static str| Answer {
            status: StatusCode::from_u16(status).unwrap(),
            body: body.into(),
        };
        for (status, body) in [(200, "<html>"), (200, ""), (404, "not found")] {
            let error = expect("GET /x", answer(status, body), &[200, 404]).unwrap_err();
            assert_eq!(Error::from(error).kind(), crate::Kind::Transient);
        }
        expect("GET /x", answer(404, r#" {"found":false}"#), &[200, 404]).unwrap();
    }

    #[test]
    fn an_error_is_explained_with_its_cause() {
        let body = br#"{"error":{"type":"mapper_parsing_exception","reason":"failed","caused_by":{"reason":"why"}},"status":400}"#;
        assert_eq!(explain(body), ": mapper_parsing_exception: failed (why)");
        assert_eq!(explain(b"<html>"), "");
    }
}
