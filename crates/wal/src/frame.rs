//! Where one protocol message ends and the next begins.
//!
//! A [message](https://www.postgresql.org/docs/current/protocol-message-formats.html) is a tag byte, a length that
//! counts itself but not the tag, and a body. The length comes from outside: it is checked before anything is done
//! with it, and nothing is allocated for what has not arrived.

use crate::error::{Error, Result};

/// Tag and length.
pub(crate) const HEADER: usize = 5;

/// The largest message of a logged-in session: a value may have 1 GiB, and a little is put around it.
pub(crate) const MAX_FRAME: usize = (1 << 30) + 1024;

/// The largest message before the login is through. libpq allows 2000 bytes, or 30000 for an error.
pub(crate) const MAX_LOGIN_FRAME: usize = 64 * 1024;

pub(crate) const COPY_DATA: u8 = b'd';
pub(crate) const COPY_BOTH_RESPONSE: u8 = b'W';

/// The first bytes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) tag: u8,
    /// Bytes of the whole message, tag and length included; at least [`HEADER`].
    pub(crate) size: usize,
}

/// The head of the message that `bytes` begin with, once enough of them are there. `position` is that of the first.
#[inline]
pub(crate) fn head(bytes: &[u8], limit: usize, position: u64) -> Result<Option<Head>> {
    let Some((&[tag, a, b, c, d], _)) = bytes.split_first_chunk::<HEADER>() else {
        return Ok(None);
    };
    let length = u32::from_be_bytes([a, b, c, d]);
    match usize::try_from(length) {
        Ok(length) if (4..limit).contains(&length) => Ok(Some(Head { tag, size: length + 1 })),
        _ => Err(bad_length(tag, length, limit, position)),
    }
}

#[cold]
fn bad_length(tag: u8, length: u32, limit: usize, position: u64) -> Error {
    Error::protocol(
        position,
        format!(
            "message {:?} (0x{tag:02x}) says it has {length} bytes; allowed are 4 to {}",
            char::from(tag),
            limit - 1
        ),
    )
}

/// The bytes of all whole CopyData messages at the beginning of `bytes`, and what follows them.
pub(crate) fn copy_data_run(bytes: &[u8], limit: usize, position: u64) -> Result<Run> {
    let mut run = Run::default();
    loop {
        let rest = bytes.get(run.whole..).unwrap_or_default();
        let Some(head) = head(rest, limit, position + run.whole as u64)? else {
            return Ok(run);
        };
        if head.tag != COPY_DATA || head.size > rest.len() {
            run.next = Some(head);
            return Ok(run);
        }
        run.whole += head.size;
    }
}

/// What [`copy_data_run`] found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Bytes of whole CopyData messages.
    pub(crate) whole: usize,
    /// The message behind them: another kind, or a CopyData message that is not all there. None if not even its head is.
    pub(crate) next: Option<Head>,
}

/// The bodies of messages that were framed by [`copy_data_run`].
#[derive(Debug, Clone)]
pub(crate) struct Bodies<'a> {
    rest: &'a [u8],
}

impl<'a> Bodies<'a> {
    pub(crate) fn new(frames: &'a [u8]) -> Self {
        Bodies { rest: frames }
    }

    /// Bytes not yet walked over.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }
}

impl<'a> Iterator for Bodies<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (&[_, a, b, c, d], _) = self.rest.split_first_chunk::<HEADER>()?;
        let size = usize::try_from(u32::from_be_bytes([a, b, c, d])).ok()?.checked_add(1)?;
        let (frame, rest) = self.rest.split_at_checked(size)?;
        self.rest = rest;
        frame.get(HEADER..)
    }
}
