//! Writing ids and documents.

use change::{OldImage, Row, Value};

use super::{Field, KeyColumn, Plan};
use crate::error::DocumentError;
use crate::escape::utf8;
use crate::{Scratch, id};

impl Plan {
    /// Appends the `_id` of `row`, not escaped: for the action line of a bulk request pass it through
    /// [`write_json_string`](crate::write_json_string). A key image of a delete will do for a row. The id is UTF-8, 1 to
    /// [`MAX_ID_BYTES`](crate::MAX_ID_BYTES) long.
    ///
    /// # Errors
    /// When a key column is NULL, was not sent, or is not UTF-8. `out` is then as it was.
    pub fn write_id(&self, row: &Row<'_>, out: &mut Vec<u8>) -> Result<(), DocumentError> {
        self.write_new_id(row, OldImage::Absent, out)
    }

    /// As [`write_id`](Plan::write_id), of the row that an update made: a key column that Postgres did not send, because
    /// it is large and the update left it alone, is taken from the image before it.
    ///
    /// # Errors
    /// As [`write_id`](Plan::write_id).
    pub fn write_new_id(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        let start = out.len();
        self.append_id(new, old, out).inspect_err(|_| out.truncate(start))
    }

    fn append_id(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        self.check_width(new, old)?;
        if let [column] = self.key.as_slice() {
            id::write_single(key_text(column, new, old)?, out);
            return Ok(());
        }
        let start = out.len();
        for (place, column) in self.key.iter().enumerate() {
            id::write_element(place == 0, key_text(column, new, old)?.as_bytes(), out);
        }
        out.push(b']');
        id::shorten(start, out);
        Ok(())
    }

    /// Appends the `_id` of the row whose key columns have these texts, in the order of [`Plan::key_columns`].
    pub fn write_id_of<'t>(&self, mut texts: impl Iterator<Item = &'t str>, out: &mut Vec<u8>) {
        if let [_] = self.key.as_slice() {
            id::write_single(texts.next().unwrap_or_default(), out);
            return;
        }
        let start = out.len();
        for (place, text) in texts.enumerate() {
            id::write_element(place == 0, text.as_bytes(), out);
        }
        out.push(b']');
        id::shorten(start, out);
    }

    /// True when both rows have the same `_id`: their key columns have the same bytes. One that was not sent in either
    /// counts as the same, as it is Postgres' word that the update left it alone.
    pub fn same_id(&self, a: &Row<'_>, b: &Row<'_>) -> bool {
        self.key.iter().all(|column| match (a.get(column.index), b.get(column.index)) {
            (Value::Unchanged, _) | (_, Value::Unchanged) => true,
            (a, b) => a == b,
        })
    }

    /// Appends the document of the row `new`: one JSON object, in one line. It has a field for each of the columns, or is
    /// the content of the payload column. Values that an update did not send are taken from `old`: any from a full image,
    /// those of the replica identity from a key image.
    ///
    /// # Errors
    /// [`DocumentError::Unchanged`] when a value is in neither row; else the row has something that Postgres does not
    /// print. `out` is then as it was.
    pub fn write_source(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        self.write_fields(new, old, scratch, out, |field, _| Err(unchanged(&field.name)))
    }

    /// As [`write_source`](Plan::write_source), with `missing` to decide on each value that is in neither row. It is
    /// told the field and where its value would stand, counted from the beginning of the document. A payload is never asked
    /// about: without it there is nothing.
    pub(super) fn write_fields(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        missing: impl FnMut(&Field, usize) -> Result<(), DocumentError>,
    ) -> Result<(), DocumentError> {
        let start = out.len();
        self.append_fields(new, old, scratch, out, missing).inspect_err(|_| out.truncate(start))
    }

    #[inline]
    fn append_fields(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
        mut missing: impl FnMut(&Field, usize) -> Result<(), DocumentError>,
    ) -> Result<(), DocumentError> {
        let start = out.len();
        self.check_width(new, old)?;
        for field in &self.fields {
            out.extend_from_slice(&field.prefix);
            let value = match new.get(field.index) {
                Value::Unchanged => earlier(field.index, field.in_identity, old),
                sent => sent,
            };
            match value {
                Value::Null => out.extend_from_slice(b"null"),
                Value::Text(text) => {
                    field
                        .writer
                        .write(text, scratch, out)
                        .map_err(|error| error.of(&field.name))?;
                }
                Value::Unchanged => missing(field, out.len() - start)?,
            }
        }
        if self.fields.is_empty() {
            return self.append_alone(new, old, scratch, out);
        }
        out.push(b'}');
        Ok(())
    }

    /// The document of a plan without fields, out of the way of those that have some.
    #[inline(never)]
    fn append_alone(
        &self,
        new: &Row<'_>,
        old: OldImage<'_>,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), DocumentError> {
        match &self.content {
            Some(content) => content.write(new, old, scratch, out),
            None => {
                out.extend_from_slice(b"{}");
                Ok(())
            }
        }
    }

    /// A row of another width is of another shape of the table, and its columns would be mistaken.
    fn check_width(&self, new: &Row<'_>, old: OldImage<'_>) -> Result<(), DocumentError> {
        for found in [Some(new.len()), old.row().map(|row| row.len())].into_iter().flatten() {
            if found != self.width {
                return Err(DocumentError::Width { expected: self.width, found });
            }
        }
        Ok(())
    }
}

