//! How fast something goes, of late.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Over this time, or a little more.
const WINDOW: Duration = Duration::from_secs(10);
/// No two samples are closer than this.
const STEP: Duration = Duration::from_millis(200);

/// A rate. Whoever looks at it feeds it: it is as exact as it is looked at.
#[derive(Debug)]
pub(crate) struct Meter {
    /// When, and how many there were by then. Never empty.
    samples: VecDeque<(Instant, u64)>,
}

impl Meter {
    /// Begins with nothing at `now`.
    pub(crate) fn new(now: Instant) -> Self {
        Meter { samples: VecDeque::from([(now, 0)]) }
    }

    /// Per second, there being `count` at `now`.
    pub(crate) fn rate(&mut self, now: Instant, count: u64) -> u64 {
        let age = |at: Instant| now.saturating_duration_since(at);
        while self.samples.get(1).is_some_and(|(at, _)| age(*at) >= WINDOW) {
            self.samples.pop_front();
        }
        if self.samples.back().is_none_or(|(at, _)| age(*at) >= STEP) {
            self.samples.push_back((now, count));
        }
        let Some((since, before)) = self.samples.front() else { return 0 };
        let (took, counted) = (age(*since), count.saturating_sub(*before));
        if took < STEP {
            return 0;
        }
        u64::try_from(u128::from(counted) * 1_000_000 / took.as_micros()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_late() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut meter = Meter::new(began);
        assert_eq!(meter.rate(began, 5), 0, "too early to say");
        for second in 1..=20 {
            assert_eq!(meter.rate(at(second), second * 100), 100);
        }
        for second in 21..=40 {
            meter.rate(at(second), 2000);
        }
        assert_eq!(meter.rate(at(41), 2000), 0, "nothing for longer than the window");
        assert_eq!(meter.rate(at(42), 1000), 0, "counted anew");
    }
}
