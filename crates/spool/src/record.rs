//! One message with the part that it belongs to: `part u32, length u32, bytes`, integers little-endian.

use std::ops::Range;

/// Bytes before the message.
pub(crate) const HEADER: usize = 8;

/// What stands before a message; `None` if the record is longer than a `u32` can say.
pub(crate) fn header(part: u32, message: &[u8]) -> Option<[u8; HEADER]> {
    let record = u32::try_from(message.len().checked_add(HEADER)?).ok()?;
    let length = u64::from(record) - HEADER as u64;
    Some((length << 32 | u64::from(part)).to_le_bytes())
}

/// The part of the record at `at`, and where its message is; `None` if it does not lie within `block`.
pub(crate) fn split(block: &[u8], at: usize) -> Option<(u32, Range<usize>)> {
    let (part, rest) = block.get(at..)?.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let start = at + HEADER;
    (length <= rest.len()).then(|| (u32::from_le_bytes(*part), start..start + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_a_record() {
        let mut block = header(0x0102_0304, b"abc").unwrap().to_vec();
        block.extend(b"abc");
        assert_eq!(block, *b"\x04\x03\x02\x01\x03\0\0\0abc");
        assert_eq!(split(&block, 0), Some((0x0102_0304, 8..11)));
        assert_eq!(split(&block, 11), None);
        assert_eq!(split(&block, usize::MAX), None);
        assert!((0..block.len()).all(|short| split(&block[..short], 0).is_none()));
    }
}
