//! All documents of a shard as of one moment, page by page.
//!
//! A [point in time](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-open-point-in-time) keeps the
//! segments of the shard as they are; OpenSearch has it [under another path](https://docs.opensearch.org/latest/search-plugins/searching-data/point-in-time-api/).
//! Sorted by their place in the segments, documents come as fast as they can be read; and as that place is a number, a
//! shard can be divided between several readers by where each begins. One point is of one shard, because places of
//! several shards would be mixed.
//!
//! `filter_path` is left alone here: it writes the source anew, and 1.50 becomes 1.5.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::Method;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::api::{ApiError, Target, read, segment};
use super::client::ANSWER_LIMIT;
use super::info::Distribution;
use crate::backoff::Backoff;

/// How long the target keeps a point that nobody reads from.
const KEEP: &str = "5m";
/// How large a page is to be, in bytes.
const PAGE: usize = 1 << 20;
/// A page beyond this is asked for again with fewer documents, in bytes.
const LARGEST_PAGE: usize = 8 << 20;
/// Documents of the first page, when nothing is known of their size, and the most that a search gives.
const FIRST: usize = 200;
const MOST: usize = 10_000;
/// Below this, dividing a shard is not worth it.
const PART: u64 = 20_000;
/// How often a page is asked for that does not come.
const PATIENCE: u32 = 24;

/// See the module. Close it with [`Target::close_point`]; left alone it goes by itself after some minutes.
pub struct Point {
    id: String,
    by: &'static str,
    /// Documents in it.
    pub documents: u64,
    last: Option<u64>,
}

/// The documents of a [`Point`] between two places.
#[derive(Debug)]
pub struct Part {
    point: String,
    by: &'static str,
    /// The place of the last document that was read, or that one before the first.
    after: Option<u64>,
    /// The place of its last document.
    last: u64,
    size: usize,
    done: bool,
}

/// One document.
#[derive(Deserialize)]
pub struct Hit<'a> {
    /// `_id`.
    #[serde(rename = "_id", borrow)]
    pub id: Cow<'a, str>,
    /// `_version`.
    #[serde(rename = "_version")]
    pub version: u64,
    #[serde(rename = "_source", borrow)]
    source: &'a RawValue,
    sort: [u64; 1],
}

impl Hit<'_> {
    /// The document, byte for byte as it was written.
    pub fn source(&self) -> &[u8] {
        self.source.get().as_bytes()
    }
}

#[derive(Deserialize)]
struct Opened {
    #[serde(alias = "pit_id")]
    id: String,
}

#[derive(Deserialize)]
struct Searched<'a> {
    #[serde(borrow)]
    hits: Hits<'a>,
}

#[derive(Deserialize)]
struct Hits<'a> {
    total: Option<Total>,
    #[serde(borrow)]
    hits: Vec<Hit<'a>>,
}

#[derive(Deserialize)]
struct Total {
    value: u64,
}

fn searched(body: &[u8]) -> Result<Hits<'_>, ApiError> {
    let searched: Result<Searched<'_>, _> = serde_json::from_slice(body);
    searched.map(|searched| searched.hits).map_err(|error| ApiError::Unreadable {
        what: "the documents".to_owned(),
        why: error.to_string(),
    })
}

impl Point {
    /// It, in parts that can be read beside each other. None when it is empty.
    pub fn parts(&self) -> Vec<Part> {
        let Some(last) = self.last else { return Vec::new() };
        let middle = (self.documents > PART).then_some(last / 2);
        let part = |after: Option<u64>, last: u64| Part {
            point: self.id.clone(),
            by: self.by,
            after,
            last,
            size: FIRST,
            done: false,
        };
        match middle {
            Some(middle) => vec![part(None, middle), part(Some(middle), last)],
            None => vec![part(None, last)],
        }
    }
}

impl Target {
    /// The number of primary shards of an index.
    ///
    /// # Errors
    /// The target does not answer, or there is no such index.
    pub async fn shards(&self, index: &str) -> Result<u32, ApiError> {
        let path =
            format!("{}/_settings/index.number_of_shards?flat_settings=true", segment(index));
        let answer = self.call(Method::GET, &path, None, &[200]).await?;
        let found: Value = read("the index settings", &answer)?;
        let shards = found[index]["settings"]["index.number_of_shards"].as_str();
        shards.and_then(|shards| shards.parse().ok()).ok_or_else(|| ApiError::Unreadable {
            what: "the index settings".to_owned(),
            why: "no number of shards".to_owned(),
        })
    }

    /// What searches see now of one shard of an index; on the node with the id `node`, if that is given.
    ///
    /// # Errors
    /// The target does not answer, or there is no such index.
    pub async fn open_point(
        &self,
        index: &str,
        shard: u32,
        node: Option<&str>,
    ) -> Result<Point, ApiError> {
        let (path, by) = match self.info().distribution {
            Distribution::Elasticsearch => ("_pit", "_shard_doc"),
            Distribution::OpenSearch => ("_search/point_in_time", "_doc"),
        };
        let node = node.map_or_else(String::new, |node| format!("%7C_only_nodes:{node}"));
        let path =
            format!("{}/{path}?keep_alive={KEEP}&preference=_shards:{shard}{node}", segment(index));
        let answer = self.call(Method::POST, &path, None, &[200]).await?;
        let Opened { id } = read("the point in time", &answer)?;
        let query = json!({
            "pit": {"id": id, "keep_alive": KEEP}, "size": 1, "sort": [{by: "desc"}],
            "version": true, "track_total_hits": true,
        });
        let answer = self.search(ANSWER_LIMIT, &query).await?;
        let hits = searched(&answer)?;
        let last = hits.hits.first().map(|hit| hit.sort[0]);
        let documents = hits.total.map_or(0, |total| total.value);
        Ok(Point { id, by, documents, last })
    }

