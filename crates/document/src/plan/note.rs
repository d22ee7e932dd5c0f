//! What the default form of a column loses, for people to read before anything is created.
//!
//! The `_source` of a document loses nothing that JSON can say; the mapping, which is what searches see, is coarser.

use change::{PgType, RangeBound};

use super::{Field, Plan, payload};
use crate::mapping::DENSE_VECTOR_DIMS;

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
        if self.content.is_some() {
            return self.note_each(|field| payload::losses(&field.ty));
        }
        self.note_each(|field| {
            let is_money = matches!(field.type_name.as_str(), "money" | "money[]");
            losses(&field.ty).into_iter().chain(is_money.then_some(MONEY)).collect()
        })
    }

    /// The columns whose large values an update does not send when it leaves them alone. Such an update can't be made a
    /// document from what was sent.
    pub fn toast_notes(&self) -> Vec<Note> {
        const TEXT: &str = "an update that leaves a large value alone does not send it, unless the table has REPLICA IDENTITY \
                            FULL";
        self.note_each(|field| field.may_be_missing.then_some(TEXT).into_iter().collect())
    }

    fn note_each(&self, texts: impl Fn(&Field) -> Vec<&'static str>) -> Vec<Note> {
        let content = self.content.iter().map(|content| &content.field);
        let notes = self.fields.iter().chain(content).flat_map(|field| {
            texts(field).into_iter().map(|text| Note {
                column: field.name.clone(),
                type_name: field.type_name.clone(),
                text,
            })
        });
        notes.collect()
    }
}

const MONEY: &str = "printed with lc_monetary = C, that is with two digits behind the point: where the database's own \
                     locale has another number of them, amounts look shifted";

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
        PgType::Hstore => vec![
            "searches see every value as one keyword; OpenSearch refuses values over 32,766 bytes",
        ],
        PgType::Vector(Some(dimension)) if *dimension > DENSE_VECTOR_DIMS => {
            vec!["kept but not searchable in Elasticsearch, which takes up to 4096 dimensions"]
        }
        PgType::Vector(Some(_)) => vec![],
        PgType::Vector(None) => vec!["kept but not searchable: it has no dimension"],
        PgType::Array { element, .. } if matches!(**element, PgType::Vector(_)) => {
            vec!["kept but not searchable; lower bounds are dropped"]
        }
        PgType::Array { element, .. } => {
            let mut losses = losses(element);
            losses.push("searches see its elements as one flat set; lower bounds are dropped");
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
            vec![
                open,
                "searches see bounds as doubles; the target refuses a range that is empty then",
            ]
        }
        RangeBound::Timestamp | RangeBound::TimestampTz => {
            vec![
                open,
                "searches see bounds in milliseconds; the target refuses a range that is empty then",
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use change::ReplicaIdentity;

    use super::*;
    use crate::IndexSpec;
    use crate::plan::tests::table;

    #[test]
    fn lossy_columns_are_named_and_others_are_not() {
        let array = PgType::Array { element: Box::new(PgType::Timestamp), delimiter: b',' };
        let columns = [
            ("id", PgType::Int8),
            ("price", PgType::Numeric),
            ("name", PgType::Text),
            ("at", array),
        ];
        let notes = Plan::new(&table(&columns), &IndexSpec::default()).unwrap().notes();
        let told: Vec<_> = notes.iter().map(|note| note.column.as_str()).collect();
        assert_eq!(told, ["price", "price", "at", "at", "at"]);
        assert_eq!(
            notes[0].to_string(),
            "price (numeric): search, sort and aggregations see it as a double, exact to 15 digits; _source keeps \
             every digit"
        );
    }

    #[test]
    fn money_is_in_the_locale_of_nobody() {
        for (type_name, notes) in [("money", 2), ("point", 1)] {
            let mut table = table(&[("id", PgType::Int8), ("v", PgType::Other)]);
            table.columns[1].type_name = type_name.to_owned();
            let told = Plan::new(&table, &IndexSpec::default()).unwrap().notes();
            assert_eq!(told.len(), notes, "{told:?}");
        }
    }

    #[test]
    fn large_values_are_sent_with_the_identity_or_always_under_full() {
        let columns = [("key", PgType::Text), ("body", PgType::Text), ("n", PgType::Int4)];
        let mut table = table(&columns);
        let told = |table: &change::Table| {
            let notes = Plan::new(table, &IndexSpec::default()).unwrap().toast_notes();
            notes.into_iter().map(|note| note.column).collect::<Vec<_>>()
        };
        assert_eq!(told(&table), ["body"]);
        table.identity = ReplicaIdentity::Full;
        assert_eq!(told(&table), [""; 0]);
    }
}
