//! How many deletes the target can remember.
//!
//! A deleted document leaves a tombstone of about 130 bytes on the heap of each node that had it, until it is older than
//! `index.gc_deletes` and a refresh or a flush has been since: some 2 million of them tripped the circuit breakers of a heap of
//! 512 MB. So they may take a twentieth of the smallest heap. A mass delete that would take more has `gc_deletes`
//! lowered while it lasts, and waits when that is not enough. In the middle of a large transaction nothing can be
//! refreshed; a flush shows nothing to searches.
//!
//! No I/O, and the time is an argument.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// `index.gc_deletes`, as an index is made with.
pub(crate) const USUAL: &str = "60s";
/// The same while much is deleted.
pub(crate) const LOWERED: &str = "5s";
const USUAL_TIME: Duration = Duration::from_secs(60);
const LOWERED_TIME: Duration = Duration::from_secs(5);
/// Of one delete, on the heap.
const BYTES: u64 = 130;
/// One part in so many of the heap.
const SHARE: u64 = 20;
/// Fewer are no matter on any heap.
const FEW: u64 = 20_000;
/// Deletes within so short a time are counted as one.
const GRAIN: Duration = Duration::from_millis(100);

/// What is to be done before deletes are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Nothing.
    Send,
    /// Ask how large the heaps are.
    Ask,
    /// Lower `gc_deletes`.
    Lower,
    /// Flush the indices.
    Flush,
    /// Wait until then.
    Wait(Instant),
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    /// How many there may be.
    most: Option<u64>,
    sent: VecDeque<(Instant, u64)>,
    /// When the last refresh or flush began.
    cleared: Option<Instant>,
    lowered: bool,
}

impl Tombstones {
    /// The smallest heap has so many bytes.
    pub(crate) fn heap(&mut self, bytes: u64) {
        self.most = Some((bytes / SHARE / BYTES).max(FEW));
    }

    /// `gc_deletes` is lowered, or is the usual one again.
    pub(crate) fn set_lowered(&mut self, lowered: bool) {
        self.lowered = lowered;
    }

    pub(crate) fn is_lowered(&self) -> bool {
        self.lowered
    }

    /// A refresh or flush of all indices that were deleted from began at `began`, with no delete in flight, and is over.
    pub(crate) fn cleared(&mut self, began: Instant) {
        self.cleared = self.cleared.max(Some(began));
    }

    /// So many deletes are about to be sent.
    pub(crate) fn sent(&mut self, deletes: u64, now: Instant) {
        match self.sent.back_mut() {
            _ if deletes == 0 => {}
            Some((at, count)) if now < *at + GRAIN => *count += deletes,
            _ => self.sent.push_back((now, deletes)),
        }
    }

    /// What is to be done before so many more.
    pub(crate) fn before(&mut self, deletes: u64, now: Instant) -> Before {
        while self.sent.front().is_some_and(|(at, _)| !self.is_live(*at, USUAL_TIME, now)) {
            self.sent.pop_front();
        }
        let all = self.live(USUAL_TIME, now) + deletes;
        let most = match self.most {
            _ if deletes == 0 || all <= FEW => return Before::Send,
            None => return Before::Ask,
            Some(most) => most,
        };
        if !self.lowered {
            return if all <= most { Before::Send } else { Before::Lower };
        }
        // A request larger than all the room goes alone.
        let oldest = self.sent.iter().find(|(at, _)| self.is_live(*at, LOWERED_TIME, now));
        match oldest {
            Some((at, _)) if self.live(LOWERED_TIME, now) + deletes > most => {
                match *at + lasts(LOWERED_TIME) {
                    old if old <= now => Before::Flush,
                    // Half of what there is room for at once, lest every request wait for a flush of its own.
                    _ => Before::Wait(self.half(most, now)),
                }
            }
            _ => Before::Send,
        }
    }

    /// When half of the room will be free again.
    fn half(&self, most: u64, now: Instant) -> Instant {
        let mut live = self.live(LOWERED_TIME, now);
        let mut until = now;
        for (at, count) in self.sent.iter().filter(|(at, _)| self.is_live(*at, LOWERED_TIME, now)) {
            until = *at + lasts(LOWERED_TIME);
            live -= count;
            if live <= most / 2 {
                break;
            }
        }
        until
    }

