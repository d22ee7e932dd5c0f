//! [`bytea`](https://www.postgresql.org/docs/current/datatype-binary.html) with `bytea_output = hex`: `\x6869` becomes
//! the base64 string `"aGk="`, with padding ([RFC 4648, section 4](https://www.rfc-editor.org/rfc/rfc4648#section-4)).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::Malformed;

/// Bytes that are turned over at a time; a multiple of three, so that padding comes only at the end.
const STEP: usize = 384;

pub(super) fn write(text: &[u8], out: &mut Vec<u8>) -> Result<(), Malformed> {
    let digits =
        text.strip_prefix(b"\\x").ok_or(Malformed::new(0, "\\x and hexadecimal digits"))?;
    if digits.len() % 2 == 1 {
        return Err(Malformed::new(text.len(), "an even number of hexadecimal digits"));
    }
    out.reserve(digits.len() / 6 * 4 + 6);
    out.push(b'"');
    let mut bytes = [0; STEP];
    for (step, chunk) in digits.chunks(2 * STEP).enumerate() {
        for (place, (byte, pair)) in bytes.iter_mut().zip(chunk.as_chunks::<2>().0).enumerate() {
            let [high, low] = pair.map(|digit| HEX[usize::from(digit)]);
            if (high | low) & BAD != 0 {
                let at = 2 + 2 * (step * STEP + place) + usize::from(high & BAD == 0);
                return Err(Malformed::new(at, "a hexadecimal digit"));
            }
            *byte = high << 4 | low;
        }
        write_base64(&bytes[..chunk.len() / 2], out);
    }
    out.push(b'"');
    Ok(())
}

fn write_base64(bytes: &[u8], out: &mut Vec<u8>) {
    let mut encoded = [0; STEP / 3 * 4];
    // It fits: `bytes` has at most STEP bytes.
    let len = STANDARD.encode_slice(bytes, &mut encoded).unwrap_or_default();
    out.extend_from_slice(&encoded[..len]);
}

const BAD: u8 = 0x80;

/// The value of each hexadecimal digit, [`BAD`] for every other byte.
const HEX: [u8; 256] = {
    let mut table = [BAD; 256];
    let (lower, upper) = (b"0123456789abcdef", b"0123456789ABCDEF");
    let mut value = 0;
    while value < 16 {
        table[lower[value as usize] as usize] = value;
        table[upper[value as usize] as usize] = value;
        value += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::super::written;
    use super::*;
    use change::PgType::Bytea;

    #[test]
    fn bytes_become_base64() {
        for (text, expected) in [
            ("\\x", "\"\""),
            ("\\x00", "\"AA==\""),
            ("\\x6869", "\"aGk=\""),
            ("\\xfffefd", "\"//79\""),
            ("\\xFFfeFD", "\"//79\""),
        ] {
            assert_eq!(written(&Bytea, text.as_bytes()).as_deref(), Ok(expected));
        }
    }

    #[test]
    fn long_values_have_padding_only_at_their_end() {
        for len in [STEP - 1, STEP, STEP + 1, 3 * STEP, 5 * STEP + 2] {
            let bytes: Vec<u8> = (0..=255).cycle().take(len).collect();
            let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let expected = bytes.chunks(3 * STEP).fold(String::new(), |mut all, chunk| {
                let mut part = vec![0; 4 * STEP];
                let len = STANDARD.encode_slice(chunk, &mut part).unwrap();
                all.push_str(std::str::from_utf8(&part[..len]).unwrap());
                all
            });
            let text = format!("\\x{hex}");
            assert_eq!(written(&Bytea, text.as_bytes()), Ok(format!("\"{expected}\"")));
        }
    }

    #[test]
    fn other_output_is_an_error() {
        for (text, offset, expected) in [
            ("", 0, "\\x and hexadecimal digits"),
            ("hi", 0, "\\x and hexadecimal digits"),
            ("\\000\\377", 0, "\\x and hexadecimal digits"),
            ("\\x0", 3, "an even number of hexadecimal digits"),
            ("\\x0g", 3, "a hexadecimal digit"),
            ("\\xg0", 2, "a hexadecimal digit"),
            ("\\x00 0", 4, "a hexadecimal digit"),
        ] {
            assert_eq!(written(&Bytea, text.as_bytes()), Err(Malformed::new(offset, expected)));
        }
    }
}
