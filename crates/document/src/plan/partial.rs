//! Documents of which a value is missing: an update that leaves a large value alone does not send it (TOAST), and without
//! REPLICA IDENTITY FULL no image of the row before has it. Such a document is written with holes, to be filled from the
//! document that stands in the index.

use change::{OldImage, Row};

use super::Plan;
use super::write::key_text;
use crate::Scratch;
use crate::error::DocumentError;

/// A place in a document where a value belongs that was not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// The name of the field, not escaped.
    pub field: Box<str>,
    /// Where the value belongs, in bytes from the beginning of the document as it is without it.
    pub at: usize,
}

/// A document with holes.
#[derive(Debug, Clone, Default)]
pub struct Partial {
    /// One JSON object in one line, but for the values that are missing.
    pub source: Vec<u8>,
    /// In the order of the document; at least one.
    pub holes: Vec<Hole>,
    /// The values of the columns that the `_id` is made of, as Postgres prints them.
    pub key: Vec<String>,
}

impl Plan {
    /// Writes the document of the row `new` into `partial`, whose memory is used again, leaving out what is in neither
    /// row.
    ///
    /// # Errors
    /// As [`write_source`](Plan::write_source), but for [`DocumentError::Unchanged`] of a column that is neither part of the
    /// id nor the payload.
    pub fn write_partial(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        scratch: &mut Scratch,
        partial: &mut Partial,
    ) -> Result<(), DocumentError> {
        let Partial { source, holes, key } = partial;
        source.clear();
        holes.clear();
        self.write_fields(new, old, scratch, source, |field, at| {
            holes.push(Hole { field: field.name.as_str().into(), at });
            Ok(())
        })?;
        let texts = self.key.iter().map(|column| key_text(column, new, old).map(str::to_owned));
        *key = texts.collect::<Result<_, _>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use change::{PgType, Value};

    use super::super::tests::table;
    use super::super::write::tests::Made;
    use super::*;
    use crate::IndexSpec;

    #[test]
    fn holes_are_where_the_values_belong() {
        let table = table(&[
            ("id", PgType::Int4),
            ("a\"", PgType::Text),
            ("n", PgType::Int4),
            ("b", PgType::Text),
        ]);
        let plan = Plan::new(&table, &IndexSpec::default()).unwrap();
        let row = |id: &'static [u8]| {
            Made::new(&[Value::Text(id), Value::Unchanged, Value::Text(b"7"), Value::Unchanged])
        };
        let mut stayed = Partial::default();
        let new = row(b"2");
        plan.write_partial(&new.row(), OldImage::Absent, &mut Scratch::default(), &mut stayed)
            .unwrap();
        assert_eq!(stayed.key, ["2"]);
        assert_eq!(stayed.source, br#"{"id":2,"a\"":,"n":7,"b":}"#);
        let holes: Vec<_> = stayed.holes.iter().map(|hole| (&*hole.field, hole.at)).collect();
        assert_eq!(holes, [("a\"", 14), ("b", 25)]);
    }
}
