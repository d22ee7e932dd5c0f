//! One run: processes one after the other, the last of which is not disturbed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use change::Lsn;
use fastrand::Rng;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::http::Http;
use super::log::{Change, Log, Transaction};
use super::server::{Faults, Server};
use crate::applier::tests::{NoRows, plan, state};
use crate::indices::{Indices, Managed};
use crate::letters::Letters;
use crate::state::{State, Store};
use crate::target::{Target, TargetConfig};
use crate::{Applier, ApplierConfig, Error, Kind, Limits, Session};

/// How long a request may be executed after it was given up.
const LIMIT: Duration = Duration::from_secs(1);

/// The same where a case has to be over before.
const PATIENT: Duration = Duration::from_secs(4);

/// What a run is made of.
#[derive(Clone)]
pub(super) struct Run {
    pub(super) log: Log,
    pub(super) faults: Faults,
    /// Of so many thousand transactions or steps, the process is killed in between.
    pub(super) crashes: u32,
    pub(super) limits: Limits,
    pub(super) zombie_limit: Duration,
}

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) crashes: u64,
    pub(super) executed_late: u64,
    pub(super) brought_back: u64,
}

impl Outcome {
    pub(super) fn add(&mut self, other: &Outcome) {
        self.crashes += other.crashes;
        self.executed_late += other.executed_late;
        self.brought_back += other.brought_back;
    }
}

impl Run {
    /// Undisturbed.
    pub(super) fn of(log: Log) -> Self {
        let limits = Limits { bytes: 1 << 20, rows: 4 };
        Run { log, faults: Faults::default(), crashes: 0, limits, zombie_limit: LIMIT }
    }
}

/// How a process ended.
enum End {
    Killed,
    Done,
}

/// Tells what happened, or what went wrong.
pub(super) async fn run(run: Run, mut random: Rng) -> Result<Outcome, String> {
    let mut server = Server::new(run.log.clone(), random.fork());
    server.faults = run.faults;
    server.keeps_late = LIMIT * 4 / 5;
    let http = Http::start(server).await;
    let mut outcome = Outcome::default();
    let mut known = 0;
    let result = loop {
        // After many crashes one is left alone.
        let calm = outcome.crashes > 10;
        if calm {
            http.server.lock().unwrap().faults = Faults::default();
        }
        let crashes = if calm { 0 } else { run.crashes };
        let mut process = Process { run: &run, http: &http, random: random.fork(), crashes };
        let ended = process.live(&mut known).await;
        http.server.lock().unwrap().journal.push("the process has ended".to_owned());
        match ended {
            Ok(End::Killed) => outcome.crashes += 1,
            Ok(End::Done) => break Ok(()),
            // A process that can't begin because an answer was lost is started again.
            Err(error) if error.kind() == Kind::Transient && !calm => outcome.crashes += 1,
            Err(error) => break Err(error.to_string()),
        }
    };
    let server = http.server.lock().unwrap();
    outcome.executed_late = server.executed_late;
    outcome.brought_back = server.brought_back;
    if let Some(wrong) = server.wrong.first() {
        return Err(wrong.clone());
    }
    result?;
    let expected: BTreeMap<&str, (u64, u64)> =
        run.log.end().rows.iter().map(|(key, row)| (*key, *row)).collect();
    for (what, found) in ["the index holds", "searches find"].iter().zip(server.documents()) {
        if found != expected {
            let journal = server.journal.join("\n");
            return Err(format!("{what} {found:?}, the table is {expected:?}\n{journal}"));
        }
    }
    Ok(outcome)
}

struct Process<'a> {
    run: &'a Run,
    http: &'a Http,
    random: Rng,
    crashes: u32,
}

