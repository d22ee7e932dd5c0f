//! May searches be sent here?

use std::time::{Duration, Instant};

use super::{Known, Monitor};

impl Monitor {
    /// # Errors
    /// Why not.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let mut known = self.known();
        let state = self.state(&known);
        if state != "streaming" {
            return Err(state.to_owned());
        }
        behind(&mut known, Instant::now(), self.ready_lag)
    }
}

fn behind(known: &mut Known, now: Instant, most: Duration) -> Result<(), String> {
    let durable = known.applied.map(|applied| applied.durable).unwrap_or_default();
    match known.lag.behind(now, durable) {
        None => Err("the source can't be asked, so the lag is not known".to_owned()),
        Some((bytes, age)) if age > most => {
            Err(format!("{:.1} s behind, {bytes} bytes of log", age.as_secs_f64()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use change::Lsn;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::config::Config;
    use crate::monitor::Applied;

    #[test]
    fn ready_when_it_streams_and_is_not_far_behind() {
        let stop = CancellationToken::new();
        let monitor = Monitor::new(&Config::default(), stop.clone());
        assert_eq!(monitor.ready().unwrap_err(), "starting");
        let loading = monitor.loading();
        assert_eq!(monitor.ready().unwrap_err(), "copying");
        drop(loading);
        let applied = Applied {
            durable: Lsn::new(8),
            visible: Lsn::ZERO,
            rows: 0,
            superseded: 0,
            suspects: 0,
        };
        monitor.known().applied = Some(applied);
        assert!(monitor.ready().unwrap_err().contains("not known"));
        monitor.observed(Lsn::new(8));
        assert_eq!(monitor.ready(), Ok(()));
        stop.cancel();
        assert_eq!(monitor.ready().unwrap_err(), "stopping");

        let (mut known, began) = (monitor.known(), Instant::now());
        known.lag.observe(began, Lsn::new(16));
        let most = Duration::from_secs(10);
        assert_eq!(behind(&mut known, began + most, most), Ok(()));
        let late = behind(&mut known, began + most + Duration::from_secs(1), most).unwrap_err();
        assert_eq!(late, "11.0 s behind, 8 bytes of log");
        let blind = behind(&mut known, began + Duration::from_secs(60), most).unwrap_err();
        assert!(blind.contains("can't be asked"), "{blind}");
    }
}
