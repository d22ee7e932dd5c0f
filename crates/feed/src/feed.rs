//! One session of the stream, message by message.

use std::time::Duration;

use change::{Cell, Lsn, OldImage, RowChange, RowOp, TableName};
use decode::pgoutput::Protocol;
use decode::{Begin, DecodeError, Event, Part, Relation, Release};
use document::{DocumentError, Partial, Scratch};
use spool::{Released, Spool};

use crate::bound::{Followed, Found, Place, Tables};
use crate::error::FeedError;
use crate::names::Known;
use crate::plugin::Decoder;
use crate::shape::Shape;
use crate::sink::Sink;

/// Microseconds from 1970 to 2000, where Postgres begins to count.
const POSTGRES_EPOCH: Duration = Duration::from_secs(946_684_800);

/// What the caller has to do before the next message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing.
    Done,
    /// The tables of these indices were emptied: see to it.
    Truncated(Vec<usize>),
    /// A transaction that was held is due: call [`Feed::released`] until it says that there is no more.
    Released,
    /// Look this name up in the catalog, tell with [`Feed::learn`] what it is, and call [`Feed::again`]. Only
    /// [`Feed::released`] asks: the plugin that tells no OIDs has all of its rows held.
    Lookup {
        /// The name.
        name: TableName,
        /// The index whose table this could be, by its columns.
        could_be: Option<usize>,
    },
}

/// Reads one session.
pub struct Feed<'a> {
    decoder: Decoder,
    tables: Tables<'a>,
    spool: Option<&'a mut Spool>,
    released: Option<Released>,
    /// The message that waits for a name.
    waiting: Vec<u8>,
    work: Work,
    /// Of the last transaction that began.
    commit: Lsn,
}

/// Memory that every row reuses.
#[derive(Default)]
struct Work {
    id: Vec<u8>,
    old_id: Vec<u8>,
    scratch: Scratch,
    partial: Partial,
    new: Vec<Cell>,
    old: Vec<Cell>,
}

impl<'a> Feed<'a> {
    /// At the beginning of a session of pgoutput. `shapes` are those that the indices are known to have; `chosen`: the
    /// configuration names its tables, others in the publication are left alone.
    pub fn pgoutput(
        protocol: Protocol,
        followed: Vec<Followed<'a>>,
        shapes: Vec<Shape>,
        chosen: bool,
        spool: Option<&'a mut Spool>,
    ) -> Self {
        Feed::new(Decoder::pgoutput(protocol), Tables::new(followed, shapes, chosen), spool)
    }

    /// The same of test_decoding, which sends the tables of the whole database and needs the spool for all of it.
    pub fn test_decoding(
        followed: Vec<Followed<'a>>,
        shapes: Vec<Shape>,
        spool: &'a mut Spool,
    ) -> Self {
        Feed::new(Decoder::test_decoding(), Tables::new(followed, shapes, true), Some(spool))
    }

    fn new(decoder: Decoder, tables: Tables<'a>, mut spool: Option<&'a mut Spool>) -> Self {
        // What an earlier session left unfinished comes again from its beginning.
        if let Some(spool) = &mut spool {
            spool.clear();
        }
        Feed {
            decoder,
            tables,
            spool,
            released: None,
            waiting: Vec::new(),
            work: Work::default(),
            commit: Lsn::ZERO,
        }
    }

    /// What the name stands for, of a table that is not followed under it so far.
    pub fn learn(&mut self, name: TableName, known: Known) {
        self.tables.names.learn(name, known);
    }

    /// Whether a table was described in new words since this was asked last: worth a look into the catalog.
    pub fn newly_described(&mut self) -> bool {
        std::mem::take(&mut self.tables.described)
    }

    /// Whether rows of that name were passed over as nobody's.
    pub fn is_other(&self, name: &TableName) -> bool {
        self.tables.names.is_other(name)
    }

