//! Reads events that are all there, in their order.

use change::{Lsn, OldImage, Row, Table, Value};
use document::{Plan, Scratch};
use snapshot::copy::Copy;
use wal::{ConnInfo, identifier};

use super::projection::Projection;
use super::retention::Read;
use super::{DELETES, Events, Fill, NUMBER, Order, Place};
use crate::consumer::Document;
use crate::error::{Error, Result};
use crate::session::{Position, Session};

/// The events of so many transactions are read at once at most: nothing is shown before all of them have been.
const WINDOW: u64 = 1 << 16;
/// So much of the table is in a span at most, in bytes as it is stored; one event always is.
const BYTES: u64 = 4 << 20;
/// So many events are given places by one statement.
const FILL: u64 = 10_000;
/// Now and then the lock is waited for so long that a vacuum gives way: longer than `deadlock_timeout`, which is 1 s.
const LONG_EACH: u32 = 32;
const LONG: u128 = 1_500;

const DOING: &str = "reading events";

/// One at a time for each connector: see [`Session::lock`].
pub struct Reader {
    session: Session,
    events: Events,
    pub(super) place: Place,
    /// Of the events up to `place.to`; None when an earlier process has found them.
    seen: Option<Seen>,
    /// How often in a row the lock was not to be had.
    refused: u32,
    /// See [`Reader::size`].
    size: Option<String>,
    /// See [`super::retention`].
    pub(super) read: Read,
}

#[derive(Clone, Copy)]
struct Seen {
    position: Position,
    /// Everything that could be read then is up to `place.to`.
    end: bool,
    /// No other event was there.
    all: bool,
}

/// Events that follow each other, or none.
#[derive(Debug)]
pub struct Span {
    condition: String,
    /// How many.
    pub events: u64,
    /// How far a reader is who has them.
    pub next: Place,
    /// Whoever reads this position, or one below, after a commit was answered finds that among these and all before, if they
    /// are `complete`.
    pub before: Lsn,
    /// The log is on disk up to here.
    pub flushed: Lsn,
    /// There were no more.
    pub complete: bool,
    /// All that could be read when it was last looked for is in this or before.
    pub at_end: bool,
    /// With these all is read that belongs together: before, a key may be in an older state than it was.
    pub whole: bool,
    /// There were more, but writers that have not ended may add some before them.
    pub held: bool,
}

/// What an event makes of a document.
#[derive(Debug)]
pub struct Change {
    /// Of the document.
    pub id: Vec<u8>,
    /// See [`super`].
    pub version: u64,
    /// What it becomes.
    pub document: Document,
}

impl Reader {
    /// Connects, to go on from `place`.
    ///
    /// # Errors
    /// The connection fails.
    pub async fn connect(info: &ConnInfo, events: Events, place: Place) -> Result<Self> {
        let session = Session::connect(info).await?;
        Ok(Reader {
            session,
            events,
            place,
            seen: None,
            refused: 0,
            size: None,
            read: Read::default(),
        })
    }

    /// The session, for other questions.
    pub fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    /// What it reads.
    pub fn events(&self) -> &Events {
        &self.events
    }

    /// How far it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Goes on from there: what came before has been dealt with.
    pub fn go_on(&mut self, place: Place) {
        self.place = place;
    }

    /// A place that everything committed before this call is below of, or is read again from it: where to go on after a copy
    /// whose snapshot is made next.
    ///
    /// # Errors
    /// The connection fails, a number makes no sense.
    pub async fn now(&mut self) -> Result<Place> {
        let place = match &self.events.order {
            Order::TransactionId { .. } => {
                let sql = "SELECT pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot())";
                let xmin = self.session.value(DOING, sql).await?;
                Place { from: xmin, to: xmin, ..Place::default() }
            }
            Order::TableLock { .. } => {
                let last = self.settle_by_lock(0).await?;
                let last = last.ok_or_else(|| Error::Locked(self.events.table.clone()))?;
                Place { to: last, last, ..Place::default() }
            }
            Order::Stream { .. } => {
                let sql = format!(
                    "SELECT COALESCE(max(id), 0) FROM {}",
                    self.events.own("events_stream")
                );
                Place { last: self.session.value(DOING, &sql).await?, ..Place::default() }
            }
        };
        // Those that were drawn and are not there yet may be above.
        let sql =
            format!("SELECT COALESCE(max({NUMBER}), 0) FROM ({}) numbered", self.events.numbered());
        Ok(Place { highest: self.session.value(DOING, &sql).await?, ..place })
    }

