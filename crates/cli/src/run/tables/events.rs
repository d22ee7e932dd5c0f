//! Events, each of which says what becomes of its key.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use apply::{Applier, Version};
use outbox::events::{Events, Place, Reader, Span};
use outbox::{Document, Error};
use tracing::warn;

use super::{Batch, Receipt, Write};
use crate::failure::Failure;
use crate::run::{ANEW, Context};
use crate::source::Source;

/// So many events are taken at once at most.
const MOST: u64 = 4_000;
/// Whoever holds events back for longer is named, and again after so long.
const SAY_AFTER: Duration = Duration::from_secs(10);
const SAY_EACH: Duration = Duration::from_secs(60);

/// Before the table is tried to be locked again.
const LOCK_AGAIN: Duration = Duration::from_millis(300);

/// See the module.
pub(super) struct Taken {
    pub(super) reader: Reader,
    /// Since when events are held back, and when that is said next.
    held: Option<Instant>,
    say_at: Instant,
    /// Everything before this place is deleted, if that is to be.
    forgotten: String,
}

impl Taken {
    /// A session that goes on from `place`; an empty one is where nothing has been read.
    pub(super) async fn connect(
        source: &Source,
        events: Events,
        place: &str,
    ) -> Result<Self, Failure> {
        let reader = Reader::connect(&source.info, events, parse(place)?).await?;
        let say_at = Instant::now();
        Ok(Taken { reader, held: None, say_at, forgotten: String::new() })
    }

    /// Goes on from there.
    pub(super) async fn go_on(&mut self, context: &Context, place: &str) -> Result<(), Failure> {
        self.reader.go_on(parse(place)?);
        if context.config.events.deletes() {
            self.reader.may_delete();
        }
        self.reader.look_at_numbers().await.map_err(explain)
    }

    /// The place to go on from after a copy that begins now. Writers may be in the way for a while.
    pub(super) async fn before_copy(&mut self, context: &Context) -> Result<Place, Failure> {
        loop {
            match self.reader.now().await {
                Ok(place) => {
                    self.reader.go_on(place);
                    if context.config.events.deletes() {
                        self.reader.may_delete();
                    }
                    return Ok(self.reader.place());
                }
                Err(Error::Locked(_)) => self.note(true).await?,
                Err(error) => return Err(explain(error)),
            }
            tokio::time::sleep(LOCK_AGAIN).await;
        }
    }

    /// Nothing stands against reading them.
    pub(super) async fn check(&mut self, context: &Context) -> Result<String, Failure> {
        let notified = context.config.events.is_notified();
        let events = self.reader.events().clone();
        let found = events.look(self.reader.session(), notified).await?;
        for warning in found.warnings {
            warn!("{warning}");
        }
        let told: Vec<String> = found
            .problems
            .iter()
            .chain(&found.without)
            .map(|(what, remedy)| format!("{what}. Remedy: {remedy}"))
            .collect();
        if !told.is_empty() {
            return Err(Failure::config(told.join("\nwal2es: "), "as said with each"));
        }
        if context.config.events.deletes() {
            self.must_be_alone().await?;
        }
        Ok(format!("events {} by {}", events.oid, context.config.events.order))
    }

    /// Others would miss what is deleted.
    async fn must_be_alone(&mut self) -> Result<(), Failure> {
        let events = self.reader.events().clone();
        let others = events.other_readers(self.reader.session()).await?;
        if others.is_empty() {
            return Ok(());
        }
        Err(Failure::config(
            format!(
                "other connectors read these events, which must not be deleted: {}",
                others.join(", ")
            ),
            format!(
                "use events.retention: keep; or, if they are not there any more, delete their rows in {}.reader",
                wal::identifier(&events.schema)
            ),
        ))
    }

    /// What was right at the start may have been changed.
    pub(super) async fn look(&mut self, context: &Context) -> Result<(), Failure> {
        self.reader.look_at_numbers().await.map_err(explain)?;
        let notified = context.config.events.is_notified();
        let events = self.reader.events().clone();
        let found = events.look(self.reader.session(), notified).await?;
        for (what, remedy) in found.without {
            warn!("{what}: {remedy}");
        }
        match found.problems.first() {
            None => Ok(()),
            Some((what, _)) => Err(Failure::reload(format!("the table of events: {what}"))),
        }
    }

