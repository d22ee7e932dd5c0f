//! `message: transactional: 1 prefix: p, sz: 3 content:abc`.
//!
//! Prefix and content hold whatever the application wrote, so the text between them can occur in both. The length
//! tells: it is right only where the content ends with the line. Should that fit twice, the first is taken.

use change::Lsn;
use memchr::memmem;
use nom::Parser;
use nom::bytes::complete::tag;
use nom::character::complete::{one_of, u64};
use nom::sequence::delimited;

use super::line::{Parsed, error_at, parse_at};
use crate::error::{DecodeError, Fault};
use crate::event::LogicalMessage;

pub(super) fn read(line: &[u8], lsn: Lsn) -> Result<LogicalMessage<'_>, DecodeError> {
    let flag = delimited(tag("message: transactional: "), one_of("01"), tag(" prefix: "));
    let (transactional, start) = parse_at(line, 0, flag.map(|flag| flag == '1'))?;
    let rest = line.get(start..).unwrap_or_default();
    let (prefix, content) =
        memmem::find_iter(rest, ", sz: ").find_map(|end| split(rest, end)).ok_or_else(|| {
            error_at(line, start, Fault::Expected("a prefix, a length and a content"))
        })?;
    let prefix = std::str::from_utf8(prefix)
        .map_err(|_| error_at(line, start, Fault::NotUtf8("the prefix of a message")))?;
    Ok(LogicalMessage { transactional, lsn, prefix, content })
}

/// Prefix and content, if the prefix ends at `end`.
fn split(rest: &[u8], end: usize) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = rest.split_at_checked(end)?;
    let mut length = delimited(tag(", sz: "), u64, tag(" content:"));
    let parsed: Parsed<'_, u64> = length.parse(rest);
    let (content, length) = parsed.ok()?;
    (u64::try_from(content.len()) == Ok(length)).then_some((prefix, content))
}
