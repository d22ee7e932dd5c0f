//! What the default form of a column loses, for people to read before anything is created.
//!
//! The `_source` of a document loses nothing that JSON can say; the mapping, which is what searches see, is coarser.

use change::{PgType, RangeBound};

use super::Plan;

/// Something to know about a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The column.
    pub column: String,
    /// Its type as SQL writes it.
    pub type_name: String,
    /// One sentence, without a full stop.
    pub text: &'static str,
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({}): {}", self.column, self.type_name, self.text)
    }
}

impl Plan {
    /// What the columns lose, in their order; nothing for most of them.
    pub fn notes(&self) -> Vec<Note> {
        self.note_each(|field| losses(&field.ty))
    }

    /// The columns whose large values an update does not send when it leaves them alone, so that wal2es reads them back
    /// from the document that is there.
    pub fn toast_notes(&self) -> Vec<Note> {
        const TEXT: &str = "an update that leaves a large value alone does not send it; it is then read back from the index";
        self.note_each(|field| field.may_be_missing.then_some(TEXT).into_iter().collect())
    }

    fn note_each(&self, texts: impl Fn(&super::Field) -> Vec<&'static str>) -> Vec<Note> {
        let notes = self.fields.iter().flat_map(|field| {
            texts(field).into_iter().map(|text| Note {
                column: field.name.clone(),
                type_name: field.type_name.clone(),
                text,
            })
        });
        notes.collect()
    }
}

fn losses(ty: &PgType) -> Vec<&'static str> {
    match ty {
        PgType::Bool
        | PgType::Int2
        | PgType::Int4
        | PgType::Int8
        | PgType::Oid
        | PgType::Text
        | PgType::Uuid
        | PgType::Enum
        | PgType::Bytea => vec![],
        PgType::Float4 | PgType::Float8 => vec!["NaN and the infinities become null"],
        PgType::Numeric => vec![
            "search, sort and aggregations see it as a double, exact to 15 digits; _source keeps every digit",
            "NaN and the infinities become null",
        ],
        PgType::Date => {
            vec!["the infinities become null; the target refuses years before 1 and after 9999"]
        }
        PgType::Timestamp | PgType::TimestampTz => vec![
            "search and sort see milliseconds; _source keeps the whole fraction",
            "the infinities become null; the target refuses years before 1 and after 9999",
        ],
        PgType::Json => {
            vec!["kept but not searchable", "of equal keys in an object the last one stays"]
        }
        PgType::Jsonb => vec!["kept but not searchable"],
        PgType::TsVector => {
            vec!["kept as the text that Postgres prints, analysed anew by the target"]
        }
        PgType::Range(bound) => range(*bound),
        PgType::Hstore => vec!["searches see every value as one keyword"],
        PgType::Vector(Some(_)) => vec![],
        PgType::Vector(None) => vec!["kept but not searchable: it has no dimension"],
        PgType::Array { element, .. } => {
            let mut losses = losses(element);
            losses.push("searches see one flat set of elements; lower bounds are dropped");
            losses
        }
        PgType::Other => vec!["kept as the text that Postgres prints, searched as a whole"],
    }
}

fn range(bound: RangeBound) -> Vec<&'static str> {
    let open = "infinite bounds become open sides, an empty range becomes null";
    match bound {
        RangeBound::Int4 | RangeBound::Int8 | RangeBound::Date => vec![open],
        RangeBound::Numeric => {
            vec![open, "searches see bounds as doubles; _source keeps every digit"]
        }
        RangeBound::Timestamp | RangeBound::TimestampTz => {
            vec![open, "searches see bounds in milliseconds; _source keeps the whole fraction"]
        }
    }
}
