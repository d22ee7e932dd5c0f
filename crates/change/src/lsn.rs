//! Positions in the write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A byte position in the write-ahead log, printed as Postgres prints its
/// [`pg_lsn`](https://www.postgresql.org/docs/current/datatype-pg-lsn.html): two hexadecimal halves, `16/B374D848`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Lsn(u64);

impl Lsn {
    /// `0/0`, which Postgres itself calls invalid: no record starts there.
    pub const ZERO: Lsn = Lsn(0);

    /// The position `value` bytes into the log.
    pub const fn new(value: u64) -> Self {
        Lsn(value)
    }

    /// Bytes from the beginning of the log.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Bytes from `earlier` up to this position; 0 when `earlier` is not earlier.
    pub const fn since(self, earlier: Lsn) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// Where the last record can have ended when the log goes on from here, in segments of `segment` bytes.
    ///
    /// Right behind a page boundary the server's insert position is behind the
    /// [header of the page](https://github.com/postgres/postgres/blob/master/src/include/access/xlog_internal.h), where
    /// nothing has been written yet: on an idle server the flush position would never come that far.
    pub const fn without_header(self, segment: u64) -> Lsn {
        const PAGE: u64 = 8192;
        const PAGE_HEADER: u64 = 24;
        const SEGMENT_HEADER: u64 = 40;
        Lsn(match self.0 {
            at if at % segment == SEGMENT_HEADER => at - SEGMENT_HEADER,
            at if at % PAGE == PAGE_HEADER && at % segment != PAGE_HEADER => at - PAGE_HEADER,
            at => at,
        })
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl fmt::Debug for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is not of the form `16/B374D848`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseLsnError(String);

impl fmt::Display for ParseLsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not an LSN: write it as Postgres prints it, for example 16/B374D848",
            self.0
        )
    }
}

impl std::error::Error for ParseLsnError {}

impl FromStr for Lsn {
    type Err = ParseLsnError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let half = |part: &str| {
            let fits = !part.is_empty() && part.len() <= 8;
            let digits = part.bytes().all(|b| b.is_ascii_hexdigit());
            if fits && digits { u64::from_str_radix(part, 16).ok() } else { None }
        };
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn(half(high)? << 32 | half(low)?)))
            .ok_or_else(|| ParseLsnError(text.to_owned()))
    }
}

/// Where the commit record of a transaction *starts* (`final_lsn` of pgoutput's Begin).
///
/// It is a type of its own because it is the only position that versions are made of: strictly rising in the order
/// in which transactions are sent, and unique, where the positions of single changes are neither. What is confirmed
/// to Postgres is the *end* of the commit record, an [`Lsn`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct CommitLsn(pub Lsn);

impl fmt::Display for CommitLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_and_reads_as_postgres_does() {
        for text in ["0/0", "0/16B3748", "16/B374D848", "FFFFFFFF/FFFFFFFF"] {
            assert_eq!(text.parse::<Lsn>().unwrap().to_string(), text);
        }
        assert_eq!("1/2".parse(), Ok(Lsn::new(0x1_0000_0002)));
    }

    #[test]
    fn headers_hold_no_record() {
        let at = |lsn: u64| Lsn::new(lsn).without_header(16 << 20).get();
        assert_eq!(at(0x0300_0028), 0x0300_0000);
        assert_eq!(at(0x0300_2018), 0x0300_2000);
        assert_eq!(at(0x0300_2020), 0x0300_2020);
        assert_eq!(at(0x0300_0018), 0x0300_0018);
    }

    #[test]
    fn refuses_what_is_no_lsn() {
        for text in ["", "/", "1", "1/", "/1", "1/2/3", "123456789/0", "+1/0", "g/0", " 1/0"] {
            let error = text.parse::<Lsn>().unwrap_err();
            assert!(error.to_string().contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn distance_never_underflows() {
        assert_eq!(Lsn::new(5).since(Lsn::new(9)), 0);
        assert_eq!(Lsn::new(9).since(Lsn::new(5)), 4);
    }
}
