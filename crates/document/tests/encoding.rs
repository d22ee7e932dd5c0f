//! Bytes that are no UTF-8, as a database in SQL_ASCII may hold them: an error with the column and the place, in every
//! type and in the id.

use change::{OldImage, PgType};
use document::{DocumentError, IndexSpec, Plan, Scratch};
use proptest::prelude::*;

use crate::support::{table, with_row, written};

fn array(element: PgType) -> PgType {
    PgType::Array { element: Box::new(element), delimiter: b',' }
}

fn not_utf8(offset: usize) -> DocumentError {
    DocumentError::Malformed { column: "v".to_owned(), offset, expected: "valid UTF-8" }
}

#[test]
fn the_place_is_named_in_every_type_that_holds_text() {
    for (ty, text, offset) in [
        (PgType::Text, &b"ab\xff"[..], 2),
        (PgType::Text, b"\xff", 0),
        (PgType::Text, b"cut off \xe2\x82", 8),
        (PgType::Text, b"\xed\xa0\x80", 0),
        (PgType::Text, b"\xc0\x80", 0),
        (PgType::Enum, b"m\xf6gen", 1),
        (PgType::Uuid, b"\x80", 0),
        (PgType::TsVector, b"'\xe9t\xe9':1", 1),
        (PgType::Other, b"(1,\"\xe9\")", 4),
        (PgType::Json, b"{\"\xfc\": 1}", 2),
        (PgType::Json, b"{\"a\": [\"\xfc\"]}", 8),
        (PgType::Jsonb, b"\"\xfc\"", 1),
        (PgType::Hstore, b"\"\xfc\"=>\"1\"", 1),
        (PgType::Hstore, b"\"a\"=>\"x\xfc\"", 7),
        (array(PgType::Text), b"{ok,\xfc}", 4),
        (array(PgType::Text), b"{\"a b\xfc\"}", 5),
        // Its place in an element with escapes is not known any more.
        (array(PgType::Text), b"{ok,\"a\\\"\xfc\"}", 5),
        (array(PgType::Json), b"{\"{\\\"\xfc\\\": 1}\"}", 2),
        (array(PgType::Enum), b"{{a},{\xfc}}", 6),
    ] {
        assert_eq!(written(&ty, text), Err(not_utf8(offset)), "{ty:?} {text:?}");
    }
}

#[test]
fn other_types_refuse_it_too() {
    for ty in [
        PgType::Bool,
        PgType::Int4,
        PgType::Float8,
        PgType::Numeric,
        PgType::Date,
        PgType::TimestampTz,
        PgType::Bytea,
        PgType::Range(change::RangeBound::Int4),
        PgType::Vector(None),
        array(PgType::Int4),
    ] {
        for text in [&b"\xff"[..], b"1\xff", b"{\xff}", b"[\xff,\xff)"] {
            assert!(written(&ty, text).is_err(), "{ty:?} {text:?}");
        }
    }
}

#[test]
fn a_key_is_never_made_of_it() {
    let columns = [("v", PgType::Text), ("w", PgType::Text)];
    for (key, texts, offset) in
        [(1, [&b"ab\xff"[..], b""], 2), (2, [b"\xff", b"ok"], 0), (1, [&[b'x'; 600], b""], 600)]
    {
        let plan = Plan::new(&table(&columns, key), &IndexSpec::default()).unwrap();
        let mut long = texts[0].to_vec();
        if offset == 600 {
            // Beyond what is hashed, too.
            long.push(0xe9);
        }
        let (mut id, mut out) = (Vec::new(), Vec::new());
        with_row(&[&long, texts[1]], |row| {
            assert_eq!(plan.write_id(&row, &mut id), Err(not_utf8(offset)));
            let source =
                plan.write_source(&row, OldImage::Absent, &mut Scratch::default(), &mut out);
            assert_eq!(source, Err(not_utf8(offset)));
        });
    }
}

proptest! {
    /// One wrong byte anywhere in a text is found, wherever the text stands.
    #[test]
    fn one_byte_is_enough(text in "[a-zü \"]{0,40}", at in 0..40usize, byte in 0x80..=0xffu8) {
        let mut bytes = text.into_bytes();
        let at = at.min(bytes.len());
        bytes.insert(at, byte);
        prop_assume!(std::str::from_utf8(&bytes).is_err());
        let quoted = |text: &[u8]| {
            let mut out = vec![b'"'];
            for &byte in text {
                if byte == b'"' { out.push(b'\\'); }
                out.push(byte);
            }
            out.push(b'"');
            out
        };
        let element = [b"{", &quoted(&bytes)[..], b"}"].concat();
        let pair = [b"\"k\"=>", &quoted(&bytes)[..]].concat();
        for (ty, text) in [
            (PgType::Text, &bytes),
            (PgType::Json, &quoted(&bytes)),
            (PgType::Hstore, &pair),
            (array(PgType::Text), &element),
        ] {
            let error = written(&ty, text);
            let is_named = matches!(&error, Err(DocumentError::Malformed { column, expected: "valid UTF-8", .. }) if column == "v");
            prop_assert!(is_named, "{:?}: {:?}", ty, error);
        }
    }
}
