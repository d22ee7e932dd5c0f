//! Reads the fields of one message from its bytes, and knows where it is when one is missing.

use change::Lsn;

use crate::error::{DecodeError, Fault};

/// A position in one message.
pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Cursor { bytes, position: 0 }
    }

    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The error `fault` at the current position.
    #[cold]
    pub(crate) fn error(&self, fault: Fault) -> DecodeError {
        self.error_at(self.position, fault)
    }

    #[cold]
    pub(crate) fn error_at(&self, position: usize, fault: Fault) -> DecodeError {
        let tag = self.bytes.first().copied().unwrap_or(0);
        DecodeError { tag, relation: None, position, fault }
    }

    #[inline]
    pub(crate) fn take(&mut self, len: usize, what: &'static str) -> Result<&'a [u8], DecodeError> {
        match self.bytes.get(self.position..).and_then(|rest| rest.get(..len)) {
            Some(taken) => {
                self.position += len;
                Ok(taken)
            }
            None => Err(self.error(Fault::Truncated(what))),
        }
    }

    #[inline]
    fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], DecodeError> {
        match self.bytes.get(self.position..).and_then(<[u8]>::first_chunk::<N>) {
            Some(taken) => {
                self.position += N;
                Ok(*taken)
            }
            None => Err(self.error(Fault::Truncated(what))),
        }
    }

    #[inline]
    pub(crate) fn u8(&mut self, what: &'static str) -> Result<u8, DecodeError> {
        self.array::<1>(what).map(|[byte]| byte)
    }

    #[inline]
    pub(crate) fn i16(&mut self, what: &'static str) -> Result<i16, DecodeError> {
        self.array(what).map(i16::from_be_bytes)
    }

    #[inline]
    pub(crate) fn u32(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        self.array(what).map(u32::from_be_bytes)
    }

    #[inline]
    pub(crate) fn i32(&mut self, what: &'static str) -> Result<i32, DecodeError> {
        self.array(what).map(i32::from_be_bytes)
    }

    pub(crate) fn i64(&mut self, what: &'static str) -> Result<i64, DecodeError> {
        self.array(what).map(i64::from_be_bytes)
    }

    pub(crate) fn lsn(&mut self, what: &'static str) -> Result<Lsn, DecodeError> {
        self.array(what).map(|bytes| Lsn::new(u64::from_be_bytes(bytes)))
    }

    /// A transaction id, which can't be 0 (`InvalidTransactionId`).
    #[inline]
    pub(crate) fn xid(&mut self, what: &'static str) -> Result<u32, DecodeError> {
        let at = self.position;
        match self.u32(what)? {
            0 => Err(self.error_at(at, Fault::NoTransaction)),
            xid => Ok(xid),
        }
    }

    /// A count of elements in 32 bits, which can't be negative.
    #[inline]
    pub(crate) fn length(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let at = self.position;
        let length = self.i32(what)?;
        usize::try_from(length)
            .map_err(|_| self.error_at(at, Fault::Length { what, length: i64::from(length) }))
    }

    /// A count in 16 bits, which can't be negative.
    #[inline]
    pub(crate) fn count(&mut self, what: &'static str) -> Result<usize, DecodeError> {
        let at = self.position;
        let length = self.i16(what)?;
        usize::try_from(length)
            .map_err(|_| self.error_at(at, Fault::Length { what, length: i64::from(length) }))
    }

    /// A string that ends with a zero byte.
    pub(crate) fn string(&mut self, what: &'static str) -> Result<&'a str, DecodeError> {
        let at = self.position;
        let rest = self.bytes.get(at..).unwrap_or_default();
        let end = memchr::memchr(0, rest).ok_or_else(|| self.error(Fault::Truncated(what)))?;
        self.position = at + end + 1;
        std::str::from_utf8(rest.get(..end).unwrap_or_default())
            .map_err(|_| self.error_at(at, Fault::NotUtf8(what)))
    }

    /// Checks that nothing follows.
    #[inline]
    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        match self.bytes.len() - self.position {
            0 => Ok(()),
            left => Err(self.error(Fault::Trailing(left))),
        }
    }
}
