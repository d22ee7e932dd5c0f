//! `host=db1 user='o''brien'`: libpq's keyword/value strings.
//!
//! [The rules](https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-KEYWORD-VALUE): spaces
//! around `=` are allowed; a value that is empty or has spaces stands in single quotes; `\'` and `\\` inside of a
//! value.

use std::iter::Peekable;
use std::str::Chars;

use crate::error::{Error, Result};

/// The pairs in the order in which they stand there.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>> {
    let mut rest = text.chars().peekable();
    let mut pairs = Vec::new();
    loop {
        skip_spaces(&mut rest);
        if rest.peek().is_none() {
            return Ok(pairs);
        }
        let name = name(&mut rest);
        skip_spaces(&mut rest);
        if rest.next_if_eq(&'=').is_none() {
            return Err(Error::settings(format!(
                "missing \"=\" after {name:?} (is it a URL? then it begins with postgresql://)"
            )));
        }
        skip_spaces(&mut rest);
        let value = if rest.next_if_eq(&'\'').is_some() {
            quoted(&mut rest)
                .ok_or_else(|| Error::settings(format!("the quote of {name}='… is never closed")))?
        } else {
            plain(&mut rest)
        };
        pairs.push((name, value));
    }
}

fn skip_spaces(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|c| c.is_ascii_whitespace()).is_some() {}
}

fn name(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut name = String::new();
    while let Some(c) = rest.next_if(|&c| c != '=' && !c.is_ascii_whitespace()) {
        name.push(c);
    }
    name
}

fn plain(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut value = String::new();
    while let Some(c) = rest.next_if(|c| !c.is_ascii_whitespace()) {
        value.extend(if c == '\\' { rest.next() } else { Some(c) });
    }
    value
}

fn quoted(rest: &mut Peekable<Chars<'_>>) -> Option<String> {
    let mut value = String::new();
    loop {
        match rest.next()? {
            '\'' => return Some(value),
            '\\' => value.push(rest.next()?),
            c => value.push(c),
        }
    }
}
