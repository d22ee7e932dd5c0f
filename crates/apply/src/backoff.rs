//! How long to wait before the next attempt.

use std::time::Duration;

use crate::{Error, Kind};

const FIRST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_millis(800);

/// Doubling pauses with jitter, from 20 ms to below a second, so that the first attempt after a server's return comes
/// within a second of it, and many connectors don't come at the same moment.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: u32,
}

impl Backoff {
    /// The next pause: half of it certain, half of it random.
    pub(crate) fn next(&mut self) -> Duration {
        let pause = FIRST.saturating_mul(1 << self.attempts.min(10)).min(LONGEST);
        self.attempts = self.attempts.saturating_add(1);
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }
}

/// Tries again for as long as the target does not answer.
pub(crate) async fn persist<T, F>(attempt: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut backoff = Backoff::default();
    loop {
        match attempt().await {
            Err(error) if error.kind() == Kind::Transient => {
                if backoff.attempts().is_multiple_of(12) {
                    tracing::warn!(%error, "the target did not do it; trying again");
                }
                tokio::time::sleep(backoff.next()).await;
            }
            other => return other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_and_stays_below_a_second() {
        let mut backoff = Backoff::default();
        assert!(backoff.next() <= FIRST);
        for _ in 0..100 {
            assert!(backoff.next() < Duration::from_secs(1));
        }
        assert!(backoff.next() >= LONGEST / 2);
    }
}
