//! When a reader should let bytes gather.
//!
//! A walsender sends each row by itself, so whoever reads as fast as it sends is woken for each row: many times the
//! CPU time that the row is worth. While bytes come in fast, the socket's low-water mark is raised, so that one
//! wake-up brings some hundred rows. Measured with a backlog of a million rows of 127 bytes over TCP on two cores: 0.4
//! µs of CPU time and 5,000 wake-ups with it, 4 µs and 440,000 wake-ups without.
//!
//! What must hold: **an idle stream is never held up**. The mark is 1 until several reads have followed each other
//! within a millisecond, and while it is raised, what has arrived is fetched after [`HOLD`] at the latest, full or not.
//!
//! Where the mark has no effect (unix sockets), nothing is held: 1.7 µs. Sleeping between reads instead costs the same
//! there, because the reactor is woken all the same, and the small socket buffer makes the server wait: a third of the
//! rows per second.

use std::time::Duration;

use tokio::time::Instant;

use crate::transport::Transport;

/// What is waited for while bytes come in fast. Half of the receive buffer that Linux starts with, so that the sender
/// can go on while we read.
const LOW_WATER: usize = 64 * 1024;

/// The longest that a byte is held. Tokio's timer rounds up to the next millisecond, so up to 2 ms.
const HOLD: Duration = Duration::from_millis(1);

/// So many reads within [`WINDOW`] are a burst; a transaction of one row takes two or three.
const BURST_READS: u32 = 8;
const WINDOW: Duration = Duration::from_millis(1);

/// A gathering that the timer ended, with less than this in it, was the end of the burst.
const WORTHWHILE: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Pace {
    enabled: bool,
    /// Reads since the window began.
    reads: u32,
    window: Option<Instant>,
    state: State,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The mark is 1.
    #[default]
    Prompt,
    /// The mark is raised; by this time it comes down.
    Gathering(Instant),
    /// The mark came down at this moment, because the time was over.
    Released(Instant),
}

impl Pace {
    pub(crate) fn enable(&mut self, on: bool, transport: &Transport) {
        if !on && matches!(self.state, State::Gathering(_)) {
            self.release(transport);
        }
        self.enabled = on;
        self.state = State::Prompt;
    }

    /// Until when the reader may sleep; none if it will be woken by the first byte.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.state {
            State::Gathering(until) => Some(until),
            State::Prompt | State::Released(_) => None,
        }
    }

    /// The time is over: take what is there.
    pub(crate) fn release(&mut self, transport: &Transport) {
        transport.set_receive_low_water(1);
        self.state = State::Released(Instant::now());
    }

    /// `count` bytes were read: shall the next read wait for many?
    pub(crate) fn after_read(&mut self, count: usize, transport: &Transport) {
        if !self.enabled {
            return;
        }
        let now = Instant::now();
        let gather = match self.state {
            State::Gathering(_) => {
                self.state = State::Gathering(now + HOLD);
                return;
            }
            State::Released(when) => count >= WORTHWHILE && now.duration_since(when) < WINDOW,
            State::Prompt => self.is_burst(now),
        };
        self.state = State::Prompt;
        if gather {
            if transport.set_receive_low_water(LOW_WATER) {
                self.state = State::Gathering(now + HOLD);
            } else {
                self.enabled = false;
            }
        }
    }

    fn is_burst(&mut self, now: Instant) -> bool {
        match self.window {
            Some(start) if now.duration_since(start) < WINDOW => self.reads += 1,
            _ => {
                self.window = Some(now);
                self.reads = 1;
            }
        }
        self.reads >= BURST_READS
    }
}