    /// Numbers still go upwards.
    ///
    /// # Errors
    /// [`Error::BeganAgain`]; the connection fails.
    pub async fn look_at_numbers(&mut self) -> Result<()> {
        let sql = self.events.last_drawn();
        let last = self.session.one(DOING, &sql).await?.and_then(|last| last.parse::<u64>().ok());
        match last {
            Some(last) if last < self.place.highest => Err(Error::BeganAgain {
                table: self.events.table.clone(),
                last,
                highest: self.place.highest,
            }),
            _ => Ok(()),
        }
    }

    /// The next events, `most` at most.
    ///
    /// # Errors
    /// The connection fails; [`Error::Foreign`].
    pub async fn take(&mut self, most: u64) -> Result<Span> {
        loop {
            if self.is_at_end() {
                let held = !self.look_for_more().await?;
                if self.is_at_end() || held {
                    return Ok(self.nothing(held));
                }
            }
            let span = self.span(most).await?;
            if span.events > 0 {
                return Ok(span);
            }
            // Rolled back, or read before.
            self.place = span.next;
            if self.is_at_end() && self.seen.is_some_and(|seen| seen.all) {
                return Ok(self.nothing(false));
            }
        }
    }

    /// Everything up to `place.to` has been read.
    fn is_at_end(&self) -> bool {
        // What an earlier process knew of the stream is of no use.
        let unseen = self.events.is_stream() && self.seen.is_none();
        unseen || Reader::is_end(&self.events.order, self.place)
    }

    /// Looks how far events are all there now. False if writers are in the way.
    async fn look_for_more(&mut self) -> Result<bool> {
        let position = self.session.position().await?;
        match self.events.order.clone() {
            Order::TransactionId { column } => self.open_window(&column, position).await,
            Order::TableLock { .. } => {
                let settled = self.settle_by_lock(self.place.to).await?;
                if let Some(settled) = settled {
                    self.place.to = settled;
                    self.seen = Some(Seen { position, end: true, all: true });
                }
                Ok(settled.is_some())
            }
            Order::Stream { fill } => {
                while fill == Fill::Connector && self.fill().await? == FILL {}
                self.end_of_stream(position).await?;
                Ok(true)
            }
        }
    }

    async fn end_of_stream(&mut self, position: Position) -> Result<()> {
        let sql = format!("SELECT COALESCE(max(id), 0) FROM {}", self.events.own("events_stream"));
        let to: u64 = self.session.value(DOING, &sql).await?;
        self.place.to = to.max(self.place.last);
        self.seen = Some(Seen { position, end: true, all: true });
        Ok(())
    }

    /// The next transactions that have all ended. False if there are events of others only.
    async fn open_window(&mut self, column: &str, position: Position) -> Result<bool> {
        let (column, table) = (identifier(column), self.events.table.quoted());
        let sql = format!(
            "SELECT pg_catalog.pg_snapshot_xmin(s), pg_catalog.pg_snapshot_xmax(s), \
                    (SELECT {column} FROM {table} WHERE {column} >= '{}'::xid8 ORDER BY {column} LIMIT 1), \
                    (SELECT {column} FROM {table} ORDER BY {column} DESC LIMIT 1) \
               FROM pg_catalog.pg_current_snapshot() s",
            self.place.to
        );
        let rows = self.session.rows(DOING, &sql).await?;
        let number = |at: usize| -> Option<u64> { rows.first()?.get(at)?.as_ref()?.parse().ok() };
        let nonsense = || Error::Answer { doing: DOING, what: format!("{rows:?}") };
        let (xmin, xmax) = (number(0).ok_or_else(nonsense)?, number(1).ok_or_else(nonsense)?);
        let (first, newest) = (number(2), number(3));
        if newest.is_some_and(|newest| newest >= xmax) {
            return Err(Error::Foreign {
                table: self.events.table.clone(),
                column: column.clone(),
                next: xmax,
            });
        }
        let beyond = newest.is_some_and(|newest| newest >= xmin);
        let (from, to) = match first {
            Some(first) if first < xmin => (first, xmin.min(first.saturating_add(WINDOW))),
            _ => (xmin, xmin),
        };
        self.read.window(from, to, xmax);
        self.place = Place { from, to, last: 0, ..self.place };
        if from < to {
            self.look_at_window(&column).await?;
        }
        self.seen = Some(Seen { position, end: to == xmin, all: to == xmin && !beyond });
        Ok(from < to || !beyond)
    }

