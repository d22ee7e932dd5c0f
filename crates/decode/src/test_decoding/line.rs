//! What kind of line it is; where and why one was not understood.

use change::TableName;
use nom::bytes::complete::tag;
use nom::combinator::eof;
use nom::error::{ContextError, ErrorKind, ParseError, context};
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser};

use super::name;
use crate::error::{DecodeError, Fault};

/// By how it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A row or a TRUNCATE.
    Table,
    Message {
        transactional: bool,
    },
    Begin,
    Commit,
    /// Of a transaction that may still be rolled back.
    InProgress,
    /// A part of a transaction that was rolled back, and of which nothing was sent.
    Aborted,
    Prepared,
}

const KINDS: [(&[u8], Kind); 14] = [
    (b"table ", Kind::Table),
    (b"message: transactional: 1 ", Kind::Message { transactional: true }),
    (b"message: transactional: 0 ", Kind::Message { transactional: false }),
    (b"COMMIT PREPARED ", Kind::Prepared),
    (b"BEGIN", Kind::Begin),
    (b"COMMIT", Kind::Commit),
    (b"PREPARE TRANSACTION ", Kind::Prepared),
    (b"ROLLBACK PREPARED ", Kind::Prepared),
    (b"preparing streamed transaction", Kind::Prepared),
    (b"opening a streamed block", Kind::InProgress),
    (b"closing a streamed block", Kind::InProgress),
    (b"streaming ", Kind::InProgress),
    (b"aborting streamed (sub)transaction", Kind::Aborted),
    (b"committing streamed transaction", Kind::InProgress),
];

impl Kind {
    #[inline]
    pub(super) fn of(line: &[u8]) -> Result<Kind, DecodeError> {
        let known = KINDS.iter().find(|(begins, _)| line.starts_with(begins));
        known.map(|(_, kind)| *kind).ok_or_else(|| match line.first() {
            Some(&byte) => error_at(line, 0, Fault::UnknownMessage(byte)),
            None => error_at(line, 0, Fault::Truncated("the kind of line")),
        })
    }
}

/// The error `fault` at the byte `position` of `line`, and the table that the line is about.
#[cold]
pub(super) fn error_at(line: &[u8], position: usize, fault: Fault) -> DecodeError {
    let tag = line.first().copied().unwrap_or(0);
    DecodeError { tag, relation: only_table(line).map(Box::new), position, fault }
}

/// The table of a line that names one and goes on behind it: where the line ends, the name may have been cut too.
fn only_table(line: &[u8]) -> Option<TableName> {
    let intro = delimited(tag("table "), name::table, tag(":")).parse(line);
    intro.ok().map(|(_, name)| name)
}

/// The result of a parser on the rest of a line.
pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, Failure<'a>>;

/// Where a parser stopped, as the rest of the line from there, and what is wrong there; `None` as long as no
/// [`context`] has said it.
#[derive(Debug)]
pub(super) struct Failure<'a> {
    rest: &'a [u8],
    fault: Option<Fault>,
}

impl<'a> Failure<'a> {
    pub(super) fn new(rest: &'a [u8], fault: Fault) -> nom::Err<Self> {
        nom::Err::Failure(Failure { rest, fault: Some(fault) })
    }
}

impl<'a> ParseError<&'a [u8]> for Failure<'a> {
    fn from_error_kind(rest: &'a [u8], _: ErrorKind) -> Self {
        Failure { rest, fault: None }
    }

    fn append(_: &'a [u8], _: ErrorKind, inner: Self) -> Self {
        inner
    }
}

/// The innermost context is the most precise one.
impl<'a> ContextError<&'a [u8]> for Failure<'a> {
    fn add_context(_: &'a [u8], what: &'static str, inner: Self) -> Self {
        Failure { fault: Some(inner.fault.unwrap_or(Fault::Expected(what))), ..inner }
    }
}

/// Runs `parser` on the line from `at` on, and tells what it made of it and where it ended.
pub(super) fn parse_at<'a, T>(
    line: &'a [u8],
    at: usize,
    mut parser: impl Parser<&'a [u8], Output = T, Error = Failure<'a>>,
) -> Result<(T, usize), DecodeError> {
    match parser.parse(line.get(at..).unwrap_or_default()) {
        Ok((rest, parsed)) => Ok((parsed, line.len() - rest.len())),
        Err(nom::Err::Error(failure) | nom::Err::Failure(failure)) => {
            let fault = failure.fault.unwrap_or(Fault::Expected("something else"));
            Err(error_at(line, line.len() - failure.rest.len(), fault))
        }
        Err(nom::Err::Incomplete(_)) => {
            Err(error_at(line, line.len(), Fault::Truncated("the line")))
        }
    }
}

/// The same for a parser of all of the line.
pub(super) fn parse<'a, T>(
    line: &'a [u8],
    parser: impl Parser<&'a [u8], Output = T, Error = Failure<'a>>,
) -> Result<T, DecodeError> {
    let end = context("the end of the line", eof);
    parse_at(line, 0, terminated(parser, end)).map(|(parsed, _)| parsed)
}
