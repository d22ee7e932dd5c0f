//! When a warning is worth a line.

use std::collections::HashMap;

use super::{Limit, NEAR, Warning};

/// A warning comes again when it has got worse by one of these, and then with each doubling.
const STEPS: [f64; 3] = [NEAR, 0.75, 1.0];
/// Until it is below this it is not over: what swings about a limit is not told again and again.
const OVER: f64 = 0.4;

/// What has been said of each limit.
#[derive(Debug, Default)]
pub(crate) struct Said {
    steps: HashMap<Limit, u32>,
}

/// What there is to say now.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct ToSay {
    pub(crate) worse: Vec<Warning>,
    /// The limits that are far away again.
    pub(crate) over: Vec<Limit>,
}

impl Said {
    /// Takes all that was measured; what was not is far from its limit.
    pub(crate) fn hear(&mut self, measured: Vec<Warning>) -> ToSay {
        let gone = |limit: &Limit| {
            !measured.iter().any(|warning| warning.limit == *limit && warning.fraction >= OVER)
        };
        let over: Vec<Limit> = self.steps.keys().copied().filter(gone).collect();
        self.steps.retain(|limit, _| !over.contains(limit));
        let mut worse = Vec::new();
        for warning in measured {
            let step = step(warning.fraction);
            if step > self.steps.get(&warning.limit).copied().unwrap_or(0) {
                self.steps.insert(warning.limit, step);
                worse.push(warning);
            }
        }
        ToSay { worse, over }
    }
}

fn step(fraction: f64) -> u32 {
    let mut step = 0;
    let mut at = STEPS.into_iter();
    let mut next = at.next().unwrap_or(NEAR);
    while fraction >= next && step < 64 {
        step += 1;
        next = at.next().unwrap_or(next * 2.0);
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hear(said: &mut Said, fraction: f64) -> (usize, usize) {
        let warning = Warning { limit: Limit::Held, fraction, text: String::new() };
        let heard = said.hear(vec![warning]);
        (heard.worse.len(), heard.over.len())
    }

    #[test]
    fn said_when_it_gets_worse_and_when_it_is_over() {
        let mut said = Said::default();
        let story = [
            (0.5, (1, 0)),
            (0.6, (0, 0)),
            (0.45, (0, 0)),
            (0.55, (0, 0)),
            (0.8, (1, 0)),
            (1.0, (1, 0)),
            (1.9, (0, 0)),
            (2.0, (1, 0)),
            (8.0, (1, 0)),
            (0.3, (0, 1)),
            (0.3, (0, 0)),
            (0.5, (1, 0)),
        ];
        for (at, (fraction, expected)) in story.into_iter().enumerate() {
            assert_eq!(hear(&mut said, fraction), expected, "{at}: {fraction}");
        }
        assert_eq!(said.hear(Vec::new()).over, [Limit::Held]);
        assert_eq!(said.hear(Vec::new()), ToSay::default());
    }
}