    /// When `gc_deletes` may be the usual one again, as far as can be told. None while it is.
    pub(crate) fn restore_at(&self, now: Instant) -> Option<Instant> {
        let most = self.most.unwrap_or(FEW) / 2;
        if !self.lowered {
            return None;
        }
        let mut live = self.live(USUAL_TIME, now);
        let mut at = now;
        for (sent, count) in self.sent.iter().filter(|(at, _)| self.is_live(*at, USUAL_TIME, now)) {
            if live <= most {
                break;
            }
            live -= count;
            at = (*sent + lasts(USUAL_TIME)).max(now + GRAIN);
        }
        Some(at)
    }

    fn live(&self, time: Duration, now: Instant) -> u64 {
        let live = self.sent.iter().rev().take_while(|(at, _)| self.is_live(*at, time, now));
        live.map(|(_, count)| count).sum()
    }

    /// Not older than `time`, or nothing has cleared it away since.
    fn is_live(&self, at: Instant, time: Duration, now: Instant) -> bool {
        at + lasts(time) > now || self.cleared.is_none_or(|cleared| cleared <= at)
    }
}

/// The target looks for old tombstones each time that a quarter of `gc_deletes` has passed.
fn lasts(time: Duration) -> Duration {
    time + time / 4 + GRAIN
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const HEAP: u64 = 512 << 20;
    const MOST: u64 = HEAP / SHARE / BYTES;

    #[test]
    fn a_few_deletes_are_nobodys_matter() {
        let (mut tombstones, now) = (Tombstones::default(), Instant::now());
        assert_eq!(tombstones.before(FEW, now), Before::Send);
        tombstones.sent(FEW, now);
        assert_eq!(tombstones.before(1, now), Before::Ask);
        assert_eq!(tombstones.before(0, now), Before::Send);
        let later = now + 2 * lasts(USUAL_TIME);
        assert_eq!(tombstones.before(FEW, later), Before::Ask, "nothing has cleared them away");
        tombstones.cleared(now + SECOND);
        assert_eq!(tombstones.before(FEW, later), Before::Send);
    }

    #[test]
    fn many_lower_it_and_more_wait() {
        let (mut tombstones, now) = (Tombstones::default(), Instant::now());
        tombstones.heap(HEAP);
        tombstones.sent(MOST - 10, now);
        assert_eq!(tombstones.before(10, now), Before::Send);
        assert_eq!(tombstones.before(11, now), Before::Lower);
        tombstones.set_lowered(true);
        assert_eq!(tombstones.before(11, now), Before::Wait(now + lasts(LOWERED_TIME)));
        let later = now + lasts(LOWERED_TIME);
        assert_eq!(tombstones.before(11, later), Before::Flush);
        tombstones.cleared(later);
        assert_eq!(tombstones.before(11, later), Before::Send);
        assert_eq!(tombstones.restore_at(now), Some(now + lasts(USUAL_TIME)));
        assert_eq!(tombstones.before(3 * MOST, now + lasts(LOWERED_TIME)), Before::Send);
    }

    #[test]
    fn never_more_than_its_share_and_at_the_end_as_before() {
        let (mut tombstones, mut now) = (Tombstones::default(), Instant::now());
        let began = now;
        tombstones.heap(HEAP);
        let mut left = 2_000_000;
        while left > 0 {
            match tombstones.before(10_000, now) {
                Before::Send => {
                    tombstones.sent(10_000, now);
                    left -= 10_000;
                    now += SECOND / 10;
                }
                Before::Lower => tombstones.set_lowered(true),
                Before::Flush => tombstones.cleared(now),
                Before::Wait(until) => {
                    assert!(until > now);
                    now = until;
                }
                Before::Ask => panic!("it is known"),
            }
            let time = if tombstones.lowered { LOWERED_TIME } else { USUAL_TIME };
            assert!(tombstones.live(time, now) <= MOST);
        }
        assert!(now - began < 150 * SECOND, "{:?}", now - began);
        now += SECOND;
        tombstones.cleared(now);
        let restore = tombstones.restore_at(now).unwrap();
        assert!(restore > now && restore <= now + lasts(USUAL_TIME));
        assert_eq!(tombstones.restore_at(restore), Some(restore));
    }
}