    /// Goes to the number before the first of the window. No later one than the highest by then belongs to what is read with it.
    async fn look_at_window(&mut self, column: &str) -> Result<()> {
        let Place { from, to, highest, .. } = self.place;
        let id = identifier(&self.events.id);
        // By the index on transactions: that on ids would be gone through from its ends, which may be far away.
        let sql = format!(
            "SELECT min({id} + 0), max({id} + 0) FROM {} WHERE {column} >= '{from}'::xid8 AND {column} < '{to}'::xid8",
            self.events.table.quoted()
        );
        let rows = self.session.rows(DOING, &sql).await?;
        let number = |at: usize| -> Option<u64> { rows.first()?.get(at)?.as_ref()?.parse().ok() };
        // An event that was deleted since leaves nothing to be read.
        let (first, last) = (number(0).unwrap_or(highest + 1), number(1).unwrap_or(highest));
        self.place.last = first.saturating_sub(1);
        self.place.highest = highest.max(last);
        Ok(())
    }

    /// The last id that was drawn, once nobody can be writing it or one before. None if that takes too long.
    async fn settle_by_lock(&mut self, before: u64) -> Result<Option<u64>> {
        let Order::TableLock { patience } = self.events.order else { return Ok(Some(before)) };
        let sql = format!(
            "SELECT COALESCE(pg_catalog.pg_sequence_last_value(s.oid), 0) FROM ({}) s",
            self.events.sequence()
        );
        let drawn: u64 = self.session.value(DOING, &sql).await?;
        if drawn <= before {
            return Ok(Some(before));
        }
        let is_long = self.refused % LONG_EACH == LONG_EACH - 1;
        let patience = patience.as_millis().max(if is_long { LONG } else { 1 });
        let sql = format!(
            "BEGIN; SET LOCAL lock_timeout = {patience}; LOCK TABLE {} IN SHARE ROW EXCLUSIVE MODE; COMMIT",
            self.events.table.quoted()
        );
        match self.session.connection().simple_query(&sql).await {
            Ok(_) => {
                self.refused = 0;
                Ok(Some(drawn))
            }
            // lock_not_available, deadlock_detected
            Err(error)
                if error.db_error().is_some_and(|db| matches!(&*db.code, "55P03" | "40P01")) =>
            {
                self.session.rows(DOING, "ROLLBACK").await?;
                self.refused += 1;
                Ok(None)
            }
            Err(error) => Err(Error::of("locking the table of events for a moment")(error)),
        }
    }

    /// Gives places to some events that have none, and tells how many.
    async fn fill(&mut self) -> Result<u64> {
        let (queue, counter) = (self.events.own("stream_queue"), self.events.own("stream_ids"));
        let sql = format!(
            "WITH taken AS (DELETE FROM {queue} WHERE id IN (SELECT id FROM {queue} ORDER BY id LIMIT {FILL}) RETURNING id, event), \
                  counted AS (UPDATE {counter} SET last = last + (SELECT count(*) FROM taken) RETURNING last) \
             INSERT INTO {} (id, event) \
             SELECT counted.last - (SELECT count(*) FROM taken) + row_number() OVER (ORDER BY taken.id), taken.event FROM taken, counted",
            self.events.own("events_stream")
        );
        let count = format!("SELECT count(*) FROM (SELECT FROM {queue} LIMIT {FILL}) waiting");
        let waiting = self.session.value(DOING, &count).await?;
        if waiting > 0 {
            self.session.rows("giving events their places", &sql).await?;
        }
        Ok(waiting)
    }

    fn nothing(&self, held: bool) -> Span {
        self.of("false".to_owned(), 0, self.place, held)
    }

    fn of(&self, condition: String, events: u64, next: Place, held: bool) -> Span {
        let none = Position { before: Lsn::ZERO, flushed: Lsn::ZERO };
        let position = self.seen.map_or(none, |seen| seen.position);
        let last = Reader::is_end(&self.events.order, next);
        let complete = !held && last && self.seen.is_some_and(|seen| seen.all);
        let at_end = last && self.seen.is_some_and(|seen| seen.end);
        let whole = last || !matches!(self.events.order, Order::TransactionId { .. });
        let Position { before, flushed } = position;
        Span { condition, events, next, before, flushed, complete, at_end, whole, held }
    }

    fn is_end(order: &Order, place: Place) -> bool {
        match order {
            Order::TransactionId { .. } => place.from >= place.to,
            _ => place.last >= place.to,
        }
    }

