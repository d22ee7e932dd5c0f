//! One line of [COPY's text format](https://www.postgresql.org/docs/current/sql-copy.html#SQL-COPY-FILE-FORMATS).
//!
//! Columns are separated by tabs, `\N` is NULL, and a backslash escapes what would be taken for something else. A line
//! without any backslash, as most are, is used as it came.

use change::{Cell, Row};
use memchr::{memchr, memchr_iter};

/// Reads one line after the other; the room for a row is used again for the next. [`Copy`](crate::copy::Copy) has one,
/// fuzzing another.
#[derive(Debug, Default)]
pub struct LineReader {
    cells: Vec<Cell>,
    plain: Vec<u8>,
}

impl LineReader {
    /// Reads a line of `columns` values; a final newline is not part of it.
    ///
    /// # Errors
    /// What is wrong with the line, for people: another number of values, an escape that Postgres does not write, a row
    /// of more than 2 GiB.
    pub fn read<'a>(&'a mut self, line: &'a [u8], columns: usize) -> Result<Row<'a>, String> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        self.cells.clear();
        if columns == 0 {
            return if line.is_empty() { Ok(Row::new(line, &[])) } else { Err(count(1, 0)) };
        }
        let data = match memchr(b'\\', line) {
            None => {
                self.split(line)?;
                line
            }
            Some(_) => {
                self.unescape(line)?;
                &self.plain
            }
        };
        match self.cells.len() {
            got if got == columns => Ok(Row::new(data, &self.cells)),
            got => Err(count(got, columns)),
        }
    }

    fn split(&mut self, line: &[u8]) -> Result<(), String> {
        let mut start = 0;
        for end in memchr_iter(b'\t', line).chain([line.len()]) {
            self.cells.push(cell(start, end - start)?);
            start = end + 1;
        }
        Ok(())
    }

    fn unescape(&mut self, line: &[u8]) -> Result<(), String> {
        self.plain.clear();
        for value in line.split(|byte| *byte == b'\t') {
            if value == b"\\N" {
                self.cells.push(Cell::NULL);
                continue;
            }
            let start = self.plain.len();
            let mut rest = value;
            while let Some(at) = memchr(b'\\', rest) {
                let (before, escape) = rest.split_at(at);
                self.plain.extend_from_slice(before);
                let (byte, after) = unescaped(escape)?;
                self.plain.push(byte);
                rest = after;
            }
            self.plain.extend_from_slice(rest);
            self.cells.push(cell(start, self.plain.len() - start)?);
        }
        Ok(())
    }
}

/// The byte that a backslash sequence stands for, and what follows it. Postgres writes these seven and no others; the
/// octal and hexadecimal forms are for input alone.
fn unescaped(escape: &[u8]) -> Result<(u8, &[u8]), String> {
    let (letter, rest) = match escape {
        [_, letter, rest @ ..] => (*letter, rest),
        _ => return Err("a backslash at the end of a value".to_owned()),
    };
    let byte = match letter {
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        other => return Err(format!("an unknown escape, backslash and {other:#04x}")),
    };
    Ok((byte, rest))
}

fn cell(start: usize, len: usize) -> Result<Cell, String> {
    Cell::text(start, len).ok_or_else(|| "a row of more than 2 GiB".to_owned())
}

fn count(got: usize, want: usize) -> String {
    format!("{got} values for {want} columns")
}

#[cfg(test)]
mod tests {
    use change::Value;

    use super::*;

    fn read(line: &[u8], columns: usize) -> Result<Vec<Option<Vec<u8>>>, String> {
        let mut reader = LineReader::default();
        let row = reader.read(line, columns)?;
        Ok(row
            .values()
            .map(|value| match value {
                Value::Text(text) => Some(text.to_vec()),
                _ => None,
            })
            .collect())
    }

    fn text(value: &[u8]) -> Option<Vec<u8>> {
        Some(value.to_vec())
    }

    #[test]
    fn values_with_and_without_escapes() {
        assert_eq!(read(b"1\tab\t\n", 3).unwrap(), [text(b"1"), text(b"ab"), text(b"")]);
        assert_eq!(read(b"1\t\\N\t\\\\N\n", 3).unwrap(), [text(b"1"), None, text(b"\\N")]);
        let all = read(b"\\b\\f\\n\\r\\t\\v\\\\x\tz\n", 2).unwrap();
        assert_eq!(all, [text(b"\x08\x0C\n\r\t\x0B\\x"), text(b"z")]);
    }

    #[test]
    fn a_table_without_columns_has_empty_lines() {
        assert_eq!(read(b"\n", 0).unwrap(), [] as [Option<Vec<u8>>; 0]);
        assert_eq!(read(b"\n", 1).unwrap(), [text(b"")]);
    }

    #[test]
    fn lines_that_are_not_copy() {
        assert_eq!(read(b"1\t2\n", 3).unwrap_err(), "2 values for 3 columns");
        assert_eq!(read(b"1\t2\n", 0).unwrap_err(), "1 values for 0 columns");
        assert_eq!(read(b"\\", 1).unwrap_err(), "a backslash at the end of a value");
        assert_eq!(read(b"\\x41", 1).unwrap_err(), "an unknown escape, backslash and 0x78");
    }
}
