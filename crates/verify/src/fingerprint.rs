//! 128 bits that stand for a document.

use sha2::{Digest as _, Sha256};

/// The first half of the SHA-256 of `_id` and source, byte for byte: two documents with the same one are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u64; 2]);

impl Fingerprint {
    /// Of the document `id` with this source.
    pub fn of(id: &[u8], source: &[u8]) -> Self {
        let mut hash = Sha256::new();
        hash.update(id.len().to_le_bytes());
        hash.update(id);
        hash.update(source);
        let digest = hash.finalize();
        let half = |from: usize| {
            digest.iter().skip(from).take(8).fold(0, |half, byte| half << 8 | u64::from(*byte))
        };
        Fingerprint([half(0), half(8)])
    }

    /// The two halves, each of which is added up by itself.
    pub(crate) fn halves(self) -> [u64; 2] {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_and_source_are_kept_apart() {
        assert_eq!(Fingerprint::of(b"1", b"{}"), Fingerprint::of(b"1", b"{}"));
        assert_ne!(Fingerprint::of(b"1", b"2{}"), Fingerprint::of(b"12", b"{}"));
        assert_ne!(Fingerprint::of(b"1", b"{}"), Fingerprint::of(b"1", b"{ }"));
    }
}
