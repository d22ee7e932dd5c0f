//! What takes changes from tables: entries of a trigger queue, or events.

use apply::{Applier, Version};
use change::Lsn;
use outbox::{Bell, Document, Entry, Session, events::Place};

use super::events::Taken as Events;
use super::queue::Entries;
use crate::failure::Failure;
use crate::run::Context;
use crate::source::Source;

/// See the module.
pub(super) enum Taker {
    Queue(Box<Entries>),
    Events(Box<Events>),
}

/// What a key becomes.
pub(super) struct Write {
    /// The planned table.
    pub(super) at: usize,
    pub(super) id: Vec<u8>,
    pub(super) version: Version,
    pub(super) document: Document,
}

/// What is to be written at once.
pub(super) struct Batch {
    /// Planned tables that were truncated before.
    pub(super) emptied: Vec<usize>,
    /// One for each key.
    pub(super) writes: Vec<Write>,
    /// Everything that commits before this has been taken, if it is `complete`.
    pub(super) before: Lsn,
    /// The log is on disk up to here.
    pub(super) flushed: Lsn,
    /// There was no more.
    pub(super) complete: bool,
    /// All that could be taken when it was last looked for has been.
    pub(super) at_end: bool,
    /// Before what comes next, a key may be in an older state than it was.
    pub(super) within: bool,
    /// There was more, which can't be taken before some transactions have ended.
    pub(super) held: bool,
    pub(super) receipt: Receipt,
}

/// What to forget when the batch is in the index.
pub(super) enum Receipt {
    Entries(Vec<Entry>),
    /// None: nothing was taken.
    Place(Option<Place>),
}

impl Batch {
    /// Nothing was there.
    pub(super) fn is_empty(&self) -> bool {
        match &self.receipt {
            Receipt::Entries(entries) => entries.is_empty(),
            Receipt::Place(place) => place.is_none(),
        }
    }
}

impl Taker {
    /// The name of what is read, for [`apply::State::capture`], once it is there and nothing stands against reading it.
    pub(super) async fn check(
        &mut self,
        context: &Context,
        source: &Source,
    ) -> Result<String, Failure> {
        match self {
            Taker::Queue(entries) => entries.check(context, source).await,
            Taker::Events(events) => events.check(context).await,
        }
    }

    /// Looks for tables that are not captured as they should be any more, now and then.
    pub(super) async fn look(&mut self, context: &Context, source: &Source) -> Result<(), Failure> {
        match self {
            Taker::Queue(entries) => entries.look(context, source).await,
            Taker::Events(events) => events.look(context).await,
        }
    }

    /// A session that goes on from `place`, of those that know one.
    pub(super) async fn connect(
        context: &Context,
        source: &Source,
        place: &str,
    ) -> Result<Self, Failure> {
        match &context.events {
            None => Ok(Taker::Queue(Box::new(Entries::connect(&context.config, source).await?))),
            Some(events) => {
                let events = Events::connect(source, events.clone(), place).await?;
                Ok(Taker::Events(Box::new(events)))
            }
        }
    }

    /// Goes on from there, if it knows a place.
    pub(super) async fn go_on(&mut self, context: &Context, place: &str) -> Result<(), Failure> {
        match self {
            Taker::Queue(_) => Ok(()),
            Taker::Events(events) => events.go_on(context, place).await,
        }
    }

    /// What is there now is covered by a copy that begins after this: gives the place to go on from then.
    pub(super) async fn before_copy(&mut self, context: &Context) -> Result<String, Failure> {
        match self {
            Taker::Queue(entries) => {
                entries.consumer.remember().await?;
                Ok(String::new())
            }
            Taker::Events(events) => Ok(events.before_copy(context).await?.to_string()),
        }
    }

    /// The copy is complete.
    pub(super) async fn after_copy(&mut self) -> Result<(), Failure> {
        match self {
            Taker::Queue(entries) => Ok(entries.consumer.forget().await?),
            Taker::Events(_) => Ok(()),
        }
    }

    pub(super) fn session(&mut self) -> &mut Session {
        match self {
            Taker::Queue(entries) => entries.consumer.session(),
            Taker::Events(events) => events.reader.session(),
        }
    }

    /// How writers wake it; none when it looks by itself.
    pub(super) fn bell(&self, context: &Context) -> Option<Bell> {
        match self {
            Taker::Queue(entries) => Some(entries.queue.bell()),
            Taker::Events(events) => {
                context.config.events.is_notified().then(|| events.reader.events().bell())
            }
        }
    }

    /// What there is.
    pub(super) async fn take(&mut self, context: &Context) -> Result<Batch, Failure> {
        match self {
            Taker::Queue(entries) => entries.take(context).await,
            Taker::Events(events) => events.take(context).await,
        }
    }

    /// The batch is in the index for good.
    pub(super) async fn done(
        &mut self,
        receipt: &Receipt,
        applier: &mut Applier,
    ) -> Result<(), Failure> {
        match (self, receipt) {
            (Taker::Queue(entries), Receipt::Entries(taken)) => {
                Ok(entries.consumer.done(taken).await?)
            }
            (Taker::Events(events), Receipt::Place(Some(place))) => {
                events.reader.go_on(*place);
                applier.read_to(place.to_string());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// A little of what can wait.
    pub(super) async fn tidy(
        &mut self,
        context: &Context,
        applier: &Applier,
    ) -> Result<(), Failure> {
        match self {
            Taker::Queue(_) => Ok(()),
            Taker::Events(events) => events.forget(context, applier).await,
        }
    }
}
