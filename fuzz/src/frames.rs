//! Several messages in one input: each is two bytes of length, the higher one first, and so many bytes.

/// The messages of `data`. The last one is what is left where that is shorter than its length says.
pub fn split(data: &[u8]) -> Vec<&[u8]> {
    let (mut frames, mut rest) = (Vec::new(), data);
    while let Some((length, behind)) = rest.split_first_chunk::<2>() {
        let length = usize::from(u16::from_be_bytes(*length));
        let (frame, after) = behind.split_at_checked(length).unwrap_or((behind, &[]));
        frames.push(frame);
        rest = after;
    }
    frames
}

/// Appends `frame` to `out`, cut to what its length can say.
pub fn push(frame: &[u8], out: &mut Vec<u8>) {
    let length = u16::try_from(frame.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(frame.get(..usize::from(length)).unwrap_or_default());
}

/// The inverse of [`split`].
pub fn join<T: AsRef<[u8]>>(frames: &[T]) -> Vec<u8> {
    let mut out = Vec::new();
    frames.iter().for_each(|frame| push(frame.as_ref(), &mut out));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_as_they_were_joined() {
        let long = vec![b'x'; 70_000];
        let data = join(&[&b"ab"[..], b"", &long, b"c"]);
        let frames = split(&data);
        assert_eq!(frames, [&b"ab"[..], b"", &long[..65_535], b"c"]);
        assert_eq!(split(b"\0\x09abc"), [b"abc"]);
        assert_eq!(split(b"\0"), [] as [&[u8]; 0]);
    }
}
