//! What the applier does next. No I/O and no clock of its own, so it is tested without either.
//!
//! At most one of sending and showing is under way: a refresh beside a bulk would show the part of the bulk that is
//! already in. Showing goes first when it is due, since under load there is always something to send.

use std::time::{Duration, Instant};

/// What there is to do and what is under way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    /// A bulk is under way.
    pub(crate) sending: bool,
    /// A refresh or alias swap is under way.
    pub(crate) showing: bool,
    /// The open batch has reached a limit.
    pub(crate) full: bool,
    /// The open batch holds a complete transaction.
    pub(crate) complete: bool,
    /// Nothing more has arrived.
    pub(crate) dry: bool,
    /// What was sent last ends at a commit.
    pub(crate) at_commit: bool,
    /// Something is in the index that searches do not find yet.
    pub(crate) unseen: bool,
    /// Everything that an earlier session can have sent has been sent again.
    pub(crate) past_replay: bool,
    /// The stream is far behind the source.
    pub(crate) far_behind: bool,
}

/// See [`Pace::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send the batch.
    Send,
    /// Refresh.
    Show,
    /// Nothing before this moment, or before something else happens.
    Wait(Option<Instant>),
}

/// How often searches get to see something new.
#[derive(Debug)]
pub(crate) struct Pace {
    /// The longest time under load.
    every: Duration,
    shown_at: Option<Instant>,
    /// How long the last refresh took.
    took: Duration,
}

/// Of the time at rest, refreshes take at most one part in this many.
const SHARE: u32 = 6;
/// Far behind, refreshes come this many times more seldom.
const FAR_BEHIND: u32 = 10;

impl Pace {
    pub(crate) fn new(every: Duration) -> Self {
        Pace { every, shown_at: None, took: Duration::ZERO }
    }

    /// A refresh that began at `began` has ended at `ended`.
    pub(crate) fn shown(&mut self, began: Instant, ended: Instant) {
        self.shown_at = Some(ended);
        self.took = ended.saturating_duration_since(began);
    }

    pub(crate) fn next(&self, at: Moment) -> Next {
        if at.sending || at.showing {
            return Next::Wait(None);
        }
        let may_show = at.unseen && at.at_commit && at.past_replay;
        let idle = at.dry && !at.complete;
        let due = self.due(idle, at.far_behind);
        if may_show && due.is_none_or(|due| due <= at.now) {
            return Next::Show;
        }
        if at.full || (at.dry && at.complete) {
            return Next::Send;
        }
        Next::Wait(due.filter(|_| may_show))
    }

    /// When the next refresh may be; none for at once. At rest it comes as soon as its share of the time allows, so a
    /// single change is seen at once and a trickle of them does not keep the server refreshing.
    fn due(&self, idle: bool, far_behind: bool) -> Option<Instant> {
        let pause = match (idle, far_behind) {
            (true, _) => (self.took * (SHARE - 1)).min(self.every),
            (false, true) => self.every * FAR_BEHIND,
            (false, false) => self.every,
        };
        self.shown_at.map(|at| at + pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn rest(now: Instant) -> Moment {
        Moment {
            now,
            sending: false,
            showing: false,
            full: false,
            complete: false,
            dry: true,
            at_commit: true,
            unseen: false,
            past_replay: true,
            far_behind: false,
        }
    }

    #[test]
    fn a_single_change_is_sent_and_shown_at_once() {
        let now = Instant::now();
        let pace = Pace::new(SECOND);
        assert_eq!(pace.next(rest(now)), Next::Wait(None));
        assert_eq!(pace.next(Moment { complete: true, ..rest(now) }), Next::Send);
        assert_eq!(pace.next(Moment { unseen: true, ..rest(now) }), Next::Show);
    }

    #[test]
    fn nothing_is_shown_beside_a_bulk_within_a_transaction_or_in_a_replay() {
        let now = Instant::now();
        let pace = Pace::new(SECOND);
        let unseen = Moment { unseen: true, ..rest(now) };
        assert_eq!(pace.next(Moment { sending: true, ..unseen }), Next::Wait(None));
        assert_eq!(pace.next(Moment { at_commit: false, ..unseen }), Next::Wait(None));
        assert_eq!(pace.next(Moment { past_replay: false, ..unseen }), Next::Wait(None));
        assert_eq!(pace.next(Moment { showing: true, full: true, ..unseen }), Next::Wait(None));
    }

    #[test]
    fn under_load_a_refresh_is_due_once_a_second_and_goes_first() {
        let now = Instant::now();
        let mut pace = Pace::new(SECOND);
        pace.shown(now, now);
        let load = Moment { unseen: true, full: true, dry: false, ..rest(now) };
        assert_eq!(pace.next(load), Next::Send);
        assert_eq!(pace.next(Moment { now: now + SECOND, ..load }), Next::Show);
        let behind = Moment { far_behind: true, ..load };
        assert_eq!(pace.next(Moment { now: now + SECOND, ..behind }), Next::Send);
        assert_eq!(pace.next(Moment { now: now + 10 * SECOND, ..behind }), Next::Show);
    }

    #[test]
    fn a_trickle_leaves_the_server_most_of_the_time() {
        let began = Instant::now();
        let ended = began + Duration::from_millis(20);
        let mut pace = Pace::new(SECOND);
        pace.shown(began, ended);
        let due = ended + Duration::from_millis(100);
        let trickle = Moment { unseen: true, ..rest(ended) };
        assert_eq!(pace.next(trickle), Next::Wait(Some(due)));
        assert_eq!(pace.next(Moment { now: due, ..trickle }), Next::Show);
    }

    #[test]
    fn what_has_not_ended_waits_for_more_unless_it_fills_a_request() {
        let now = Instant::now();
        let pace = Pace::new(SECOND);
        assert_eq!(pace.next(Moment { complete: true, dry: false, ..rest(now) }), Next::Wait(None));
        assert_eq!(pace.next(Moment { full: true, dry: false, ..rest(now) }), Next::Send);
    }
}
