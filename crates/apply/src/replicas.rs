//! No replicas while an index is filled.
//!
//! A replica would index every document once more; made afterwards it is a copy of files. The index is made with the
//! replicas that it is to have, because only the target knows how many those are (an index template, a default of the
//! cluster), and told to do without while the copy lasts. What was taken away is kept in memory alone: a copy that is
//! interrupted begins anew with another index.

use serde_json::{Map, Value, json};
use tracing::warn;

use crate::Error;
use crate::backoff::persist;
use crate::indices::Indices;
use crate::target::Target;

const NUMBER: &str = "index.number_of_replicas";
const EXPAND: &str = "index.auto_expand_replicas";

/// The replicas that indices had.
#[derive(Debug)]
#[must_use = "the indices have no replicas until they are given back"]
pub struct Replicas(Vec<(String, Value)>);

impl Replicas {
    /// Takes the replicas of all managed indices away, of those whose target lets us: some have rules for their number.
    ///
    /// # Errors
    /// The target does not answer.
    pub async fn take_away(target: &Target, indices: &Indices) -> Result<Self, Error> {
        let mut had = Vec::new();
        for state in indices.states() {
            let found = target.index(&state.index).await?.unwrap_or_default();
            let settings = found.get(&state.index).and_then(|index| index.get("settings"));
            let (none, before) = without(settings);
            let Some(none) = none else { continue };
            let put = || async { Ok(target.put_settings(&state.index, &none).await?) };
            // A full disk passes, as it does for the rows.
            match persist(put).await {
                Ok(()) => had.push((state.index, before)),
                Err(error) => {
                    warn!(index = state.index, %error, "the index keeps its replicas during the copy");
                }
            }
        }
        Ok(Replicas(had))
    }

    /// Gives them back, waiting for a target that does not answer.
    ///
    /// # Errors
    /// The target refuses.
    pub async fn give_back(self, target: &Target) -> Result<(), Error> {
        for (index, settings) in &self.0 {
            persist(|| async { Ok(target.put_settings(index, settings).await?) }).await?;
        }
        Ok(())
    }
}

/// What to set so that there are no replicas, if there are any, and what was set before.
fn without(settings: Option<&Value>) -> (Option<Value>, Value) {
    let get = |key: &str| settings.and_then(|settings| settings.get(key));
    let (mut none, mut before) = (Map::new(), Map::new());
    if let Some(expand) = get(EXPAND).filter(|expand| **expand != json!("false")) {
        none.insert(EXPAND.to_owned(), json!(false));
        before.insert(EXPAND.to_owned(), expand.clone());
    }
    // How many there are is not what was asked for while they expand by themselves.
    if let Some(number) = get(NUMBER).filter(|number| **number != json!("0")) {
        none.insert(NUMBER.to_owned(), json!(0));
        before.insert(NUMBER.to_owned(), number.clone());
    }
    ((!none.is_empty()).then_some(Value::Object(none)), Value::Object(before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_away_is_what_is_given_back() {
        let cases = [
            (json!({NUMBER: "0"}), None, json!({})),
            (json!({NUMBER: "0", EXPAND: "false"}), None, json!({})),
            (json!({NUMBER: "2"}), Some(json!({NUMBER: 0})), json!({NUMBER: "2"})),
            (
                json!({NUMBER: "1", EXPAND: "0-5"}),
                Some(json!({NUMBER: 0, EXPAND: false})),
                json!({NUMBER: "1", EXPAND: "0-5"}),
            ),
            (
                json!({NUMBER: "0", EXPAND: "0-all"}),
                Some(json!({EXPAND: false})),
                json!({EXPAND: "0-all"}),
            ),
        ];
        for (settings, none, before) in cases {
            assert_eq!(without(Some(&settings)), (none, before), "{settings}");
        }
    }
}
