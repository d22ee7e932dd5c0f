//! Sends deletes of suspect keys again, beside everything else: see [`crate::suspects`].
//!
//! These requests take no part in order, visibility or progress. Each delete is of a complete transaction, so whatever
//! else is in flight for its key is newer and wins, whichever comes first.

use std::time::Instant;

use change::Lsn;
use hyper::StatusCode;
use tracing::{info, warn};

use super::{Applier, Work};
use crate::Error;
use crate::bulk::{answer, write_deletion};
use crate::indices;
use crate::state::IndexState;
use crate::suspects::Again;
use crate::target::{SendError, Target};

/// Deletes in one request.
const MOST: usize = 5_000;

/// A request of deletes that were sent before.
pub(super) struct Request {
    pub(super) work: Work<Vec<Outcome>>,
    sent: Instant,
    deletes: Vec<Again>,
}

/// What became of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// There was nothing to delete, or something newer.
    Needless,
    /// The document had come back.
    Deleted,
    /// Not known, or not done.
    Failed,
}

impl Applier {
    /// Learns what an earlier process has kept. To be called before the first session.
    ///
    /// # Errors
    /// What stops the connector.
    pub async fn recall_suspects(&mut self) -> Result<(), Error> {
        if std::mem::replace(&mut self.recalled, true) {
            return Ok(());
        }
        let store = self.store.lock().await;
        store.sweep_suspects(&self.state.suspects).await?;
        for reference in &self.state.suspects {
            let document = store.read_suspects(&reference.id).await?;
            if document.is_none() {
                warn!(
                    id = reference.id,
                    "a document of deletes to be sent again is gone: for a while every delete is sent again"
                );
            }
            let names: Vec<String> =
                self.indices.with(|list| list.iter().map(|m| m.state.index.clone()).collect());
            let written = |index: &str| names.iter().any(|name| *name == *index);
            self.indices.suspects(|suspects| {
                suspects.recall(reference, document, written, Instant::now());
            });
        }
        Ok(())
    }

    /// What an earlier process may have sent, given that it can't have received anything that commits at or beyond
    /// `replay_end`.
    pub(super) fn suspect_earlier(&mut self, replay_end: Lsn) {
        let below = match self.state.sent_below {
            Lsn::ZERO => replay_end,
            _ if !self.state.capture.is_empty() => replay_end,
            sent_below => sent_below.min(replay_end),
        };
        if below > self.durable {
            self.indices.suspects(|suspects| suspects.earlier(below, Instant::now()));
        }
    }

    /// Deletes that are being sent again.
    pub fn suspects(&self) -> usize {
        self.indices.suspects(|suspects| suspects.len())
    }

    /// The indices that nothing is deleted from for now.
    pub fn held_deletes(&self) -> &[String] {
        &self.held_deletes
    }

    /// The batch holds deletes of an index with as many suspects as there may be: it waits.
    pub(super) fn holds_deletes(&mut self) -> bool {
        let full = self.indices.suspects(|suspects| suspects.has_full());
        let mut held = if full { self.batch.deletes_from() } else { Vec::new() };
        self.indices.suspects(|suspects| held.retain(|index| suspects.is_full(index)));
        if held != self.held_deletes {
            match held.is_empty() {
                true => info!("deletes go on"),
                false => warn!(
                    indices = held.join(", "),
                    "after requests without an answer so many deletes have to be sent again for a while \
                     (pipeline.zombie_limit) that no more are taken on: the stream waits"
                ),
            }
            self.held_deletes = held;
        }
        !self.held_deletes.is_empty()
    }

    /// Starts the next request when it is due, and tells when to look again.
    pub(super) fn send_again(&mut self, now: Instant) -> Option<Instant> {
        if self.again.is_some() {
            return None;
        }
        let (due, wake) = self.indices.suspects(|suspects| {
            let due = suspects.due(self.durable, MOST, now);
            (due, suspects.wake())
        });
        let Some(deletes) = due else { return wake };
        let states = self.indices.states();
        let named = |state: &IndexState| deletes.iter().any(|again| *again.index == *state.index);
        let states: Vec<IndexState> = states.into_iter().filter(named).collect();
        let (target, body) = (self.target.clone(), body(&deletes));
        let count = deletes.len();
        let work = Box::pin(async move {
            // A delete with an external version makes an index that is gone anew.
            match indices::still_there(&target, &states).await {
                Ok(()) => Ok(send(&target, body, count).await),
                Err(error) if error.kind() == crate::Kind::Transient => {
                    Ok(vec![Outcome::Failed; count])
                }
                Err(error) => Err(error),
            }
        });
        self.again = Some(Request { work, sent: now, deletes });
        None
    }

    /// The request has come back.
    pub(super) fn sent_again(&mut self, outcomes: Vec<Outcome>) {
        let Some(Request { sent, deletes, .. }) = self.again.take() else { return };
        let is_back = |(again, outcome): &(&Again, &Outcome)| {
            (**outcome == Outcome::Deleted).then(|| again.index.to_string())
        };
        let back: Vec<String> = deletes.iter().zip(&outcomes).filter_map(|p| is_back(&p)).collect();
        if !back.is_empty() {
            warn!(
                documents = back.len(),
                "a request that had been given up was executed late; what it brought back is deleted again"
            );
        }
        // What had come back, and may have been shown, may have been deleted by another request that is late as well.
        let touched = |index: &str| deletes.iter().any(|again| *again.index == *index);
        self.indices.with(|list| {
            for managed in list.iter_mut().filter(|managed| touched(&managed.state.index)) {
                managed.dirty = true;
            }
        });
        let outcomes = deletes.into_iter().zip(outcomes);
        let done = outcomes.map(|(again, outcome)| (again, outcome != Outcome::Failed));
        self.indices.suspects(|suspects| suspects.sent(sent, done));
    }
}

fn body(deletes: &[Again]) -> Vec<u8> {
    let mut body = Vec::with_capacity(deletes.iter().map(|again| again.id.len() + 120).sum());
    for Again { index, id, version } in deletes {
        write_deletion(index, id, *version, &mut body);
    }
    body
}

async fn send(target: &Target, body: Vec<u8>, count: usize) -> Vec<Outcome> {
    let answer = target.bulk(body.into()).await;
    let failed = |why: &str| {
        warn!(reason = why, "deletes could not be sent again; trying again later");
        vec![Outcome::Failed; count]
    };
    match answer {
        Ok(answer) if answer.status == StatusCode::OK => match answer::parse(&answer.body, count) {
            Ok(items) => items.iter().map(outcome).collect(),
            Err(why) => failed(&why),
        },
        Ok(answer) => failed(answer.status.as_str()),
        Err(error) => failed(&SendError::to_string(&error)),
    }
}

fn outcome(item: &answer::Item<'_>) -> Outcome {
    match (item.status, &item.error) {
        (200, None) => Outcome::Deleted,
        (404, None) | (409, Some(_)) => Outcome::Needless,
        _ => Outcome::Failed,
    }
}

#[cfg(test)]
#[path = "again_tests.rs"]
mod tests;
