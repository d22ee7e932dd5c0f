//! The [standby status update](https://www.postgresql.org/docs/current/protocol-replication.html#PROTOCOL-REPLICATION-STANDBY-STATUS-UPDATE):
//! how far we are.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::{BufMut, BytesMut};
use change::Lsn;

use crate::frame::COPY_DATA;

/// 2000-01-01, from which Postgres counts, in microseconds after 1970-01-01.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

/// The positions of a status update. Neither ever goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status {
    written: Lsn,
    flushed: Lsn,
}

impl Status {
    pub(super) fn new(start: Lsn) -> Self {
        Status { written: start, flushed: start }
    }

    /// The server sent everything up to here.
    pub(super) fn received(&mut self, position: Lsn) {
        self.written = self.written.max(position);
    }

    /// Everything up to here is durable at the target. True if that is news.
    pub(super) fn confirmed(&mut self, position: Lsn) -> bool {
        let news = position > self.flushed;
        self.flushed = self.flushed.max(position);
        self.written = self.written.max(self.flushed);
        news
    }

    /// Appends the message; `ask` requests a keepalive in return.
    pub(super) fn put(&self, out: &mut BytesMut, ask: bool) {
        self.put_at(out, ask, now());
    }

    fn put_at(&self, out: &mut BytesMut, ask: bool, time: i64) {
        out.put_u8(COPY_DATA);
        out.put_u32(4 + 34);
        out.put_u8(b'r');
        out.put_u64(self.written.get());
        out.put_u64(self.flushed.get());
        // Applied: for a logical slot the server looks at the flushed position only.
        out.put_u64(self.flushed.get());
        out.put_i64(time);
        out.put_u8(u8::from(ask));
    }
}

/// Microseconds since 2000-01-01.
fn now() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_micros()).unwrap_or(i64::MAX) - POSTGRES_EPOCH
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_an_update() {
        let mut status = Status::new(Lsn::new(1));
        status.received(Lsn::new(0x0102_0304_0506_0708));
        assert!(status.confirmed(Lsn::new(0x0A0B)));
        let mut out = BytesMut::new();
        status.put_at(&mut out, true, 0x11);
        assert_eq!(
            &out[..],
            b"d\0\0\0\x26r\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\0\0\0\x0A\x0B\0\0\0\0\0\0\x0A\x0B\0\0\0\0\0\0\0\x11\x01"
        );
    }

    #[test]
    fn positions_only_rise() {
        let mut status = Status::new(Lsn::new(10));
        status.received(Lsn::new(5));
        assert!(!status.confirmed(Lsn::new(9)));
        assert!(!status.confirmed(Lsn::new(10)));
        assert_eq!(status, Status::new(Lsn::new(10)));
        assert!(status.confirmed(Lsn::new(20)));
        assert_eq!(status, Status::new(Lsn::new(20)));
    }

    #[test]
    fn counts_from_the_year_2000() {
        // 2025-01-01 to 2100-01-01.
        assert!((788_918_400_000_000..3_155_760_000_000_000).contains(&now()));
    }
}