    /// The first events of what is all there and has not been read.
    async fn span(&mut self, most: u64) -> Result<Span> {
        let Place { to, last, highest, .. } = self.place;
        let within = match &self.events.order {
            Order::TransactionId { column } => {
                let column = identifier(column);
                format!("{column} < '{to}'::xid8 AND {NUMBER} > {last} AND {NUMBER} <= {highest}")
            }
            _ => format!("{NUMBER} > {last} AND {NUMBER} <= {to}"),
        };
        // What a value takes where it lies, which needs no look into TOAST.
        let sql = format!(
            "SELECT count(*) FILTER (WHERE fits), max(n) FILTER (WHERE fits), count(*) FROM (\
               SELECT n, row_number() OVER w = 1 OR sum(size) OVER w <= {BYTES} AS fits FROM (\
                 SELECT {NUMBER} AS n, {} AS size FROM ({}) numbered WHERE {within} ORDER BY {NUMBER} LIMIT {most}) next_ones \
               WINDOW w AS (ORDER BY n)) sized",
            self.size().await?,
            self.events.numbered()
        );
        let rows = self.session.rows(DOING, &sql).await?;
        let number = |at: usize| -> Option<u64> { rows.first()?.get(at)?.as_ref()?.parse().ok() };
        let nonsense = || Error::Answer { doing: DOING, what: format!("{rows:?}") };
        let (fit, found) = (number(0).ok_or_else(nonsense)?, number(2).ok_or_else(nonsense)?);
        let highest = self.place.highest.max(number(1).unwrap_or(0));
        if fit == found && found < most {
            let next = match self.events.order {
                Order::TransactionId { .. } => {
                    Place { from: to, to, last: 0, highest, ..self.place }
                }
                _ => Place { last: to, highest, ..self.place },
            };
            return Ok(self.of(within, fit, next, false));
        }
        let last = number(1).ok_or_else(nonsense)?;
        let condition = format!("{within} AND {NUMBER} <= {last}");
        Ok(self.of(condition, fit, Place { last, highest, ..self.place }, false))
    }

    /// What an event takes, as SQL.
    async fn size(&mut self) -> Result<String> {
        if let Some(size) = &self.size {
            return Ok(size.clone());
        }
        let sql = format!(
            "SELECT pg_catalog.string_agg(pg_catalog.format('COALESCE(pg_catalog.pg_column_size(%I), 0)', attname), ' + ') \
               FROM pg_catalog.pg_attribute WHERE attrelid = {} AND attnum > 0 AND NOT attisdropped AND attlen = -1",
            self.events.oid
        );
        let size = self.session.one(DOING, &sql).await?.unwrap_or_else(|| "0".to_owned());
        Ok(self.size.insert(size).clone())
    }

    /// What the events of the span make of documents, in their order.
    ///
    /// # Errors
    /// The table can't be read, the connection fails.
    pub async fn changes(
        &mut self,
        span: &Span,
        table: &Table,
        plan: &Plan,
        projection: &Projection,
        mut take: impl FnMut(Change),
    ) -> Result<()> {
        let rows = format!(
            "({}) events WHERE {} ORDER BY {NUMBER}",
            projection.events(&self.events),
            span.condition
        );
        let extra = [DELETES, NUMBER];
        let mut copy = Copy::of_query(self.session.connection(), table, &rows, &extra).await?;
        let mut scratch = Scratch::default();
        while let Some(chunk) = copy.next_chunk().await? {
            for message in chunk.messages() {
                let row = copy.read(message)?;
                let nonsense =
                    || Error::Answer { doing: DOING, what: "a row without its number".to_owned() };
                let (row, version, deletes) = parts(row).ok_or_else(nonsense)?;
                let mut id = Vec::new();
                plan.write_id(&row, &mut id)
                    .map_err(|error| Error::Row { table: table.name.clone(), error })?;
                let document = match deletes {
                    true => Document::Gone,
                    false => {
                        let mut source = Vec::new();
                        let written =
                            plan.write_source(&row, OldImage::Absent, &mut scratch, &mut source);
                        Document::of(source, written)
                    }
                };
                take(Change { id, version, document });
            }
        }
        Ok(())
    }
}

/// The columns of the table, the version, and whether it deletes.
fn parts(row: Row<'_>) -> Option<(Row<'_>, u64, bool)> {
    let text = |value| match value {
        Value::Text(text) => std::str::from_utf8(text).ok(),
        _ => None,
    };
    let (row, number) = row.split_last()?;
    let (row, deletes) = row.split_last()?;
    let number: u64 = text(number)?.parse().ok()?;
    Some((row, number.checked_add(1)?, text(deletes)? == "t"))
}
