//! Which fields of an object have the same key.
//!
//! Keys are compared for what they say: `"a"` is `"\u0061"`. Objects that come in the order of `jsonb` never get here,
//! small ones are compared pair by pair, and larger ones are sorted, so that no choice of keys makes it slow.

use std::cmp::Ordering;
use std::ops::Range;
use std::str::Chars;

/// Up to so many keys are compared pair by pair.
const FEW: usize = 8;

/// One field of an object that is being read.
#[derive(Debug, Clone)]
pub(super) struct Key {
    /// Where the field begins in the output.
    field: usize,
    /// Where the key lies in the text, between its quotation marks.
    span: Range<usize>,
    /// The key has a backslash.
    escaped: bool,
    /// A later field has the same key.
    superseded: bool,
}

impl Key {
    pub(super) fn new(text: &str, field: usize, span: Range<usize>) -> Self {
        let escaped = text.as_bytes()[span.clone()].contains(&b'\\');
        Key { field, span, escaped, superseded: false }
    }

    fn raw<'a>(&self, text: &'a str) -> &'a str {
        text.get(self.span.clone()).unwrap_or_default()
    }

    /// True when this key is certainly before `other` in the order in which `jsonb` keeps keys: by length, then by
    /// bytes.
    pub(super) fn comes_before(&self, other: &Key, text: &str) -> bool {
        let order = |key: &Key| (key.span.len(), key.raw(text).as_bytes());
        !self.escaped && !other.escaped && order(self) < order(other)
    }

    /// By code points of what the keys say.
    fn compare(&self, other: &Key, text: &str) -> Ordering {
        let (one, two) = (self.raw(text), other.raw(text));
        if self.escaped || other.escaped {
            Unescaped(one.chars()).cmp(Unescaped(two.chars()))
        } else {
            one.cmp(two)
        }
    }

    fn same(&self, other: &Key, text: &str) -> bool {
        let unlike = !self.escaped && !other.escaped && self.span.len() != other.span.len();
        !unlike && self.compare(other, text).is_eq()
    }
}

/// Marks all but the last of equal keys. True when there are any; then the keys are in the order of their fields.
pub(super) fn mark_superseded(text: &str, keys: &mut [Key]) -> bool {
    if keys.len() <= FEW {
        for at in 0..keys.len() {
            let (before, later) = keys.split_at_mut(at + 1);
            before[at].superseded = later.iter().any(|key| key.same(&before[at], text));
        }
    } else {
        keys.sort_unstable_by(|a, b| a.compare(b, text).then(a.field.cmp(&b.field)));
        for at in 1..keys.len() {
            keys[at - 1].superseded = keys[at - 1].same(&keys[at], text);
        }
    }
    let any = keys.iter().any(|key| key.superseded);
    if any {
        keys.sort_unstable_by_key(|key| key.field);
    }
    any
}

/// Takes the fields marked out of `out`, which ends with the last one. Each takes the comma behind it along; the last
/// field is never marked.
pub(super) fn remove_superseded(keys: &[Key], out: &mut Vec<u8>) {
    let Some(first) = keys.first() else { return };
    let mut end = first.field;
    for (at, key) in keys.iter().enumerate() {
        let next = keys.get(at + 1).map_or(out.len(), |next| next.field);
        if !key.superseded {
            out.copy_within(key.field..next, end);
            end += next - key.field;
        }
    }
    out.truncate(end);
}

/// The code points of a key whose escape sequences were checked. Half of a surrogate pair counts as one: `json` may
/// hold it.
struct Unescaped<'a>(Chars<'a>);

impl Unescaped<'_> {
    /// The number in the four hexadecimal digits that come next.
    fn unit(chars: &mut Chars<'_>) -> Option<u32> {
        (0..4).try_fold(0, |unit, _| Some(unit << 4 | chars.next()?.to_digit(16)?))
    }

    /// The second half of a surrogate pair, if it comes next.
    fn low_half(&mut self) -> Option<u32> {
        let mut ahead = self.0.clone();
        let escape = ahead.next() == Some('\\') && ahead.next() == Some('u');
        let low = Self::unit(&mut ahead).filter(|low| escape && (0xDC00..0xE000).contains(low))?;
        self.0 = ahead;
        Some(low)
    }
}

impl Iterator for Unescaped<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        match self.0.next()? {
            '\\' => match self.0.next()? {
                'u' => {
                    let unit = Self::unit(&mut self.0)?;
                    let low = if (0xD800..0xDC00).contains(&unit) { self.low_half() } else { None };
                    Some(low.map_or(unit, |low| 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00)))
                }
                'b' => Some(0x08),
                'f' => Some(0x0C),
                'n' => Some(0x0A),
                'r' => Some(0x0D),
                't' => Some(0x09),
                other => Some(u32::from(other)),
            },
            other => Some(u32::from(other)),
        }
    }
}
