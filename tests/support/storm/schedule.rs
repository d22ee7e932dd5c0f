//! Which faults happen, when, and for how long.

use std::fmt;
use std::time::Duration;

use crate::support::fault::{Answers, Canned, End, Fault};

/// What is done to one of the processes or to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// SIGKILL, and started again.
    KillConnector,
    /// SIGTERM, and started again.
    StopConnector,
    Source(Fault),
    Target(Fault),
    EndSource(End),
    EndTarget(End),
    /// The server's process that reads the log for us; with a trigger queue, all of the connector's sessions.
    EndWalsender,
    /// Immediate shutdown: the server recovers when it is started again.
    CrashPostgres,
    /// Fast shutdown.
    StopPostgres,
    /// SIGKILL, and started again.
    KillSearch,
    /// The block that a full disk brings: on the indices, and on the state document too.
    DiskFull,
    /// Documents do not survive it: the connector stops, and a resync is what it asks for.
    AddColumn,
    /// To the publication and, for the next start, to the configuration.
    AddTable,
}

impl Strike {
    /// For counting.
    pub fn name(self) -> &'static str {
        match self {
            Strike::KillConnector => "connector killed",
            Strike::StopConnector => "connector stopped",
            Strike::Source(Fault::HalfOpen) => "source half-open",
            Strike::Source(_) => "source slow or away",
            Strike::Target(Fault::HalfOpen) => "target half-open",
            Strike::Target(Fault::Answered(Answers::Instead(_) | Answers::After(_), _)) => {
                "answers replaced"
            }
            Strike::Target(Fault::Answered(..)) => "answers lost or cut",
            Strike::Target(_) => "target slow or away",
            Strike::EndSource(_) => "source cut",
            Strike::EndTarget(_) => "target cut",
            Strike::EndWalsender => "session ended by the server",
            Strike::CrashPostgres => "Postgres crashed",
            Strike::StopPostgres => "Postgres stopped",
            Strike::KillSearch => "search server killed",
            Strike::DiskFull => "disk full",
            Strike::AddColumn => "column added",
            Strike::AddTable => "table added",
        }
    }

    /// What a trigger queue does not survive without a person, by design, becomes something else.
    fn for_queue(self) -> Self {
        match self {
            Strike::AddColumn | Strike::AddTable => Strike::KillConnector,
            other => other,
        }
    }

    fn draw(rng: &mut fastrand::Rng) -> Self {
        match rng.u32(..100) {
            0..20 => Strike::KillConnector,
            20..25 => Strike::StopConnector,
            25..37 => Strike::Source(on_a_line(rng)),
            37..49 => Strike::Target(on_a_line(rng)),
            49..71 => Strike::Target(Fault::Answered(answers(rng), rng.u8(5..=100))),
            71..77 => Strike::EndSource(end(rng)),
            77..83 => Strike::EndTarget(end(rng)),
            83..86 => Strike::EndWalsender,
            86..90 => Strike::CrashPostgres,
            90..92 => Strike::StopPostgres,
            92..95 => Strike::DiskFull,
            95..97 => Strike::KillSearch,
            97..99 => Strike::AddColumn,
            _ => Strike::AddTable,
        }
    }
}

fn on_a_line(rng: &mut fastrand::Rng) -> Fault {
    match rng.u32(..10) {
        0..2 => Fault::Delayed(Duration::from_millis(rng.u64(20..400))),
        2..4 => Fault::Slow(rng.u32(2_000..200_000)),
        4..6 => Fault::Stalled,
        6..8 => Fault::HalfOpen,
        _ => Fault::Refused,
    }
}

fn answers(rng: &mut fastrand::Rng) -> Answers {
    let canned = match rng.u32(..6) {
        0..2 => Canned::TooMany,
        2 => Canned::Page,
        3 => Canned::Gateway(502),
        4 => Canned::Gateway(503),
        _ => Canned::Gateway(504),
    };
    match rng.u32(..12) {
        0..3 => Answers::Lost,
        3 => Answers::Never,
        4..6 => Answers::Truncated(rng.usize(..600)),
        6..8 => Answers::HalfAsked(rng.usize(..3_000)),
        8..10 => Answers::Instead(canned),
        _ => Answers::After(canned),
    }
}

fn end(rng: &mut fastrand::Rng) -> End {
    if rng.bool() { End::Cut } else { End::Reset }
}

/// One or two strikes at the same moment.
#[derive(Clone, Debug)]
pub struct Event {
    /// Since the event before was over.
    pub after: Duration,
    pub strikes: Vec<Strike>,
    /// Until everything is as it should be again.
    pub lasts: Duration,
}

/// Changes are captured by triggers.
pub const QUEUE: &str = "queue";
/// So it is with each seed that this divides.
const OF_QUEUE: u64 = 7;

/// What one seed means.
pub struct Schedule {
    pub seed: u64,
    pub events: Vec<Event>,
    /// The first copy is still to come when it begins.
    pub copies: bool,
    /// How the log is read, or [`QUEUE`].
    pub way: &'static str,
    /// Operations in a bulk at most.
    pub batch_rows: u64,
    /// Requests in flight at most.
    pub lanes: u64,
    /// Between two transactions of a session, at most.
    pub pause: Duration,
    /// Rows of the largest statement.
    pub many: u64,
    /// Of the sessions and of the proxies.
    pub rng: fastrand::Rng,
}

impl Schedule {
    pub fn of(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        // Requests are what takes time: the fewer rows to each, the fewer rows.
        let batch_rows: u64 = [5, 20, 60, 300, 10_000][rng.usize(..5)];
        let most = if batch_rows < 10 { 250 } else { 60 };
        let events = (0..rng.usize(2..=5)).map(|_| event(&mut rng)).collect();
        let schedule = Schedule {
            seed,
            events,
            copies: rng.u32(..6) == 0,
            way: ["pgoutput", "pgoutput", "streaming", "test_decoding"][rng.usize(..4)],
            batch_rows,
            lanes: [1, 2, 2, 5][rng.usize(..4)],
            pause: Duration::from_millis(rng.u64(5..most)),
            many: (batch_rows * 15).min(900),
            rng: rng.fork(),
        };
        if seed.is_multiple_of(OF_QUEUE) { schedule.by_queue() } else { schedule }
    }

    fn by_queue(mut self) -> Self {
        self.way = QUEUE;
        for strike in self.events.iter_mut().flat_map(|event| &mut event.strikes) {
            *strike = strike.for_queue();
        }
        self
    }
}

fn event(rng: &mut fastrand::Rng) -> Event {
    let mut strikes = vec![Strike::draw(rng)];
    if rng.u32(..3) == 0 {
        strikes.push(Strike::draw(rng));
    }
    Event {
        after: Duration::from_millis(rng.u64(50..700)),
        strikes,
        lasts: Duration::from_millis(rng.u64(30..1200)),
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { seed, way, batch_rows, lanes, copies, pause, .. } = self;
        writeln!(
            f,
            "seed {seed}: {way}, {batch_rows} rows to a bulk, {lanes} lanes, pauses up to {pause:?}"
        )?;
        if *copies {
            writeln!(f, "  begins with the first copy")?;
        }
        for Event { after, strikes, lasts } in &self.events {
            writeln!(f, "  after {after:?} for {lasts:?}: {strikes:?}")?;
        }
        Ok(())
    }
}
