//! The task between the socket and the rest of the program.
//!
//! It waits for several things at once; each is safe to drop half-way, because what was read is in the input buffer,
//! what is to be written in the output buffer, and what is to be handed over in `waiting`. By priority:
//!
//! 1. shutdown, or the consumer is gone → the orderly end;
//! 2. the confirmed position rose → a status update, but not two within [`COALESCE`];
//! 3. the clock → a status update, a request for a sign of life, or the end of patience;
//! 4. a chunk waits for room in the queue → hand it over. While one waits, nothing is read;
//! 5. else: read.

use std::time::Duration;

use change::Lsn;
use postgres_protocol::message::backend::Message as Backend;
use postgres_protocol::message::frontend;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::chunk::{self, Chunk, Message};
use super::queue::Sender;
use super::status::Status;
use crate::error::{Error, Result};
use crate::frame::{self, Bodies, HEADER};
use crate::login::unexpected;
use crate::wire::{Wire, server_error};

/// The longest time between two status updates.
const STATUS_INTERVAL: Duration = Duration::from_secs(10);

/// Confirmations that follow each other faster are told together.
const COALESCE: Duration = Duration::from_millis(10);

/// How long the server has to end the stream when we ask it to.
const GOODBYE: Duration = Duration::from_secs(2);

/// Owns the connection; see [`Replication::split`](crate::Replication::split).
#[derive(Debug)]
pub struct Pump {
    wire: Wire,
    queue: Sender,
    confirmed: watch::Receiver<Lsn>,
    /// Confirm is gone: nothing will change any more.
    unconfirmable: bool,
    status: Status,
    status_interval: Duration,
    /// When a status update is due at the latest.
    status_due: Instant,
    /// The confirmed position rose, and the update that tells it is due within [`COALESCE`].
    news: bool,
    last_status: Instant,
    patience: Option<Duration>,
    last_heard: Instant,
    /// The server was asked for a sign of life and has not given one.
    asked: bool,
    waiting: Option<Chunk>,
}

/// Why the waiting ended.
enum Event {
    Shutdown,
    Confirmed,
    Gone,
    Clock,
    Sent(bool),
    Read(Result<()>),
}

impl Pump {
    pub(super) fn new(
        mut wire: Wire,
        queue: Sender,
        confirmed: watch::Receiver<Lsn>,
        wal_sender_timeout: Duration,
    ) -> Self {
        wire.pace_reads(true);
        let patience = Some(wal_sender_timeout).filter(|timeout| !timeout.is_zero());
        let status_interval =
            patience.map_or(STATUS_INTERVAL, |timeout| STATUS_INTERVAL.min(timeout / 3));
        let now = Instant::now();
        let status = Status::new(*confirmed.borrow());
        Pump {
            wire,
            queue,
            status,
            confirmed,
            unconfirmable: false,
            status_interval,
            status_due: now,
            news: false,
            last_status: now,
            patience,
            last_heard: now,
            asked: false,
            waiting: None,
        }
    }

    /// Runs until `shutdown`, until the [`Receiver`](crate::Receiver) is dropped, or until something fails.
    ///
    /// At the end it reports the position confirmed last, tells the server that the stream is over, waits two seconds
    /// for its answer and closes the connection.
    ///
    /// # Errors
    /// [`Error::Closed`] if the server ended the stream; [`Error::Server`] with its reason if it gave one;
    /// [`Error::Silent`] if it went away without a word; [`Error::Io`]; [`Error::Protocol`].
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<()> {
        loop {
            match self.wait(&shutdown).await {
                Event::Shutdown | Event::Sent(false) => return self.goodbye().await,
                Event::Gone => self.unconfirmable = true,
                Event::Confirmed => self.note_confirmed(),
                Event::Clock => self.on_clock().await?,
                Event::Sent(true) => self.last_heard = Instant::now(),
                Event::Read(read) => {
                    self.last_heard = Instant::now();
                    self.asked = false;
                    read?;
                }
            }
            if self.waiting.is_none() {
                self.cut_chunk().await?;
            }
        }
    }

