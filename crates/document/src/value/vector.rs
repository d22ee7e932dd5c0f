//! pgvector's [`vector`](https://github.com/pgvector/pgvector#vector-type): `[1,0.5,-2e-05]`, which is JSON already.

use super::number;
use crate::error::Malformed;

pub(super) fn write(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    if text.first() != Some(&b'[') {
        return Err(Malformed::new(0, "["));
    }
    let mut at = 1;
    loop {
        at = number::scan(text, at)?;
        match text.get(at) {
            Some(b',') => at += 1,
            Some(b']') if at + 1 == text.len() => break,
            _ => return Err(Malformed::new(at, ", or the final ]")),
        }
    }
    out.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;
    use change::PgType::Vector;

    #[test]
    fn numbers_stay_as_they_are() {
        for text in ["[1]", "[1,0.5,-2e-05]", "[-0,3.4028235e+38]"] {
            assert_eq!(written(&Vector(None), text.as_bytes()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn anything_else_is_an_error() {
        for (text, offset, expected) in [
            ("", 0, "["),
            ("[]", 1, "a digit"),
            ("[NaN]", 1, "a digit"),
            ("[1,]", 3, "a digit"),
            ("[1", 2, ", or the final ]"),
            ("[1]]", 2, ", or the final ]"),
            ("[1, 2]", 3, "a digit"),
        ] {
            assert_eq!(
                written(&Vector(None), text.as_bytes()),
                Err(Malformed::new(offset, expected))
            );
        }
    }
}
