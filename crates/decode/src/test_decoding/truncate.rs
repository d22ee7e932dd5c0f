//! `table public.a, public."B c": TRUNCATE: restart_seqs cascade`, or `(no-flags)`.

use change::TruncateOptions;
use nom::Parser;
use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::combinator::{opt, value};
use nom::error::context;
use nom::multi::separated_list1;
use nom::sequence::{delimited, pair};

use super::line::parse;
use super::name::table;
use crate::error::DecodeError;
use crate::event::{Truncate, TruncatedTable};

pub(super) fn read(line: &[u8]) -> Result<Truncate, DecodeError> {
    let table = table.map(|name| TruncatedTable { oid: None, name });
    let tables = delimited(
        tag("table "),
        separated_list1(tag(", "), table),
        context("\": TRUNCATE:\" after the tables", tag(": TRUNCATE:")),
    );
    let restart = pair(tag(" restart_seqs"), opt(tag(" cascade")))
        .map(|(_, cascade)| TruncateOptions { restart_identity: true, cascade: cascade.is_some() });
    let cascade = TruncateOptions { restart_identity: false, cascade: true };
    let options = alt((
        value(TruncateOptions::default(), tag(" (no-flags)")),
        restart,
        value(cascade, tag(" cascade")),
    ));
    let (tables, options) = parse(line, (tables, context("the options of TRUNCATE", options)))?;
    Ok(Truncate { tables, options })
}
