//! When to look again.
//!
//! A reader that finds nothing looks again soon for a while, then says that it sleeps, so that writers notify it. One that
//! has read the flag before may still be running: until it has ended the reader goes on looking. Where transactions can be
//! prepared it never sleeps: one that has notified could not be. Where writers don't notify it looks at its own pace.

use std::time::{Duration, Instant};

use outbox::{Bell, Session};
use wal::{ConnInfo, Connection, Mode};

use super::{Taker, watched};
use crate::failure::Failure;
use crate::run::Context;

/// So long it looks again soon.
const LINGER: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_millis(5);
/// While it falls asleep.
const FALLING: Duration = Duration::from_millis(20);
/// While events are held back: the first time, and at most. A look may be one for a lock, which writers wait behind.
const HELD: Duration = Duration::from_millis(10);
const HELD_LONG: Duration = Duration::from_millis(640);

/// See the module.
pub(super) struct Wake {
    way: Way,
    /// How long to wait next while events are held back.
    held: Duration,
}

enum Way {
    Poll(Duration),
    Listen(Box<Listener>),
}

struct Listener {
    connection: Connection,
    bell: Bell,
    state: Sleep,
    sweep: Duration,
    /// Writers must not have to notify.
    sleepless: bool,
}

enum Sleep {
    /// Something came last then.
    Awake(Instant),
    /// The flag was set by this transaction.
    Falling(u64),
    /// Whoever writes notifies.
    Asleep,
}

impl Wake {
    /// Listens, if writers notify.
    pub(super) async fn begin(
        context: &Context,
        info: &ConnInfo,
        taker: &mut Taker,
    ) -> Result<Self, Failure> {
        let config = &context.config;
        let held = HELD;
        let Some(bell) = taker.bell(context) else {
            return Ok(Wake { way: Way::Poll(config.events.poll), held });
        };
        let session = taker.session();
        // As a process before may have left it.
        bell.set_asleep(session, false).await?;
        let mut connection = Connection::connect(info, Mode::Ordinary).await?;
        connection.simple_query(&format!("LISTEN {}", wal::identifier(bell.channel()))).await?;
        let sweep = if config.by_queue() { config.queue.sweep } else { config.events.sweep };
        let (state, sleepless) = (Sleep::Awake(Instant::now()), session.prepares());
        let listener = Listener { connection, bell, state, sweep, sleepless };
        Ok(Wake { way: Way::Listen(Box::new(listener)), held })
    }

    /// Nobody needs to notify any more.
    pub(super) async fn end(&mut self, session: &mut Session) -> Result<(), Failure> {
        if let Way::Listen(listener) = &self.way {
            listener.bell.set_asleep(session, false).await?;
        }
        Ok(())
    }

    /// There was something.
    pub(super) async fn found(&mut self, session: &mut Session) -> Result<(), Failure> {
        self.held = HELD;
        let Way::Listen(listener) = &mut self.way else { return Ok(()) };
        if !matches!(listener.state, Sleep::Awake(_)) {
            listener.bell.set_asleep(session, false).await?;
        }
        listener.state = Sleep::Awake(Instant::now());
        Ok(())
    }

    /// There is something that can't be taken yet: says how to wait.
    pub(super) fn held(&mut self) -> Pause<'_> {
        let pause = self.held;
        self.held = (pause * 2).min(HELD_LONG);
        Pause::For(pause)
    }

    /// There was nothing: says how to wait.
    pub(super) async fn nothing(&mut self, session: &mut Session) -> Result<Pause<'_>, Failure> {
        self.held = HELD;
        match &mut self.way {
            Way::Poll(every) => Ok(Pause::For(*every)),
            Way::Listen(listener) => listener.nothing(session).await,
        }
    }
}

impl Listener {
    async fn nothing(&mut self, session: &mut Session) -> Result<Pause<'_>, Failure> {
        match self.state {
            Sleep::Awake(since) if since.elapsed() < LINGER => return Ok(Pause::For(SOON)),
            Sleep::Awake(_) if self.sleepless => return Ok(Pause::For(FALLING)),
            Sleep::Awake(_) => {
                self.state = Sleep::Falling(self.bell.set_asleep(session, true).await?);
                return Ok(Pause::For(Duration::ZERO));
            }
            Sleep::Falling(xid) => {
                if !Bell::is_known(session, xid).await? {
                    return Ok(Pause::For(FALLING));
                }
                // Once more: somebody may have written between the last look and now.
                self.state = Sleep::Asleep;
                return Ok(Pause::For(Duration::ZERO));
            }
            Sleep::Asleep => {}
        }
        Ok(Pause::UntilNotified { listener: &mut self.connection, at_most: self.sweep })
    }
}

/// How to wait.
pub(super) enum Pause<'a> {
    For(Duration),
    UntilNotified { listener: &'a mut Connection, at_most: Duration },
}

impl Pause<'_> {
    /// Waits.
    pub(super) async fn wait(self) -> Result<(), Failure> {
        match self {
            Pause::For(time) => {
                tokio::time::sleep(time).await;
                Ok(())
            }
            Pause::UntilNotified { listener, at_most } => {
                match tokio::time::timeout(at_most, listener.notified()).await {
                    Ok(notified) => Ok(notified?),
                    Err(_) => watched::answers(listener).await,
                }
            }
        }
    }
}