    /// Reads one message that the server says is at `lsn` (0/0 where it does not say).
    ///
    /// # Errors
    /// What can't be followed any further. Nothing more may be read then.
    pub fn take<S: Sink>(
        &mut self,
        sink: &mut S,
        lsn: Lsn,
        message: &[u8],
    ) -> Result<Taken, FeedError> {
        let Feed { decoder, tables, work, commit, .. } = self;
        let event = decoder.decode(lsn, message).map_err(malformed(lsn, *commit))?;
        match event {
            Event::Hold(part) => self.hold(part, message),
            Event::Abort(part) => {
                if let Some(spool) = &mut self.spool {
                    spool.abort(part.transaction, part.part);
                }
                Ok(Taken::Done)
            }
            Event::Release(release) => self.release(sink, lsn, &release),
            event => handle(tables, work, commit, event, sink),
        }
    }

    fn hold(&mut self, part: Part, message: &[u8]) -> Result<Taken, FeedError> {
        let spool = self.spool.as_mut().ok_or(FeedError::NoSpool)?;
        spool.hold(part.transaction, part.part, message)?;
        Ok(Taken::Done)
    }

    fn release<S: Sink>(
        &mut self,
        sink: &mut S,
        lsn: Lsn,
        release: &Release,
    ) -> Result<Taken, FeedError> {
        let begin = self.decoder.begin_release(release).map_err(malformed(lsn, self.commit))?;
        let spool = self.spool.as_mut().ok_or(FeedError::NoSpool)?;
        self.released = spool.release(release.transaction)?;
        self.commit = begin.commit.0;
        sink.begin(begin.commit, begin.xid, since_1970(&begin));
        Ok(Taken::Released)
    }

    /// Reads the next message of the transaction that is being released; `None` when it is complete.
    ///
    /// # Errors
    /// As [`Feed::take`].
    pub fn released<S: Sink>(&mut self, sink: &mut S) -> Result<Option<Taken>, FeedError> {
        let Feed { decoder, tables, work, commit, released, waiting, .. } = self;
        let next = match released {
            Some(released) => released.next()?,
            None => None,
        };
        let Some(message) = next else {
            self.released = None;
            let commit = decoder.end_release().map_err(malformed(*commit, *commit))?;
            sink.commit(commit.end);
            return Ok(None);
        };
        let event = decoder.replay(message).map_err(malformed(*commit, *commit))?;
        let taken = handle(tables, work, commit, event, sink)?;
        if matches!(taken, Taken::Lookup { .. }) {
            waiting.clear();
            waiting.extend_from_slice(message);
        }
        Ok(Some(taken))
    }

    /// Reads the message once more that a name was looked up for.
    ///
    /// # Errors
    /// As [`Feed::take`].
    pub fn again<S: Sink>(&mut self, sink: &mut S) -> Result<Taken, FeedError> {
        let Feed { decoder, tables, work, commit, waiting, .. } = self;
        let event = decoder.replay(waiting).map_err(malformed(*commit, *commit))?;
        handle(tables, work, commit, event, sink)
    }
}

fn malformed(at: Lsn, commit: Lsn) -> impl Fn(DecodeError) -> FeedError {
    move |source| FeedError::Decode { at, commit, source }
}

fn since_1970(begin: &Begin) -> Duration {
    POSTGRES_EPOCH + Duration::from_micros(u64::try_from(begin.committed_at).unwrap_or(0))
}

/// Everything that is not about holding.
#[inline]
fn handle<S: Sink>(
    tables: &mut Tables<'_>,
    work: &mut Work,
    commit: &mut Lsn,
    event: Event<'_>,
    sink: &mut S,
) -> Result<Taken, FeedError> {
    match event {
        Event::Row(op, relation) => return row(tables, work, *commit, &op, relation, sink),
        Event::Begin(begin) => {
            *commit = begin.commit.0;
            sink.begin(begin.commit, begin.xid, since_1970(&begin));
        }
        Event::Commit(commit) => sink.commit(commit.end),
        Event::Relation(relation) => {
            if tables.is_ahead(relation, *commit) {
                return Ok(Taken::Done);
            }
            let mut widened = None;
            tables.find(relation, false, *commit, &mut widened)?;
            if let Some((at, shape)) = widened {
                sink.shape(at, &shape);
            }
        }
        Event::Truncate(truncate) => {
            return Ok(match tables.truncated(&truncate.tables, *commit)? {
                Ok(emptied) if emptied.is_empty() => Taken::Done,
                Ok(emptied) => Taken::Truncated(emptied),
                Err(name) => Taken::Lookup { name, could_be: None },
            });
        }
        Event::Message(_) | Event::Nothing => {}
        // Handled where they come from the server; nothing of the kind is ever held.
        Event::Hold(_) | Event::Abort(_) | Event::Release(_) => {}
    }
    Ok(Taken::Done)
}

