//! How far the index is behind, in bytes and in time.
//!
//! The time is taken by our own clock: where the server's log ended, and when we saw it there. What is not applied by now
//! was written when the log first reached beyond it. So an idle system is not behind, however old its last commit is;
//! and the clocks of the two machines need not agree. It is exact to the time between two looks.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use change::Lsn;

/// Without a look at the log for so long, nobody knows how far behind the index is.
const BLIND: Duration = Duration::from_secs(15);
/// More than this many are thinned out.
const MOST: usize = 4096;

/// Where the server's log has ended, and when.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    /// Positions that were not applied when last looked at, rising, with the time at which each was seen first.
    open: VecDeque<(Instant, Lsn)>,
    /// Between two of them, at least.
    spacing: Duration,
    last: Option<(Instant, Lsn)>,
}

impl Lag {
    /// The log ends at `position` now.
    pub(crate) fn observe(&mut self, now: Instant, position: Lsn) {
        let risen = self.last.is_none_or(|(_, before)| position > before);
        let before = self.open.back().map(|(at, _)| now.saturating_duration_since(*at));
        if risen && before.is_none_or(|before| before >= self.spacing) {
            self.open.push_back((now, position));
        }
        self.last = Some((now, position));
        if self.open.len() > MOST {
            self.thin_out();
        }
    }

    /// Half of the positions, and from now on half as many.
    fn thin_out(&mut self) {
        let mut odd = false;
        self.open.retain(|_| {
            odd = !odd;
            odd
        });
        self.spacing = (self.spacing * 2).max(Duration::from_secs(2));
    }

    /// How far it is behind, everything up to `durable` being applied; None when the log has not been
    /// looked at of late.
    pub(crate) fn behind(&mut self, now: Instant, durable: Lsn) -> Option<(u64, Duration)> {
        let (_, end) = self.last.filter(|(at, _)| now.saturating_duration_since(*at) <= BLIND)?;
        while self.open.front().is_some_and(|(_, position)| *position <= durable) {
            self.open.pop_front();
        }
        if self.open.is_empty() {
            self.spacing = Duration::ZERO;
        }
        let since = self.open.front().map(|(at, _)| now.saturating_duration_since(*at));
        Some((end.since(durable), since.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lsn(at: u64) -> Lsn {
        Lsn::new(at)
    }

    #[test]
    fn the_age_of_what_is_not_applied() {
        let began = Instant::now();
        let at = |seconds| began + Duration::from_secs(seconds);
        let mut lag = Lag::default();
        assert_eq!(lag.behind(began, lsn(0)), None);
        lag.observe(at(0), lsn(100));
        assert_eq!(lag.behind(at(1), lsn(100)), Some((0, Duration::ZERO)));
        // Idle for an hour, then one commit: it is as old as it is, not an hour.
        lag.observe(at(3600), lsn(100));
        lag.observe(at(3601), lsn(180));
        assert_eq!(lag.behind(at(3603), lsn(100)), Some((80, Duration::from_secs(2))));
        lag.observe(at(3610), lsn(300));
        assert_eq!(lag.behind(at(3611), lsn(200)), Some((100, Duration::from_secs(1))));
        assert_eq!(lag.behind(at(3611), lsn(300)), Some((0, Duration::ZERO)));
        assert_eq!(lag.behind(at(3611), lsn(400)), Some((0, Duration::ZERO)));
        assert_eq!(lag.behind(at(3626), lsn(400)), None, "who knows what is there by now");
    }

    #[test]
    fn a_long_lag_takes_little_memory() {
        let began = Instant::now();
        let mut lag = Lag::default();
        for n in 1..=100_000 {
            lag.observe(began + Duration::from_secs(n), lsn(n));
        }
        assert!(lag.open.len() <= MOST);
        let (_, age) = lag.behind(began + Duration::from_secs(100_000), lsn(0)).unwrap();
        assert_eq!(age, Duration::from_secs(99_999));
        let (_, age) = lag.behind(began + Duration::from_secs(100_000), lsn(50_000)).unwrap();
        assert!(age.as_secs().abs_diff(50_000) < 200, "{age:?}");
    }
}