    async fn wait(&mut self, shutdown: &CancellationToken) -> Event {
        let clock = self.next_clock();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => Event::Shutdown,
            changed = self.confirmed.changed(), if !self.unconfirmable && !self.news => {
                if changed.is_ok() { Event::Confirmed } else { Event::Gone }
            }
            () = sleep_until(clock) => Event::Clock,
            sent = self.queue.send(&mut self.waiting), if self.waiting.is_some() => Event::Sent(sent),
            read = self.wire.fill(), if self.waiting.is_none() => Event::Read(read),
            () = self.queue.closed() => Event::Shutdown,
        }
    }

    /// Takes what has arrived out of the input buffer, answers the keepalives in it and deals with what is no CopyData.
    async fn cut_chunk(&mut self) -> Result<()> {
        loop {
            let (frames, position, next) = self.wire.take_copy_data()?;
            if !frames.is_empty() {
                let must_reply = self.look_at(&frames, position);
                self.waiting = Some(Chunk::new(frames, position));
                return if must_reply { self.send_status(false).await } else { Ok(()) };
            }
            match next {
                Some(head) if head.tag != frame::COPY_DATA && self.wire.holds(head) => {
                    self.control().await?;
                }
                _ => return Ok(()),
            }
        }
    }

    /// Notes how far the server is. True if it wants an answer. Whatever is malformed is left to the consumer, who
    /// meets it at its place.
    fn look_at(&mut self, frames: &[u8], position: u64) -> bool {
        let mut must_reply = false;
        for body in Bodies::new(frames) {
            match chunk::parse(body, position + HEADER as u64) {
                Ok(Message::WalData { start, .. }) => self.status.received(start),
                Ok(Message::Keepalive { wal_end, reply_requested }) => {
                    self.status.received(wal_end);
                    must_reply |= reply_requested;
                }
                Err(_) => {}
            }
        }
        must_reply
    }

    fn note_confirmed(&mut self) {
        let position = *self.confirmed.borrow_and_update();
        if self.status.confirmed(position) {
            self.news = true;
            self.status_due = self.status_due.min(self.last_status + COALESCE);
        }
    }

    /// When something is to be done though nothing happens.
    fn next_clock(&self) -> Instant {
        match self.patience {
            // While a chunk waits we don't listen, so silence means nothing.
            Some(patience) if self.waiting.is_none() => {
                self.status_due.min(self.last_heard + patience)
            }
            _ => self.status_due,
        }
    }

    async fn on_clock(&mut self) -> Result<()> {
        let now = Instant::now();
        if let Some(patience) = self.patience
            && self.waiting.is_none()
            && now >= self.last_heard + patience
        {
            if self.asked {
                return Err(Error::Silent { after: patience * 2 });
            }
            self.asked = true;
            self.last_heard = now;
            return self.send_status(true).await;
        }
        if now >= self.status_due { self.send_status(false).await } else { Ok(()) }
    }

    async fn send_status(&mut self, ask: bool) -> Result<()> {
        self.note_confirmed();
        self.news = false;
        self.status.put(self.wire.output(), ask);
        let limit = self.patience.unwrap_or(Duration::from_secs(60));
        timeout(limit, self.wire.flush()).await.unwrap_or(Err(Error::Silent { after: limit }))?;
        self.last_status = Instant::now();
        self.status_due = self.last_status + self.status_interval;
        Ok(())
    }

    /// Anything but CopyData: a remark, or the end of the stream.
    async fn control(&mut self) -> Result<()> {
        match self.wire.one_message().await? {
            None | Some(Backend::ParameterStatus(_) | Backend::NotificationResponse(_)) => Ok(()),
            Some(Backend::ErrorResponse(body)) => Err(server_error(&body, "replication stream")),
            Some(Backend::CopyDone | Backend::CommandComplete(_) | Backend::ReadyForQuery(_)) => {
                Err(Error::Closed { what: "replication stream" })
            }
            Some(_) => Err(unexpected(&self.wire, "in the replication stream")),
        }
    }

    async fn goodbye(mut self) -> Result<()> {
        let ending = async {
            self.send_status(false).await?;
            frontend::copy_done(self.wire.output());
            self.wire.flush().await?;
            // The server finishes what it is sending before it answers.
            while self.wire.head().await?.tag == frame::COPY_DATA {
                self.wire.skip().await?;
            }
            while !matches!(self.wire.message().await?, Backend::ReadyForQuery(_)) {}
            frontend::terminate(self.wire.output());
            self.wire.flush().await
        };
        match timeout(GOODBYE, ending).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the stream did not end in order"),
            Err(_) => tracing::debug!("the server did not end the stream in time"),
        }
        Ok(())
    }
}
