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
    /// The message behind them: another kind, or a CopyData message that is not all there. None if not even its head
    /// is.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(bytes: &[u8], limit: usize) -> String {
        let error = head(bytes, limit, 1000).unwrap_err();
        assert_eq!(error.kind(), crate::Kind::Definite);
        error.to_string()
    }

    #[test]
    fn heads() {
        assert_eq!(head(b"", 100, 0).unwrap(), None);
        assert_eq!(head(b"d\0\0\0", 100, 0).unwrap(), None);
        assert_eq!(head(b"c\0\0\0\x04", 100, 0).unwrap(), Some(Head { tag: b'c', size: 5 }));
        assert_eq!(head(b"d\0\0\0\x63more", 100, 0).unwrap(), Some(Head { tag: b'd', size: 100 }));
    }

    #[test]
    fn lengths_out_of_range_are_refused_with_their_position() {
        for length in [[0, 0, 0, 0], [0, 0, 0, 3], [0, 0, 0, 100], [0x80, 0, 0, 0], [0xFF; 4]] {
            let [a, b, c, d] = length;
            let message = refused(&[b'd', a, b, c, d], 100);
            assert!(message.contains("byte 1000 "), "{message}");
        }
        assert!(head(&[b'd', 0x40, 0, 0, 0x10], MAX_FRAME, 0).is_ok());
        assert!(head(&[b'd', 0x40, 0, 0x04, 0], MAX_FRAME, 0).is_err());
    }

    #[test]
    fn a_run_ends_before_what_is_no_whole_copy_data() {
        let stream = b"d\0\0\0\x05ad\0\0\0\x04c\0\0\0\x04";
        let end = Run { whole: 11, next: Some(Head { tag: b'c', size: 5 }) };
        assert_eq!(copy_data_run(stream, 100, 0).unwrap(), end);
        let cut = Run { whole: 6, next: Some(Head { tag: b'd', size: 5 }) };
        assert_eq!(
            copy_data_run(b"d\0\0\0\x05ad\0\0\0\x04"[..11].as_ref(), 100, 0).unwrap().whole,
            11
        );
        assert_eq!(
            copy_data_run(b"d\0\0\0\x05ad\0\0\0", 100, 0).unwrap(),
            Run { whole: 6, next: None }
        );
        assert_eq!(copy_data_run(b"d\0\0\0\x05ad\0\0\0\x05", 100, 0).unwrap().whole, cut.whole);
        let bodies: Vec<_> = Bodies::new(&stream[..11]).collect();
        assert_eq!(bodies, [&b"a"[..], b""]);
    }

    #[test]
    fn a_bad_length_behind_good_messages_is_found() {
        let error = copy_data_run(b"d\0\0\0\x05ad\0\0\0\x01", 100, 50).unwrap_err();
        assert!(error.to_string().contains("byte 56 "), "{error}");
    }

    #[test]
    fn bodies_of_broken_frames_end() {
        assert_eq!(Bodies::new(b"d\0\0\0\x09ab").count(), 0);
        assert_eq!(Bodies::new(b"d\xFF\xFF\xFF\xFFab").count(), 0);
        assert_eq!(Bodies::new(b"d\0\0\0\0").next(), None);
    }
}
