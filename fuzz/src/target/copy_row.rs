//! A line of COPY's text format: the first byte says how many columns the table has.
//!
//! What can be read is written by [`encode`] and read again as the same values; the same holds for the bytes themselves
//! taken as values.

use change::Value;
use snapshot::LineReader;

use super::Target;
use crate::frames;

/// See the module.
pub static TARGET: Target = Target { name: "copy_row", rounds: 30_000, run, mutate: crate::bytes };

/// More columns than any seed has.
const MAX_COLUMNS: usize = 64;

fn run(data: &[u8]) -> bool {
    let Some((&columns, line)) = data.split_first() else { return false };
    let columns = usize::from(columns) % MAX_COLUMNS;
    let mut reader = LineReader::default();
    let row = reader.read(line, columns);
    if let Ok(row) = &row {
        assert_eq!(row.len(), columns);
        round_trip(&row.values().collect::<Vec<_>>());
    }
    // A zero byte is in no text of Postgres, so it can stand for NULL.
    let value = |frame| if frame == b"\0" { Value::Null } else { Value::Text(frame) };
    round_trip(&frames::split(data).into_iter().map(value).collect::<Vec<_>>());
    round_trip(&line.split(|byte| *byte == b'\t').map(value).collect::<Vec<_>>());
    row.is_ok()
}

fn round_trip(values: &[Value<'_>]) {
    let mut line = Vec::new();
    encode(values, &mut line);
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    let mut reader = LineReader::default();
    // The room of a row is used again for the next, of which nothing may be left.
    let _ = reader.read(b"left\\\\over\t\\N\n", 2).is_ok();
    match reader.read(&line, values.len()) {
        Ok(row) => assert!(row.values().eq(values.iter().copied()), "{row:?} of {values:?}"),
        Err(error) => panic!("{error}: {}", line.escape_ascii()),
    }
}

/// Writes a row as [COPY TO](https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS) does, with the
/// newline. An unchanged value, which COPY does not know, is NULL.
pub fn encode(values: &[Value<'_>], out: &mut Vec<u8>) {
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        match value {
            Value::Null | Value::Unchanged => out.extend_from_slice(b"\\N"),
            Value::Text(text) => text.iter().for_each(|&byte| escape(byte, out)),
        }
    }
    out.push(b'\n');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let letter = match byte {
        8 => b'b',
        9 => b't',
        10 => b'n',
        11 => b'v',
        12 => b'f',
        13 => b'r',
        b'\\' => b'\\',
        _ => return out.push(byte),
    };
    out.extend_from_slice(&[b'\\', letter]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_written_as_postgres_does() {
        let mut out = Vec::new();
        encode(
            &[Value::Text(b"a\tb\\\n"), Value::Null, Value::Text(b""), Value::Unchanged],
            &mut out,
        );
        assert_eq!(out, b"a\\tb\\\\\\n\t\\N\t\t\\N\n");
    }
}
