//! The plainest reader that there can be, to prove that the workload keeps its promise to readers.
//!
//! It reads pgoutput, version 1, by the manual's page alone and shares nothing with the code that the workload is to test:
//! <https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html>.

use std::collections::{BTreeMap, HashMap};

/// The values of a row by column, None for NULL.
pub type Fields = BTreeMap<String, Option<String>>;
/// Rows by the text of their key columns.
pub type Rows = BTreeMap<Vec<Option<String>>, Fields>;

/// What the log has told by now: rows by the OID of the table. Not by its name: for a while after it was renamed, the root of
/// partitions is told under the name before.
#[derive(Default)]
pub struct Replay {
    relations: HashMap<u32, Relation>,
    pub tables: HashMap<u32, Rows>,
    /// Large values that an UPDATE left out and the old row or an earlier one gave.
    pub filled: usize,
    /// Stream Abort messages, which version 1 should not have.
    pub aborts: usize,
}

#[derive(Clone)]
struct Relation {
    name: (String, String),
    columns: Vec<String>,
}

#[derive(Clone)]
enum Value {
    Null,
    Unchanged,
    Text(String),
}

impl Replay {
    /// Takes one message. `is_key` tells key columns by their names.
    pub fn apply(&mut self, message: &[u8], is_key: &dyn Fn(&str) -> bool) {
        let mut input = Input(&message[1..]);
        match message[0] {
            b'B' | b'C' | b'O' | b'Y' => {}
            // Postgres 18 sends it without streaming too: for parts of a transaction that had been rolled back when it was
            // found too large for memory. None of their changes were sent.
            b'A' => self.aborts += 1,
            b'R' => {
                let (oid, relation) = input.relation();
                self.relations.insert(oid, relation);
            }
            b'T' => {
                let count = input.u32();
                input.u8();
                for _ in 0..count {
                    self.tables.remove(&input.u32());
                }
            }
            b'I' | b'U' | b'D' => self.change(&mut input, is_key),
            other => panic!("message {:?}", char::from(other)),
        }
    }

    /// Old row or key if there is one, then the new row if there is one.
    fn change(&mut self, input: &mut Input<'_>, is_key: &dyn Fn(&str) -> bool) {
        let oid = input.u32();
        let relation = self.relations[&oid].clone();
        let rows = self.tables.entry(oid).or_default();
        let (mut old, mut new) = (None, None);
        while !input.0.is_empty() {
            match input.u8() {
                b'N' => new = Some(input.tuple()),
                _ => old = Some(input.tuple()),
            }
        }
        let known = old.as_ref().or(new.as_ref()).unwrap();
        let before = rows.remove(&relation.key(known, is_key));
        let Some(new) = new else {
            assert!(before.is_some(), "{:?}: a row was deleted that was not there", relation.name);
            return;
        };
        let mut fields = Fields::new();
        for (at, name) in relation.columns.iter().enumerate() {
            let value = match (&new[at], old.as_ref().map(|old| &old[at])) {
                (Value::Text(text), _) => Some(text.clone()),
                (Value::Null, _) => None,
                (Value::Unchanged, Some(Value::Text(text))) => {
                    self.filled += 1;
                    Some(text.clone())
                }
                (Value::Unchanged, _) => {
                    self.filled += 1;
                    let known = before.as_ref().and_then(|row| row.get(name));
                    let lost = || panic!("{:?}: nobody knows {name:?}", relation.name);
                    known.unwrap_or_else(lost).clone()
                }
            };
            fields.insert(name.clone(), value);
        }
        // From the whole row: a large key that did not change is in the old image alone.
        let key = relation.columns.iter().filter(|name| is_key(name));
        rows.insert(key.map(|name| fields[name].clone()).collect(), fields);
    }
}

impl Relation {
    fn key(&self, tuple: &[Value], is_key: &dyn Fn(&str) -> bool) -> Vec<Option<String>> {
        let columns = self.columns.iter().zip(tuple).filter(|(name, _)| is_key(name));
        let text = |(_, value): (&String, &Value)| match value {
            Value::Text(text) => Some(text.clone()),
            _ => panic!("{:?}: a row without its key", self.name),
        };
        columns.map(text).collect()
    }
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn take(&mut self, length: usize) -> &[u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn u32(&mut self) -> u32 {
        u32::from_be_bytes(self.take(4).try_into().unwrap())
    }

    fn string(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8(self.take(end).to_vec()).unwrap();
        self.u8();
        text
    }

    fn relation(&mut self) -> (u32, Relation) {
        let oid = self.u32();
        let name = (self.string(), self.string());
        self.u8();
        let mut columns = Vec::new();
        for _ in 0..self.u16() {
            self.u8();
            columns.push(self.string());
            self.take(8);
        }
        (oid, Relation { name, columns })
    }

    fn tuple(&mut self) -> Vec<Value> {
        let mut values = Vec::new();
        for _ in 0..self.u16() {
            values.push(match self.u8() {
                b'n' => Value::Null,
                b'u' => Value::Unchanged,
                _ => {
                    let length = usize::try_from(self.u32()).unwrap();
                    Value::Text(String::from_utf8(self.take(length).to_vec()).unwrap())
                }
            });
        }
        values
    }
}
