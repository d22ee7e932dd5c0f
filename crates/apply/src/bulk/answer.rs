//! The [answer to a bulk](https://www.elastic.co/docs/api/doc/elasticsearch/operation/operation-bulk): what became of
//! each item, in the order of the request.

use std::borrow::Cow;

use serde::Deserialize;

/// What the server says of one item.
#[derive(Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// The status that a request with this item alone would have had.
    pub status: u16,
    /// `created`, `updated`, `deleted`, `not_found`, `noop`.
    pub result: Option<Cow<'a, str>>,
    /// Why it failed.
    pub error: Option<ItemError<'a>>,
}

/// Why an item failed.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct ItemError<'a> {
    /// The server's name for what is wrong, such as `version_conflict_engine_exception`.
    #[serde(rename = "type", borrow)]
    pub kind: Cow<'a, str>,
    /// For people; may quote the document.
    #[serde(borrow, default)]
    pub reason: Cow<'a, str>,
    /// What is behind it; of a document that can't be parsed the reason alone says no more than that.
    #[serde(borrow)]
    pub caused_by: Option<Cause<'a>>,
}

/// What an error comes from.
#[derive(Debug, Deserialize, PartialEq, Eq)]
pub struct Cause<'a> {
    #[serde(borrow, default)]
    /// For people; may quote the document.
    pub reason: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    errors: bool,
    #[serde(borrow, default)]
    items: Vec<RawItem<'a>>,
}

/// The item is wrapped in the name of its action.
#[derive(Deserialize)]
struct RawItem<'a> {
    #[serde(borrow, alias = "delete")]
    index: RawOutcome<'a>,
}

#[derive(Deserialize)]
struct RawOutcome<'a> {
    status: u16,
    #[serde(borrow)]
    result: Option<Cow<'a, str>>,
    #[serde(borrow)]
    error: Option<ItemError<'a>>,
}

/// Reads the outcomes of `expected` items.
///
/// # Errors
/// Anything else than a complete answer to that many items, such as the page of a proxy: nothing is known then.
pub fn parse(body: &[u8], expected: usize) -> Result<Vec<Item<'_>>, String> {
    let raw: Raw<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    if raw.items.len() != expected {
        return Err(format!("{} outcomes for {expected} items", raw.items.len()));
    }
    let items: Vec<Item<'_>> = raw
        .items
        .into_iter()
        .map(|RawItem { index: RawOutcome { status, result, error } }| Item {
            status,
            result,
            error,
        })
        .collect();
    if !raw.errors && items.iter().any(|item| item.error.is_some()) {
        return Err("an item failed although the answer says that none did".to_owned());
    }
    Ok(items)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_keep_their_order_and_their_errors() {
        let body = br#"{"errors":true,"items":[
            {"index":{"result":"created","status":201}},
            {"delete":{"result":"not_found","status":404}},
            {"index":{"status":409,"error":{"type":"version_conflict_engine_exception","reason":"[1]: \"x\""}}}]}"#;
        let items = parse(body, 3).unwrap();
        assert_eq!(items[0].status, 201);
        assert_eq!(items[1].result.as_deref(), Some("not_found"));
        let error = items[2].error.as_ref().unwrap();
        assert_eq!(
            (&*error.kind, &*error.reason),
            ("version_conflict_engine_exception", "[1]: \"x\"")
        );
    }

    #[test]
    fn what_is_no_complete_answer_tells_nothing() {
        for (body, count) in [
            (&b"<html>gateway</html>"[..], 1),
            (b"{}", 1),
            (b"", 1),
            (br#"{"errors":false,"items":[]}"#, 1),
            (br#"{"errors":false,"items":[{"index":{"status":201}}]}"#, 2),
            (br#"{"errors":false,"items":[{"index":{"status":201}}"#, 1),
            (br#"{"errors":false,"items":[{"index":{"status":400,"error":{"type":"x"}}}]}"#, 1),
        ] {
            assert!(parse(body, count).is_err(), "{}", String::from_utf8_lossy(body));
        }
    }
}