    pub(super) async fn take(&mut self, context: &Context) -> Result<Batch, Failure> {
        let span = self.reader.take(MOST).await.map_err(explain)?;
        self.note(span.held).await?;
        let mut writes = Vec::new();
        if span.events > 0 {
            for at in 0..context.planned.len() {
                self.changes(context, at, &span, &mut writes).await?;
            }
        }
        let Span { next, events, before, flushed, complete, at_end, whole, held, .. } = span;
        let within = !whole;
        let receipt = Receipt::Place((events > 0).then_some(next));
        Ok(Batch {
            emptied: Vec::new(),
            writes,
            before,
            flushed,
            complete,
            at_end,
            within,
            held,
            receipt,
        })
    }

    /// What the events of the span make of the index of the planned table `at`: for each key what the last one says.
    async fn changes(
        &mut self,
        context: &Context,
        at: usize,
        span: &Span,
        writes: &mut Vec<Write>,
    ) -> Result<(), Failure> {
        let Some(one) = context.planned.get(at) else { return Ok(()) };
        let Some(projection) = &one.projection else { return Ok(()) };
        let mut last: HashMap<Vec<u8>, (u64, Document)> = HashMap::new();
        let keep = |change: outbox::events::Change| {
            last.insert(change.id, (change.version, change.document));
        };
        self.reader.changes(span, &one.table, &one.plan, projection, keep).await?;
        writes.extend(last.into_iter().map(|(id, (version, document))| Write {
            at,
            id,
            version: Version::from_raw(version),
            document,
        }));
        Ok(())
    }

    /// Says who holds events back, if that takes long.
    async fn note(&mut self, held: bool) -> Result<(), Failure> {
        let now = Instant::now();
        if !held {
            self.held = None;
            return Ok(());
        }
        let since = *self.held.get_or_insert(now);
        if now - since < SAY_AFTER || now < self.say_at {
            return Ok(());
        }
        self.say_at = now + SAY_EACH;
        let events = self.reader.events().clone();
        let by = events.held_by(self.reader.session()).await?;
        let by = by.map_or_else(
            || "a transaction that this role is not told of".to_owned(),
            |by| format!("{}, {} s old", by.who, by.seconds),
        );
        warn!(%by, "events are held back by a transaction that has not ended");
        Ok(())
    }

    /// Deletes some of the events that the saved state does not need any more, if that is to be.
    pub(super) async fn forget(
        &mut self,
        context: &Context,
        applier: &Applier,
    ) -> Result<(), Failure> {
        let read_to = applier.saved_read_to();
        if !context.config.events.deletes() || read_to == self.forgotten {
            return Ok(());
        }
        let place: Place = parse(read_to)?;
        // First the state says so.
        if !place.is_incomplete() {
            return Ok(());
        }
        if self.reader.delete_before(place).await? == 0 {
            read_to.clone_into(&mut self.forgotten);
        }
        Ok(())
    }
}

/// Events that were read up to there may have been deleted.
pub(crate) fn is_incomplete(place: &str) -> bool {
    place.parse::<Place>().is_ok_and(|place| place.is_incomplete())
}

fn parse(place: &str) -> Result<Place, Failure> {
    if place.is_empty() {
        return Ok(Place::default());
    }
    place.parse().map_err(|_| {
        Failure::stop(
            format!("the state says that events were read to {place:?}, which is no place"),
            ANEW,
        )
    })
}

/// What to do about it.
fn explain(error: Error) -> Failure {
    match error {
        Error::Foreign { table, column, next } => Failure::stop(
            format!(
                "{table} has events of transactions from {next} on, which this server has not begun: they were restored from \
                 another one, and nobody knows which of them are there"
            ),
            format!(
                "UPDATE {} SET {column} = pg_current_xact_id() WHERE {column} >= '{next}'::xid8, then `wal2es resync`",
                table.quoted()
            ),
        ),
        error @ Error::BeganAgain { .. } => Failure::resync(
            format!("{error}: what they say would be taken for older than what the index has"),
            "have the sequence go on above, and build the indices anew: `wal2es resync`",
            None,
        ),
        error => error.into(),
    }
}
