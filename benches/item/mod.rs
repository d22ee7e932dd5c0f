//! The row of the benchmarks: seven columns, 235 bytes as pgoutput sends it; and a thousand of it as each plugin writes
//! them.

use change::{
    Cell, Column, CommitLsn, Lsn, PgType, ReplicaIdentity, Row, RowChange, Table, TableName, Value,
};
use decode::pgoutput::encode::{self, Message};
use decode::pgoutput::{self, Protocol};
use decode::{Begin, ColumnType, Event, Relation, RelationColumn, test_decoding};
use document::{IndexSpec, Plan};

/// Rows of one [`Messages`].
pub const ROWS: usize = 1000;
const OID: u32 = 0x4000;

/// Where the transaction of all the rows commits.
pub const COMMIT: CommitLsn = CommitLsn(Lsn::new(0x0153_CAC8));

const TEXT: &str = "The quick brown fox jumps over the lazy dog, and the dog does not mind at all. It has seen many foxes \
                    come and go, and this one too";

/// Name, type, OID and name of the type, value.
fn columns() -> [(&'static str, PgType, u32, &'static str, &'static str); 7] {
    [
        ("id", PgType::Int8, 20, "bigint", ""),
        ("name", PgType::Text, 25, "text", "Nuku\u{2bb}alofa  "),
        ("description", PgType::Text, 25, "text", TEXT),
        ("price", PgType::Numeric, 1700, "numeric", "1234.50"),
        ("active", PgType::Bool, 16, "boolean", "t"),
        (
            "at",
            PgType::TimestampTz,
            1184,
            "timestamp with time zone",
            "2024-02-29 12:34:56.789012+00",
        ),
        ("stars", PgType::Float8, 701, "double precision", "4.25"),
    ]
}

/// Messages of rows, one behind the other.
pub struct Messages {
    pub bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    fn of(mut write: impl FnMut(&[Value<'_>], &mut Vec<u8>)) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::new());
        for row in 0..ROWS {
            let id = (1_000_000 + row).to_string();
            let values = columns().map(|(name, _, _, _, value)| {
                Value::Text(if name == "id" { id.as_bytes() } else { value.as_bytes() })
            });
            write(&values, &mut bytes);
            ends.push(bytes.len());
        }
        Messages { bytes, ends }
    }

    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.bytes[start..end])
    }
}

/// The rows as pgoutput sends them.
pub fn pgoutput_messages() -> Messages {
    Messages::of(|values, out| {
        Message::Insert { oid: OID, new: values.to_vec() }.write(None, out).unwrap();
    })
}

/// The rows as test_decoding writes them.
pub fn test_decoding_lines() -> Messages {
    let relation = Relation {
        number: 0,
        oid: None,
        name: TableName::new("public", "item"),
        identity: None,
        columns: columns()
            .map(|(name, _, _, ty, _)| RelationColumn {
                in_identity: false,
                name: name.into(),
                ty: ColumnType::Name(ty.into()),
            })
            .into(),
    };
    Messages::of(|values, out| {
        let (mut data, mut cells) = (Vec::new(), Vec::new());
        for value in values {
            if let Value::Text(text) = value {
                cells.push(Cell::text(data.len(), text.len()).unwrap());
                data.extend_from_slice(text);
            }
        }
        let new = Row::new(&data, &cells);
        test_decoding::encode::row(&relation, &RowChange::Insert { new }, out);
    })
}

/// A decoder in the middle of a transaction, that has met the table.
pub fn pgoutput() -> pgoutput::Decoder {
    let columns = columns().map(|(name, _, type_oid, _, _)| encode::Column {
        in_identity: name == "id",
        name,
        type_oid,
        type_modifier: -1,
    });
    let (schema, name, identity) = ("public", "item", ReplicaIdentity::Default);
    let relation = Message::Relation { oid: OID, schema, name, identity, columns: columns.into() };
    let begin = Message::Begin(Begin { commit: COMMIT, committed_at: 0, xid: 1 });
    let mut decoder = pgoutput::Decoder::new(Protocol::negotiate(180_000, false));
    for message in [begin, relation] {
        let mut bytes = Vec::new();
        message.write(None, &mut bytes).unwrap();
        decoder.decode(&bytes).unwrap();
    }
    decoder
}

/// The same.
pub fn test_decoding() -> test_decoding::Decoder {
    let mut decoder = test_decoding::Decoder::new();
    decoder.decode(Lsn::ZERO, b"BEGIN 1").unwrap();
    let release = match decoder.decode(Lsn::new(0x0153_CAD0), b"COMMIT 1").unwrap() {
        Event::Release(release) => release,
        other => panic!("{other:?}"),
    };
    decoder.begin_release(&release).unwrap();
    decoder
}

/// What its documents are made by.
pub fn plan() -> Plan {
    let columns = columns().map(|(name, ty, type_oid, type_name, _)| Column {
        name: name.into(),
        ty,
        type_name: type_name.into(),
        bare_type_name: type_name.into(),
        number: 0,
        type_oid,
        type_modifier: -1,
        not_null: true,
        in_identity: name == "id",
        toastable: false,
    });
    let table = Table {
        oid: OID,
        name: TableName::new("public", "item"),
        columns: columns.into(),
        unpublished: Vec::new(),
        primary_key: vec!["id".into()],
        identity: ReplicaIdentity::Default,
        row_filter: None,
        query: None,
        partitioned: false,
    };
    Plan::new(&table, &IndexSpec::default()).unwrap()
}

/// Documents of rows, written into a bulk body.
pub struct Body {
    plan: Plan,
    batch: apply::Batch,
    id: Vec<u8>,
    scratch: document::Scratch,
}

impl Body {
    pub fn new() -> Self {
        let limits = apply::Limits { bytes: usize::MAX, rows: usize::MAX };
        let batch = apply::Batch::new(limits);
        Body { plan: plan(), batch, id: Vec::new(), scratch: document::Scratch::default() }
    }

    /// The first row of a request begins.
    pub fn begin(&mut self) {
        self.batch.clear();
    }

    pub fn take(&mut self, event: &Event<'_>, ordinal: u64) {
        let Event::Row(op, _) = event else { return };
        let RowChange::Insert { new } = op.change else { return };
        let Body { plan, batch, id, scratch } = self;
        id.clear();
        plan.write_id(&new, id).unwrap();
        let write = apply::Write {
            index: 0,
            index_name: "item-g1",
            id,
            version: apply::Version::streamed(COMMIT, ordinal),
            origin: apply::Origin::Live,
        };
        let old = change::OldImage::Absent;
        batch
            .index(&write, |out: &mut Vec<u8>| plan.write_source(&new, old, scratch, out))
            .unwrap();
        batch.commit(Lsn::new(0x0153_CAF8));
    }

    pub fn end(&self) -> bool {
        self.batch.is_full()
    }
}
