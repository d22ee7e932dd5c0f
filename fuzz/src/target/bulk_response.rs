//! The answer to a bulk request: the first byte says how many items were sent.
//!
//! An answer is taken only if it is whole, that is JSON with as many outcomes as there were items, and if it does not
//! contradict itself.

use apply::answer;
use serde::de::IgnoredAny;

use super::Target;

/// See the module.
pub static TARGET: Target =
    Target { name: "bulk_response", rounds: 100_000, run, mutate: crate::bytes };

fn run(data: &[u8]) -> bool {
    let Some((&expected, body)) = data.split_first() else { return false };
    let expected = usize::from(expected);
    let Ok(items) = answer::parse(body, expected) else { return false };
    assert_eq!(items.len(), expected);
    assert!(serde_json::from_slice::<IgnoredAny>(body).is_ok(), "an answer that is no JSON");
    let more = expected + 1;
    assert!(answer::parse(body, more).is_err(), "{expected} outcomes for {more} items");
    let whole = body.trim_ascii_end().len();
    for length in (0..8).map(|eighth| whole * eighth / 8) {
        let part = body.get(..length).unwrap_or_default();
        assert!(answer::parse(part, expected).is_err(), "an answer cut after {length} bytes");
    }
    true
}
