//! One row, borrowed.

use std::fmt;

/// The value of one column as it came: the text form of Postgres, not yet looked into.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Value<'a> {
    /// SQL NULL; in a key image also "not part of the key".
    Null,
    /// A large value that the update did not touch and that Postgres therefore did not send.
    Unchanged,
    /// The text form, in the client encoding UTF-8.
    Text(&'a [u8]),
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("Null"),
            Value::Unchanged => f.write_str("Unchanged"),
            Value::Text(text) => write!(f, "{:?}", String::from_utf8_lossy(text)),
        }
    }
}

/// Where one value lies in the bytes of its row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cell {
    start: u32,
    len: u32,
}

impl Cell {
    const NULL_LEN: u32 = u32::MAX;
    const UNCHANGED_LEN: u32 = u32::MAX - 1;

    /// SQL NULL.
    pub const NULL: Cell = Cell { start: 0, len: Self::NULL_LEN };
    /// See [`Value::Unchanged`].
    pub const UNCHANGED: Cell = Cell { start: 0, len: Self::UNCHANGED_LEN };

    /// The value in `start..start + len` of the row's bytes. `None` beyond 2 GiB, which no message of Postgres reaches.
    pub fn text(start: usize, len: usize) -> Option<Cell> {
        let limit = i32::MAX.unsigned_abs();
        let (start, len) = (u32::try_from(start).ok()?, u32::try_from(len).ok()?);
        (start <= limit && len <= limit).then_some(Cell { start, len })
    }
}

/// One row: the bytes it lies in, and for each column where.
#[derive(Clone, Copy)]
pub struct Row<'a> {
    data: &'a [u8],
    cells: &'a [Cell],
}

impl<'a> Row<'a> {
    /// A row of `cells`, each of which must lie within `data`: [`Row::get`] answers [`Value::Null`] for one that
    /// does not, so whoever makes the cells checks them.
    pub fn new(data: &'a [u8], cells: &'a [Cell]) -> Self {
        debug_assert!(cells.iter().all(|cell| {
            cell.len >= Cell::UNCHANGED_LEN
                || (cell.start as usize + cell.len as usize) <= data.len()
        }));
        Row { data, cells }
    }

    /// How many columns.
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// True for a row of a table without columns.
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The value of column `index`, counted from 0 in the order of the relation.
    #[inline]
    pub fn get(&self, index: usize) -> Value<'a> {
        match self.cells.get(index) {
            None | Some(&Cell::NULL) => Value::Null,
            Some(&Cell::UNCHANGED) => Value::Unchanged,
            Some(cell) => {
                let start = cell.start as usize;
                self.data.get(start..start + cell.len as usize).map_or(Value::Null, Value::Text)
            }
        }
    }

    /// The same row with its columns in another order: column `n` is the one at `places[n]`, NULL where that is `None`.
    /// `cells` is memory for the result.
    pub fn select<'b>(&self, places: &[Option<usize>], cells: &'b mut Vec<Cell>) -> Row<'b>
    where
        'a: 'b,
    {
        cells.clear();
        let cell = |place: &Option<usize>| {
            place.and_then(|place| self.cells.get(place)).copied().unwrap_or(Cell::NULL)
        };
        cells.extend(places.iter().map(cell));
        Row { data: self.data, cells }
    }

    /// The row without its last column, and that one's value. None for a row without columns.
    pub fn split_last(&self) -> Option<(Row<'a>, Value<'a>)> {
        let (_, cells) = self.cells.split_last()?;
        Some((Row { data: self.data, cells }, self.get(cells.len())))
    }

    /// All values in order.
    pub fn values(&self) -> impl Iterator<Item = Value<'a>> + use<'a> {
        let row = *self;
        (0..row.len()).map(move |index| row.get(index))
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.values()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_each_value_from_its_place() {
        let cells =
            [Cell::text(0, 2).unwrap(), Cell::NULL, Cell::text(2, 0).unwrap(), Cell::UNCHANGED];
        let row = Row::new(b"ab", &cells);
        let values: Vec<_> = row.values().collect();
        assert_eq!(values, [Value::Text(b"ab"), Value::Null, Value::Text(b""), Value::Unchanged]);
        assert_eq!(row.get(4), Value::Null);
    }

    #[test]
    fn columns_can_be_put_into_another_order() {
        let cells = [Cell::text(0, 1).unwrap(), Cell::UNCHANGED, Cell::text(1, 1).unwrap()];
        let mut memory = vec![Cell::UNCHANGED];
        let row = Row::new(b"ab", &cells).select(&[Some(2), None, Some(0), Some(9)], &mut memory);
        let values: Vec<_> = row.values().collect();
        assert_eq!(values, [Value::Text(b"b"), Value::Null, Value::Text(b"a"), Value::Null]);
    }

    #[test]
    fn the_last_column_can_be_taken_off() {
        let cells = [Cell::text(0, 1).unwrap(), Cell::text(1, 1).unwrap()];
        let (row, last) = Row::new(b"ab", &cells).split_last().unwrap();
        assert_eq!((row.len(), row.get(0), last), (1, Value::Text(b"a"), Value::Text(b"b")));
        assert!(Row::new(b"", &[]).split_last().is_none());
    }

    #[test]
    fn a_cell_cannot_be_mistaken_for_a_marker() {
        assert_eq!(Cell::text(0, u32::MAX as usize), None);
        assert_eq!(Cell::text(0, u32::MAX as usize - 1), None);
        assert_eq!(Cell::text(u32::MAX as usize, 0), None);
    }
}