pub(super) fn key_text<'a>(
    column: &KeyColumn,
    new: &Row<'a>,
    old: OldImage<'a>,
) -> Result<&'a str, DocumentError> {
    let value = match new.get(column.index) {
        Value::Unchanged => earlier(column.index, true, old),
        sent => sent,
    };
    match value {
        Value::Text(text) => utf8(text).map_err(|error| error.of(&column.name)),
        Value::Null => Err(DocumentError::NullKey { column: column.name.clone() }),
        Value::Unchanged => Err(unchanged(&column.name)),
    }
}

/// The value before the update, or [`Value::Unchanged`] where it is not known. In a key image NULL means that the
/// column is not part of it.
pub(super) fn earlier<'a>(index: usize, in_identity: bool, old: OldImage<'a>) -> Value<'a> {
    match old {
        // A value that is too large to be sent again is not NULL. An image that says so is no whole row: Postgres passes
        // the key image of a partition off as one when only the root of the partitions has REPLICA IDENTITY FULL.
        OldImage::Full(row) => match row.get(index) {
            Value::Null => Value::Unchanged,
            value => value,
        },
        OldImage::Key(row) if in_identity => match row.get(index) {
            Value::Null => Value::Unchanged,
            value => value,
        },
        OldImage::Key(_) | OldImage::Absent => Value::Unchanged,
    }
}

#[cold]
pub(super) fn unchanged(column: &str) -> DocumentError {
    DocumentError::Unchanged { column: column.to_owned() }
}

#[cfg(test)]
pub(super) mod tests {
    use change::{Cell, PgType, ReplicaIdentity, Table};

    use super::*;
    use crate::IndexSpec;
    use crate::plan::tests::table;

    /// The bytes and cells of a row.
    pub(crate) struct Made(Vec<u8>, Vec<Cell>);

    impl Made {
        pub(crate) fn new(values: &[Value<'_>]) -> Self {
            let mut made = Made(Vec::new(), Vec::new());
            for value in values {
                made.1.push(match value {
                    Value::Null => Cell::NULL,
                    Value::Unchanged => Cell::UNCHANGED,
                    Value::Text(text) => Cell::text(made.0.len(), text.len()).unwrap(),
                });
                if let Value::Text(text) = value {
                    made.0.extend_from_slice(text);
                }
            }
            made
        }

        pub(crate) fn row(&self) -> Row<'_> {
            Row::new(&self.0, &self.1)
        }
    }

    const NULL: Value<'_> = Value::Null;
    const UNCHANGED: Value<'_> = Value::Unchanged;

