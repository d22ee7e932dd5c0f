//! When to look at the queue again.
//!
//! A consumer that finds nothing looks again soon for a while, then says that it sleeps, so that writers notify it. One that
//! has read the flag before may still be running: until it has ended the consumer goes on looking. Where transactions can be
//! prepared it never sleeps: one that has notified could not be.

use std::time::{Duration, Instant};

use outbox::Consumer;
use wal::{ConnInfo, Connection, Mode};

use crate::failure::Failure;

/// So long it looks again soon.
const LINGER: Duration = Duration::from_millis(200);
const SOON: Duration = Duration::from_millis(5);
/// While it falls asleep.
const FALLING: Duration = Duration::from_millis(20);

/// See the module.
pub(super) struct Wake {
    listener: Connection,
    state: Sleep,
    sweep: Duration,
    /// Writers must not have to notify.
    sleepless: bool,
}

enum Sleep {
    /// The last entries came then.
    Awake(Instant),
    /// The flag was set by this transaction.
    Falling(u64),
    /// Whoever writes notifies.
    Asleep,
}

impl Wake {
    /// Listens on `channel`.
    pub(super) async fn listen(
        info: &ConnInfo,
        channel: &str,
        sweep: Duration,
        sleepless: bool,
    ) -> Result<Self, Failure> {
        let mut listener = Connection::connect(info, Mode::Ordinary).await?;
        listener.simple_query(&format!("LISTEN {}", wal::identifier(channel))).await?;
        Ok(Wake { listener, state: Sleep::Awake(Instant::now()), sweep, sleepless })
    }

    /// There were entries.
    pub(super) async fn found(&mut self, consumer: &mut Consumer) -> Result<(), Failure> {
        if !matches!(self.state, Sleep::Awake(_)) {
            consumer.set_asleep(false).await?;
        }
        self.state = Sleep::Awake(Instant::now());
        Ok(())
    }

    /// There were none: says how to wait.
    pub(super) async fn nothing(&mut self, consumer: &mut Consumer) -> Result<Pause<'_>, Failure> {
        match self.state {
            Sleep::Awake(since) if since.elapsed() < LINGER => return Ok(Pause::For(SOON)),
            Sleep::Awake(_) if self.sleepless => return Ok(Pause::For(FALLING)),
            Sleep::Awake(_) => {
                self.state = Sleep::Falling(consumer.set_asleep(true).await?);
                return Ok(Pause::For(Duration::ZERO));
            }
            Sleep::Falling(xid) => {
                if !consumer.is_known(xid).await? {
                    return Ok(Pause::For(FALLING));
                }
                // Once more: somebody may have written between the last look and now.
                self.state = Sleep::Asleep;
                return Ok(Pause::For(Duration::ZERO));
            }
            Sleep::Asleep => {}
        }
        Ok(Pause::UntilNotified { listener: &mut self.listener, at_most: self.sweep })
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
                    Err(_) => Ok(()),
                }
            }
        }
    }
}