impl Process<'_> {
    async fn live(&mut self, known: &mut usize) -> Result<End, Error> {
        let mut applier = self.start().await?;
        loop {
            // What an earlier process received is there still, and something more.
            let log = &self.run.log;
            let many = log.transactions.len();
            *known = (*known + self.random.usize(..3)).clamp(log.up_to(applier.confirmed()), many);
            let flushed = known.checked_sub(1).map_or(log.copied_at, |at| log.transactions[at].end);
            applier.begin_session(Session { replay_end: flushed });
            if let End::Killed = self.session(&mut applier, known).await? {
                return Ok(End::Killed);
            }
            if *known == many && self.random.bool() {
                break;
            }
        }
        self.come_to_rest(&mut applier).await?;
        Ok(End::Done)
    }

    async fn start(&mut self) -> Result<Applier, Error> {
        let urls = vec![self.http.url.clone()];
        let config = TargetConfig { urls, credentials: None, ca_file: None };
        let target = Arc::new(Target::connect(&config).await?);
        let mut store = Store::new(target.clone(), "1", "d", "s");
        let at = self.run.log.copied_at;
        let found = store.load().await?;
        let state = found.unwrap_or_else(|| {
            let mut state = state();
            state.indexes[0].uuid = "U0".to_owned();
            State { applied_lsn: at, visible_lsn: at, sent_below: at, ..state }
        });
        let entry = state.indexes[0].clone();
        let indices = Indices::new(vec![Managed::new(plan(), entry, 0)]);
        let config = ApplierConfig {
            lanes: 2,
            check_every: Duration::from_secs(60),
            limits: self.run.limits,
            refresh: Duration::from_millis(5),
            keep: Duration::ZERO,
            zombie_limit: self.run.zombie_limit,
        };
        let letters = Letters::new(target.clone(), indices.clone(), 10);
        let rows = Arc::new(NoRows);
        let mut applier = Applier::new(config, target, store, indices, state, rows, letters);
        applier.recall_suspects().await?;
        Ok(applier)
    }

    /// From the confirmed position to where the log ends, which grows meanwhile.
    async fn session(&mut self, applier: &mut Applier, known: &mut usize) -> Result<End, Error> {
        let log = &self.run.log;
        let mut next = log.up_to(applier.confirmed());
        while next < *known {
            if !self.transaction(applier, &log.transactions[next]).await? {
                return Ok(End::Killed);
            }
            next += 1;
            self.check_confirmed(applier, *known);
            if self.random.u8(..3) == 0 {
                *known = (*known + self.random.usize(..3)).min(log.transactions.len());
            }
            if self.random.u8(..10) == 0 {
                applier.idle(log.transactions[next - 1].end);
            }
        }
        // As between two sessions of one process.
        if self.killed() {
            return Ok(End::Killed);
        }
        applier.drain().await?;
        self.check_confirmed(applier, *known);
        Ok(End::Done)
    }

    /// False when killed.
    async fn transaction(
        &mut self,
        applier: &mut Applier,
        transaction: &Transaction,
    ) -> Result<bool, Error> {
        let stop = CancellationToken::new();
        applier.begin(transaction.commit, 7, Duration::from_secs(u64::MAX / 4));
        for change in &transaction.changes {
            match change {
                Change::Write(key, number) => {
                    let at = applier.next_change();
                    let source = format!("{{\"n\":{number}}}");
                    let Ok(()) = applier.index(0, key.as_bytes(), at, |out| {
                        out.extend_from_slice(source.as_bytes());
                        Ok::<_, Infallible>(())
                    });
                }
                Change::Delete(key) => {
                    let at = applier.next_change();
                    applier.delete(0, key.as_bytes(), at);
                }
                Change::Truncate => {
                    applier.truncate(0, &stop).await?;
                }
            }
            applier.make_room(&stop).await?;
            if !self.steps(applier).await? {
                return Ok(false);
            }
        }
        applier.commit(transaction.end);
        self.steps(applier).await
    }

    /// Some steps, each of which may be the last. False when killed.
    async fn steps(&mut self, applier: &mut Applier) -> Result<bool, Error> {
        applier.set_dry(self.random.bool());
        for _ in 0..self.random.usize(..4) {
            let most = Duration::from_millis(self.random.u64(..15));
            if let Ok(stepped) = timeout(most, applier.step()).await {
                stepped?;
            }
        }
        Ok(!self.killed())
    }

    fn killed(&mut self) -> bool {
        self.random.u32(..1000) < self.crashes
    }

    /// What is confirmed is there, unless one of the transactions that are `known` has changed it since.
    fn check_confirmed(&self, applier: &Applier, known: usize) {
        let confirmed = self.run.log.up_to(applier.confirmed());
        self.http.server.lock().unwrap().must_hold(confirmed, known.max(confirmed));
    }

    /// Until no request can be executed late any more.
    async fn come_to_rest(&mut self, applier: &mut Applier) -> Result<(), Error> {
        self.http.server.lock().unwrap().faults = Faults::default();
        let rest = async {
            loop {
                timeout(Duration::from_millis(10), applier.step()).await.unwrap_or(Ok(()))?;
                let mut server = self.http.server.lock().unwrap();
                if self.random.u8(..4) == 0 {
                    server.execute_all_late();
                }
                if !server.has_late() && applier.suspects() == 0 {
                    return Ok::<_, Error>(());
                }
            }
        };
        rest.await?;
        applier.drain().await
    }
}