    fn text(text: &str) -> Value<'_> {
        Value::Text(text.as_bytes())
    }

    fn plan(table: &Table) -> Plan {
        Plan::new(table, &IndexSpec::default()).unwrap()
    }

    fn source(plan: &Plan, new: &Made, old: OldImage<'_>) -> Result<String, DocumentError> {
        let mut out = b"before".to_vec();
        let result = plan.write_source(&new.row(), old, &mut Scratch::default(), &mut out);
        let written = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
        if result.is_err() {
            assert_eq!(written, "", "an error leaves nothing behind");
        }
        result.map(|()| written)
    }

    fn new_id(plan: &Plan, new: &Made, old: OldImage<'_>) -> Result<String, DocumentError> {
        let mut out = b"before".to_vec();
        let result = plan.write_new_id(&new.row(), old, &mut out);
        let written = String::from_utf8(out).unwrap().strip_prefix("before").unwrap().to_owned();
        if result.is_err() {
            assert_eq!(written, "", "an error leaves nothing behind");
        }
        result.map(|()| written)
    }

    fn pair() -> Plan {
        let mut table = table(&[("a", PgType::Text), ("n", PgType::Int4), ("body", PgType::Text)]);
        table.primary_key = vec!["n".into(), "a".into()];
        table.columns[1].in_identity = true;
        plan(&table)
    }

    #[test]
    fn every_field_is_there_and_null_is_null() {
        let plan =
            plan(&table(&[("id", PgType::Int4), ("a\"b", PgType::Text), ("ok", PgType::Bool)]));
        let row = Made::new(&[text("1"), NULL, text("t")]);
        assert_eq!(
            source(&plan, &row, OldImage::Absent).as_deref(),
            Ok(r#"{"id":1,"a\"b":null,"ok":true}"#)
        );
    }

    #[test]
    fn a_document_may_be_empty() {
        let table = table(&[("id", PgType::Int4)]);
        let spec = IndexSpec { columns: Some(vec![]), ..IndexSpec::default() };
        let plan = Plan::new(&table, &spec).unwrap();
        assert_eq!(source(&plan, &Made::new(&[text("1")]), OldImage::Absent).as_deref(), Ok("{}"));
    }

    #[test]
    fn what_was_not_sent_comes_from_the_image_before() {
        let plan = pair();
        let new = Made::new(&[UNCHANGED, text("2"), UNCHANGED]);
        let full = Made::new(&[text("key"), text("1"), text("long")]);
        let expected = r#"{"a":"key","n":2,"body":"long"}"#;
        assert_eq!(source(&plan, &new, OldImage::Full(full.row())).as_deref(), Ok(expected));

        let column = |name: &str| DocumentError::Unchanged { column: name.into() };
        let null = Made::new(&[text("key"), text("1"), NULL]);
        assert_eq!(source(&plan, &new, OldImage::Full(null.row())), Err(column("body")));
        let key = Made::new(&[text("key"), text("1"), NULL]);
        assert_eq!(source(&plan, &new, OldImage::Key(key.row())), Err(column("body")));
        assert_eq!(source(&plan, &new, OldImage::Absent), Err(column("a")));
        let sent = Made::new(&[UNCHANGED, text("2"), text("short")]);
        let expected = r#"{"a":"key","n":2,"body":"short"}"#;
        assert_eq!(source(&plan, &sent, OldImage::Key(key.row())).as_deref(), Ok(expected));
        let nothing = Made::new(&[NULL, text("1"), NULL]);
        assert_eq!(source(&plan, &sent, OldImage::Key(nothing.row())), Err(column("a")));
        let stray = Made::new(&[text("key"), text("1"), text("not of the key")]);
        assert_eq!(source(&plan, &new, OldImage::Key(stray.row())), Err(column("body")));
        let neither = Made::new(&[text("key"), text("1"), UNCHANGED]);
        assert_eq!(source(&plan, &new, OldImage::Full(neither.row())), Err(column("body")));
    }

    #[test]
    fn ids_follow_the_order_of_the_key() {
        let plan = pair();
        let row = Made::new(&[text("x\"y"), text("7"), NULL]);
        let mut id = Vec::new();
        plan.write_id(&row.row(), &mut id).unwrap();
        assert_eq!(id, br#"["7","x\"y"]"#);
    }

    #[test]
    fn an_id_may_need_the_image_before() {
        let plan = pair();
        let new = Made::new(&[UNCHANGED, text("2"), NULL]);
        let old = Made::new(&[text("key"), text("1"), NULL]);
        assert_eq!(new_id(&plan, &new, OldImage::Key(old.row())).as_deref(), Ok(r#"["2","key"]"#));
        assert_eq!(
            new_id(&plan, &new, OldImage::Absent),
            Err(DocumentError::Unchanged { column: "a".into() })
        );
    }

    #[test]
    fn a_key_must_be_text() {
        let plan = pair();
        let null = Made::new(&[NULL, text("2"), NULL]);
        assert_eq!(
            new_id(&plan, &null, OldImage::Absent),
            Err(DocumentError::NullKey { column: "a".into() })
        );
        let bytes = Made::new(&[Value::Text(b"ab\xff"), text("2"), NULL]);
        let error = new_id(&plan, &bytes, OldImage::Absent).unwrap_err();
        assert_eq!(error.to_string(), "column \"a\": expected valid UTF-8 at byte 2");
    }

    #[test]
    fn ids_are_the_same_when_their_bytes_are() {
        let plan = pair();
        let row = |a, n| Made::new(&[a, n, text("body")]);
        let one = row(text("1.0"), text("1"));
        assert!(plan.same_id(&one.row(), &Made::new(&[text("1.0"), text("1"), NULL]).row()));
        assert!(!plan.same_id(&one.row(), &row(text("1.00"), text("1")).row()));
        assert!(!plan.same_id(&one.row(), &row(text("1.0"), text("2")).row()));
        assert!(plan.same_id(&one.row(), &row(UNCHANGED, text("1")).row()));
        assert!(!plan.same_id(&one.row(), &row(UNCHANGED, text("2")).row()));
    }

    #[test]
    fn a_row_of_another_shape_is_refused() {
        let plan = pair();
        let narrow = Made::new(&[text("a"), text("1")]);
        let wide = Made::new(&[UNCHANGED, text("1"), NULL]);
        let width = |found| DocumentError::Width { expected: 3, found };
        assert_eq!(source(&plan, &narrow, OldImage::Absent), Err(width(2)));
        assert_eq!(new_id(&plan, &narrow, OldImage::Absent), Err(width(2)));
        assert_eq!(source(&plan, &wide, OldImage::Full(narrow.row())), Err(width(2)));
    }

    #[test]
    fn errors_name_the_column_and_never_the_value() {
        let mut table = table(&[("id", PgType::Int4), ("n", PgType::Int4)]);
        table.identity = ReplicaIdentity::Full;
        let error =
            source(&plan(&table), &Made::new(&[text("1"), text("12secret")]), OldImage::Absent);
        assert_eq!(error.unwrap_err().to_string(), "column \"n\": expected a digit at byte 2");
    }
}
