//! Random changes of an input, the kind of damage that a parser has to live with.

use fastrand::Rng;

use crate::frames;

/// What a random byte would hardly ever become, and parsers decide on.
const TOKENS: &[&[u8]] = &[
    b"\0",
    b"\xff",
    b"'",
    b"''",
    b"\"",
    b"\\",
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b", ",
    b";",
    b":",
    b" ",
    b"(",
    b")",
    b"=>",
    b"\t",
    b"\n",
    b"\r\n",
    b"\\N",
    b"\\.",
    b"\\u0061",
    b"\\ud800",
    b"\\udc00",
    b"\\\"",
    b"NULL",
    b"null",
    b"empty",
    b"NaN",
    b"-Infinity",
    b"infinity",
    b"true",
    b"t",
    b"BC",
    b"+05:30",
    b"1e999",
    b"-0",
    b"0.",
    b"{\"a\":1,\"a\":2}",
    b"\"a\":",
    b"[0:1]=",
    b"\\x",
    b"\xe2\x80\xa8",
    b"\xf0\x9f\x98\x80",
    b"\xed\xa0\x80",
    b"\xc0\x80",
    b"unchanged-toast-datum",
    b" old-key:",
    b" new-tuple:",
    b" (no-tuple-data)",
    b": INSERT:",
    b": UPDATE:",
    b": DELETE:",
    b": TRUNCATE:",
    b"[integer]:",
    b"[text]:",
    b"[boolean]:",
    b"table public.",
    b"message: transactional: 1 prefix: ",
    b", sz: 3 content:",
    b"B'",
    b"N",
    b"K",
    b"O",
    b"u",
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\x80\0\0\0",
    b"\0\0\0\x01",
    b"\xff\xff",
    b"\x7f\xff",
    b"\x80\0",
    b"\0\x01",
];

/// Changes `data` in a place, sometimes in two or more; `other` is another input to take pieces from.
pub fn bytes(rng: &mut Rng, data: &mut Vec<u8>, other: &[u8]) {
    change(rng, data, other);
    while rng.u8(0..3) == 0 {
        change(rng, data, other);
    }
}

fn change(rng: &mut Rng, data: &mut Vec<u8>, other: &[u8]) {
    let at = rng.usize(0..=data.len());
    let end = (at + rng.usize(0..=16)).min(data.len());
    match rng.u8(0..9) {
        0 => data.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << rng.u8(0..8)),
        1 => data.iter_mut().skip(at).take(1).for_each(|byte| *byte = rng.u8(..)),
        2 => insert(data, at, at, token(rng)),
        3 => {
            let token = token(rng);
            insert(data, at, (at + token.len()).min(data.len()), token);
        }
        4 => insert(data, at, end, &[]),
        5 => {
            let piece = data.get(at..end).unwrap_or_default().repeat(rng.usize(1..=3));
            let to = rng.usize(0..=data.len());
            insert(data, to, to, &piece);
        }
        6 if rng.bool() => data.truncate(at),
        7 if rng.bool() => {
            let from = rng.usize(0..=other.len());
            data.truncate(at);
            data.extend_from_slice(other.get(from..).unwrap_or_default());
        }
        _ => {
            let from = rng.usize(0..=other.len());
            let to = (from + rng.usize(0..=32)).min(other.len());
            insert(data, at, at, other.get(from..to).unwrap_or_default());
        }
    }
}

fn token(rng: &mut Rng) -> &'static [u8] {
    TOKENS.get(rng.usize(0..TOKENS.len())).copied().unwrap_or_default()
}

/// Puts `piece` in the place of the bytes from `start` to `end`.
fn insert(data: &mut Vec<u8>, start: usize, end: usize, piece: &[u8]) {
    data.splice(start..end, piece.iter().copied());
}

/// As [`bytes`], of an input whose first byte is followed by [`frames`]: within one of them, or of all as they follow
/// each other, so that the frames before and behind stay what they were.
pub fn framed(rng: &mut Rng, data: &mut Vec<u8>, other: &[u8]) {
    if data.is_empty() || rng.u8(0..32) == 0 {
        return bytes(rng, data, other);
    }
    let first = data.first().copied().unwrap_or_default();
    let first = if rng.u8(0..16) == 0 { rng.u8(..) } else { first };
    let mut all: Vec<Vec<u8>> =
        frames::split(data.get(1..).unwrap_or_default()).into_iter().map(<[u8]>::to_vec).collect();
    let others = frames::split(other.get(1..).unwrap_or_default());
    if !all.is_empty() {
        reorder(rng, &mut all, &others);
    }
    *data = vec![first];
    data.extend(frames::join(&all));
}

fn reorder(rng: &mut Rng, all: &mut Vec<Vec<u8>>, others: &[&[u8]]) {
    let at = rng.usize(0..all.len());
    let other = match others {
        [] => &[][..],
        others => others.get(rng.usize(0..others.len())).copied().unwrap_or_default(),
    };
    match rng.u8(0..10) {
        0 => drop(all.remove(at)),
        1 => all.insert(at, other.to_vec()),
        2 => {
            let from = rng.usize(0..all.len());
            let frame = all.remove(from);
            all.insert(at.min(all.len()), frame);
        }
        3 => {
            let frame = all.get(at).cloned().unwrap_or_default();
            all.insert(rng.usize(0..=all.len()), frame);
        }
        4 if rng.bool() => all.truncate(at + 1),
        _ => {
            if let Some(frame) = all.get_mut(at) {
                bytes(rng, frame, other);
            }
        }
    }
}
