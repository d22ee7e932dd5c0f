//! `BEGIN 725`, `COMMIT 725 (at 2024-02-29 12:34:56.789012+00)`; number and time may be missing.

use nom::Parser;
use nom::bytes::complete::tag;
use nom::character::complete::{char, u32};
use nom::combinator::{cut, opt};
use nom::error::context;
use nom::sequence::{preceded, terminated};

use super::line::{Parsed, parse};
use super::time::timestamp;
use crate::error::DecodeError;

/// What a COMMIT says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CommitLine {
    pub(super) xid: Option<u32>,
    /// Microseconds since 2000-01-01 UTC.
    pub(super) at: Option<i64>,
}

/// The transaction id of a BEGIN.
pub(super) fn begin(line: &[u8]) -> Result<Option<u32>, DecodeError> {
    parse(line, preceded(tag("BEGIN"), xid))
}

pub(super) fn commit(line: &[u8]) -> Result<CommitLine, DecodeError> {
    let close = context("a closing parenthesis", char(')'));
    let at = opt(preceded(tag(" (at "), cut(terminated(timestamp, close))));
    let (xid, at) = parse(line, preceded(tag("COMMIT"), (xid, at)))?;
    Ok(CommitLine { xid, at })
}

fn xid(input: &[u8]) -> Parsed<'_, Option<u32>> {
    match input {
        // no number: the end, or " (at …)"
        [b' ', b'(', ..] | [] => Ok((input, None)),
        _ => context("a transaction id", preceded(char(' '), u32)).map(Some).parse(input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Fault;

    #[test]
    fn with_and_without_what_may_be_missing() {
        assert_eq!(begin(b"BEGIN"), Ok(None));
        assert_eq!(begin(b"BEGIN 4294967295"), Ok(Some(u32::MAX)));
        let line = |xid, at| Ok(CommitLine { xid, at });
        assert_eq!(commit(b"COMMIT"), line(None, None));
        assert_eq!(commit(b"COMMIT 725"), line(Some(725), None));
        assert_eq!(commit(b"COMMIT 7 (at 2000-01-01 00:00:01+00)"), line(Some(7), Some(1_000_000)));
        assert_eq!(commit(b"COMMIT (at 2000-01-01 00:00:00.25+00)"), line(None, Some(250_000)));
    }

    #[test]
    fn what_else_follows_is_an_error() {
        for (line, position, fault) in [
            ("BEGIN x", 6, Fault::Expected("a transaction id")),
            ("BEGIN 4294967296", 6, Fault::Expected("a transaction id")),
            ("BEGINNING", 5, Fault::Expected("a transaction id")),
            ("BEGIN 7 ", 7, Fault::Expected("the end of the line")),
        ] {
            let error = begin(line.as_bytes()).unwrap_err();
            assert_eq!((error.position, error.fault), (position, fault), "{line}");
        }
        for (line, position, fault) in [
            ("COMMIT 7 8", 8, Fault::Expected("the end of the line")),
            ("COMMIT (at noon)", 11, Fault::Expected("a timestamp")),
            ("COMMIT (at 2000-01-01 00:00:00+00", 33, Fault::Expected("a closing parenthesis")),
        ] {
            let error = commit(line.as_bytes()).unwrap_err();
            assert_eq!((error.position, error.fault), (position, fault), "{line}");
        }
    }
}