    /// The target need not keep it any more.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn close_point(&self, point: Point) -> Result<(), ApiError> {
        let (path, body) = match self.info().distribution {
            Distribution::Elasticsearch => ("/_pit", json!({"id": point.id})),
            Distribution::OpenSearch => ("/_search/point_in_time", json!({"pit_id": [point.id]})),
        };
        self.call(Method::DELETE, path, Some(&body), &[200, 404]).await.map(drop)
    }

    /// Hands the next documents to `each`. False at the end.
    ///
    /// # Errors
    /// The target does not answer, or does not have the point any more.
    pub async fn next_page(
        &self,
        part: &mut Part,
        each: impl FnMut(&Hit<'_>),
    ) -> Result<bool, ApiError> {
        let mut backoff = Backoff::default();
        while !part.done {
            let limit = if part.size == 1 { ANSWER_LIMIT } else { LARGEST_PAGE };
            match self.search(limit, &part.query()).await {
                Ok(body) => {
                    part.read(&body, each)?;
                    return Ok(true);
                }
                Err(ApiError::Send(error)) if error.is_too_large() && part.size > 1 => {
                    part.size = (part.size / 8).max(1);
                }
                Err(ApiError::Send(error)) if backoff.attempts() < PATIENCE => {
                    tracing::debug!(%error, "a page of documents did not come; asking again");
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(false)
    }

    async fn search(&self, limit: usize, query: &Value) -> Result<Bytes, ApiError> {
        const PATH: &str = "/_search?allow_partial_search_results=false";
        let answer = self.call_for(limit, Method::POST, PATH, Some(query), &[200]).await?;
        Ok(answer.body)
    }
}

impl Part {
    fn query(&self) -> Value {
        let mut query = json!({
            "pit": {"id": self.point, "keep_alive": KEEP}, "size": self.size, "sort": [{self.by: "asc"}],
            "version": true, "track_total_hits": false,
        });
        if let (Some(after), Some(query)) = (self.after, query.as_object_mut()) {
            query.insert("search_after".to_owned(), json!([after]));
        }
        query
    }

    /// Hands on what a page has of this part, and goes on behind it.
    fn read(&mut self, body: &[u8], each: impl FnMut(&Hit<'_>)) -> Result<(), ApiError> {
        let hits = searched(body)?.hits;
        let (last, wanted) = (self.last, self.size);
        match hits.last().map(|hit| hit.sort[0]) {
            Some(place) if place < last && hits.len() == wanted => self.after = Some(place),
            _ => self.done = true,
        }
        // The next page is to be as large as a page should be, if documents go on like this.
        let size = (PAGE * hits.len()) / body.len().max(1);
        self.size = size.clamp(1, MOST);
        hits.iter().filter(|hit| hit.sort[0] <= last).for_each(each);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(places: &[u64]) -> String {
        let hit = |place: &u64| {
            format!(
                r#"{{"_index":"i","_id":"\u0031\"{place}","_version":7,"_score":null,"_source":{{"p":1.50}},"sort":[{place}]}}"#
            )
        };
        let hits: Vec<String> = places.iter().map(hit).collect();
        format!(r#"{{"took":1,"hits":{{"max_score":null,"hits":[{}]}}}}"#, hits.join(","))
    }

    fn read(part: &mut Part, places: &[u64]) -> Vec<u64> {
        let mut seen = Vec::new();
        part.size = part.size.min(places.len());
        part.read(body(places).as_bytes(), |hit| {
            assert_eq!((hit.source(), hit.version), (&br#"{"p":1.50}"#[..], 7));
            assert_eq!(hit.id, format!("1\"{}", hit.sort[0]));
            seen.push(hit.sort[0]);
        })
        .unwrap();
        seen
    }

    fn point(documents: u64, last: Option<u64>) -> Point {
        Point { id: "x".to_owned(), by: "_doc", documents, last }
    }

    #[test]
    fn parts_end_where_the_next_one_begins() {
        let mut parts = point(PART + 1, Some(9)).parts();
        let (second, first) = (parts.pop().unwrap(), parts.pop().unwrap());
        assert!(parts.is_empty());
        assert_eq!((first.after, first.last), (None, 4));
        assert_eq!((second.after, second.last), (Some(4), 9));
        assert!(point(0, None).parts().is_empty());
        assert_eq!(point(PART, Some(9)).parts().len(), 1);
    }

    #[test]
    fn a_part_gives_its_own_documents_and_then_ends() {
        let mut part = point(PART + 1, Some(9)).parts().remove(0);
        assert_eq!(read(&mut part, &[0, 1, 3]), [0, 1, 3]);
        assert!(!part.done && part.query()["search_after"] == json!([3]));
        assert_eq!(read(&mut part, &[4, 5, 6]), [4]);
        assert!(part.done);
    }

    #[test]
    fn pages_become_as_large_as_they_should() {
        let mut part = point(PART, Some(90_000)).parts().remove(0);
        assert_eq!(part.size, FIRST);
        read(&mut part, &[0, 1]);
        assert!(part.size > 5000, "{}", part.size);
    }
}
