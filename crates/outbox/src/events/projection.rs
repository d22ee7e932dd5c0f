//! Which events make the documents of an index, and how.

use wal::{identifier, literal};

use super::{DELETES, Events, NUMBER};

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Projection {
    /// The columns whose last event is the document. None: each event is a document of its own.
    pub key: Vec<String>,
    /// Only events that have one of these texts in each of these columns.
    pub only: Vec<OneOf>,
    /// After an event that has one of these texts in one of these columns there is no document.
    pub deletes: Vec<OneOf>,
    /// The JSON column that is the document; where it is NULL there is none.
    pub payload: Option<String>,
}

/// A column that has one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOf {
    /// The column.
    pub column: String,
    /// Its type, as SQL writes it.
    pub type_name: String,
    /// As anybody would write values of that type.
    pub texts: Vec<String>,
}

impl Projection {
    /// The events as a query: the columns of the table, the number, and whether it deletes.
    pub(super) fn events(&self, events: &Events) -> String {
        let only: String = self.only.iter().map(|one| format!(" AND {}", one_of(one))).collect();
        // An event without a key is nobody's.
        let keyed: String =
            self.key.iter().map(|key| format!(" AND {} IS NOT NULL", identifier(key))).collect();
        format!(
            "SELECT *, {} AS {DELETES} FROM ({}) numbered WHERE true{only}{keyed}",
            self.deletes(),
            events.numbered()
        )
    }

    fn deletes(&self) -> String {
        let empty = self.payload.iter().map(|payload| format!("{} IS NULL", identifier(payload)));
        let all: Vec<String> = self.deletes.iter().map(one_of).chain(empty).collect();
        match all.is_empty() {
            true => "false".to_owned(),
            false => format!("({})", all.join(" OR ")),
        }
    }

    /// What the index shows of all events that there are, as a query with the columns of the table and the number.
    pub fn folded(&self, events: &Events) -> String {
        let all = self.events(events);
        if self.key.is_empty() {
            return format!("SELECT * FROM ({all}) all_events WHERE NOT {DELETES}");
        }
        // As ids of documents are compared: by their bytes.
        let key = |key: &String| {
            format!("pg_catalog.concat({}) COLLATE pg_catalog.\"C\"", identifier(key))
        };
        let key = self.key.iter().map(key).collect::<Vec<_>>().join(", ");
        format!(
            "SELECT * FROM (SELECT DISTINCT ON ({key}) * FROM ({all}) all_events ORDER BY {key}, {NUMBER} DESC) last_events \
              WHERE NOT {DELETES}"
        )
    }
}

/// COALESCE, because what is NULL is none of them. By their texts, which every type has.
fn one_of(one: &OneOf) -> String {
    let text = |text: &String| format!("({}::{})::text", literal(text), one.type_name);
    let texts: Vec<String> = one.texts.iter().map(text).collect();
    format!("COALESCE({}::text IN ({}), false)", identifier(&one.column), texts.join(", "))
}