#[inline]
fn row<S: Sink>(
    tables: &mut Tables<'_>,
    work: &mut Work,
    commit: Lsn,
    op: &RowOp<'_>,
    relation: &Relation,
    sink: &mut S,
) -> Result<Taken, FeedError> {
    if tables.is_ahead(relation, commit) {
        sink.change();
        return Ok(Taken::Done);
    }
    let key_only = matches!(op.change, RowChange::Delete { .. });
    let mut widened = None;
    let at = match tables.find(relation, key_only, commit, &mut widened)? {
        Found::Followed(at) => at,
        Found::Other => {
            sink.change();
            return Ok(Taken::Done);
        }
        Found::Unknown => {
            let could_be = tables.could_be(relation);
            return Ok(Taken::Lookup { name: relation.name.clone(), could_be });
        }
    };
    if let Some((at, shape)) = widened {
        sink.shape(at, &shape);
    }
    let change = sink.change();
    let (Some(place), Some(one)) = (tables.place(relation), tables.followed.get(at)) else {
        return Ok(Taken::Done);
    };
    write(sink, place, one, op.change, change, work).map_err(|source| FeedError::Document {
        at,
        table: one.table.name.clone(),
        commit,
        source,
    })?;
    Ok(Taken::Done)
}

/// One row change as writes: a changed key makes a new document and leaves no old one. In this order, because the new one
/// may need values of the old one.
fn write<S: Sink>(
    sink: &mut S,
    place: &Place,
    one: &Followed<'_>,
    row: RowChange<'_>,
    change: S::Change,
    work: &mut Work,
) -> Result<(), DocumentError> {
    let Work { id, old_id, scratch, partial, new: new_cells, old: old_cells } = work;
    let plan = one.plan;
    id.clear();
    let (new, old) = match row {
        RowChange::Insert { new } => (new, OldImage::Absent),
        RowChange::Update { old, new } => (new, old),
        RowChange::Delete { old } => {
            if let Some(row) = old.row() {
                plan.write_id(&place.row(row, old_cells), id)?;
                sink.delete(place.at, id, change);
            }
            return Ok(());
        }
    };
    let new = place.row(new, new_cells);
    let old = match old {
        OldImage::Absent => OldImage::Absent,
        OldImage::Key(row) => OldImage::Key(place.row(row, old_cells)),
        OldImage::Full(row) => OldImage::Full(place.row(row, old_cells)),
    };
    plan.write_new_id(&new, old, id)?;
    let before = match old.row() {
        Some(before) if !plan.same_id(&before, &new) => {
            old_id.clear();
            plan.write_id(&before, old_id)?;
            Some(old_id.as_slice())
        }
        _ => None,
    };
    match sink.index(place.at, id, change, |out| plan.write_source(&new, old, scratch, out)) {
        Ok(()) => {}
        Err(DocumentError::Unchanged { .. }) => {
            match plan.write_partial(&new, old, scratch, partial) {
                Ok(()) => sink.partial(place.at, id, before, change, partial),
                Err(error) => refuse(sink, (place.at, id), change, error)?,
            }
        }
        Err(error) => refuse(sink, (place.at, id), change, error)?,
    }
    if let Some(before) = before {
        sink.delete(place.at, before, change);
    }
    Ok(())
}

/// A value that no document can have concerns one row; anything else all of them.
#[cold]
fn refuse<S: Sink>(
    sink: &mut S,
    (at, id): (usize, &[u8]),
    change: S::Change,
    error: DocumentError,
) -> Result<(), DocumentError> {
    match error {
        DocumentError::Malformed { .. } => {
            sink.refuse(at, id, change, &error);
            Ok(())
        }
        other => Err(other),
    }
}

#[cfg(test)]
#[path = "feed_tests.rs"]
mod tests;