/// A server that has what was copied.
pub(super) async fn serve(log: &Log) -> Http {
    Http::start(Server::new(log.clone(), Rng::with_seed(0))).await
}

/// What a case does to one row that is written and then deleted by another process, which the write comes back to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Before {
    /// The process before was killed while it had no answer.
    Killed,
    /// It got one when it tried again, and kept that it had.
    Saved,
}

/// The first transaction is given up once, the process ends, and another one does the second. Then what was given up is
/// executed, with no tombstone left. Gives how many documents that brought back, and how many are left in the end.
pub(super) async fn late_after(before: Before, log: &Log) -> Result<(u64, usize), Error> {
    let http = serve(log).await;
    {
        let mut server = http.server.lock().unwrap();
        (server.keeps_late, server.late_when_asked) = (PATIENT, true);
        server.faults.given_up = 1000;
    }
    let run = Run { zombie_limit: PATIENT, ..Run::of(log.clone()) };
    let mut process = Process { run: &run, http: &http, random: Rng::with_seed(0), crashes: 0 };
    let mut applier = process.start().await?;
    applier.begin_session(Session { replay_end: log.copied_at });
    process.transaction(&mut applier, &log.transactions[0]).await?;
    applier.set_dry(true);
    while !http.server.lock().unwrap().has_late() {
        let _ = timeout(Duration::from_millis(10), applier.step()).await;
    }
    http.server.lock().unwrap().faults = Faults::default();
    if before == Before::Saved {
        applier.drain().await?;
    }
    drop(applier);
    let mut applier = process.start().await?;
    applier.begin_session(Session { replay_end: log.transactions[0].end });
    let from = log.up_to(applier.confirmed());
    for transaction in &log.transactions[from..] {
        process.transaction(&mut applier, transaction).await?;
    }
    applier.drain().await?;
    http.server.lock().unwrap().execute_all_late();
    process.come_to_rest(&mut applier).await?;
    let server = http.server.lock().unwrap();
    assert!(server.wrong.is_empty(), "{:?}", server.wrong);
    let left = server.documents().iter().map(BTreeMap::len).max();
    Ok((server.brought_back, left.unwrap_or(0)))
}

/// One undisturbed process that has all of the log before it and has sent nothing of it: everything is live.
pub(super) async fn follow(log: &Log, http: &Http, from: Lsn) -> Result<(), Error> {
    let run = Run::of(log.clone());
    let mut process = Process { run: &run, http, random: Rng::with_seed(0), crashes: 0 };
    let mut applier = process.start().await?;
    applier.begin_session(Session { replay_end: from });
    for transaction in &log.transactions {
        process.transaction(&mut applier, transaction).await?;
    }
    applier.drain().await
}
