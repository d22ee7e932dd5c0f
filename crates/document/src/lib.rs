//! From a row of Postgres to a document of Elasticsearch or OpenSearch.
//!
//! A [`Plan`] is made once for a table and what the configuration wants of it ([`IndexSpec`]). It refuses what could not
//! be kept exactly, with the remedy, and then does three things:
//!
//! - [`Plan::write_id`] and [`Plan::write_new_id`]: the `_id`, the same for the same key whatever it came with;
//! - [`Plan::write_source`]: the `_source`, one JSON object in one line, straight from the text that Postgres printed, of
//!   all columns or of the one that carries it ready-made ([`Payload`]);
//! - [`Plan::mapping`] and [`Plan::settings`]: the mapping under which the server takes every such document, and the
//!   index settings that it can't do without.
//!
//! [`Plan::notes`] and [`Plan::toast_notes`] say what people should know before anything is created.
//!
//! ```
//! use change::{Cell, Column, OldImage, PgType, ReplicaIdentity, Row, Table, TableName};
//! use document::{IndexSpec, Plan, Scratch};
//!
//! let column = |name: &str, ty, type_name: &str| Column {
//!     name: name.into(), ty, type_name: type_name.into(), bare_type_name: type_name.into(),
//!     number: 0, type_oid: 0, type_modifier: -1,
//!     not_null: true, in_identity: name == "id", toastable: false,
//! };
//! let table = Table {
//!     oid: 16384,
//!     name: TableName::new("public", "product"),
//!     columns: vec![column("id", PgType::Int4, "integer"), column("price", PgType::Numeric, "numeric")],
//!     primary_key: vec!["id".into()],
//!     identity: ReplicaIdentity::Default,
//!     unpublished: Vec::new(),
//!     row_filter: None,
//!     query: None,
//!     partitioned: false,
//! };
//! let plan = Plan::new(&table, &IndexSpec::default())?;
//!
//! let cells = [Cell::text(0, 2).unwrap(), Cell::text(2, 4).unwrap()];
//! let row = Row::new(b"421.50", &cells);
//! let (mut id, mut source) = (Vec::new(), Vec::new());
//! plan.write_id(&row, &mut id)?;
//! plan.write_source(&row, OldImage::Absent, &mut Scratch::default(), &mut source)?;
//! assert_eq!(id, b"42");
//! assert_eq!(source, br#"{"id":42,"price":1.50}"#);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Nothing here reads or writes anything outside its arguments, and nothing interprets a value more than its form
//! demands: numbers keep every digit, text every byte. The forms are listed in the manual; each writer under `value/`
//! names the page of Postgres' manual that its input comes from. Values are trusted to be nothing: whatever is not
//! what Postgres prints for the column's type is a [`DocumentError`], never a broken document.

mod error;
mod escape;
mod id;
mod mapping;
mod plan;
mod scratch;
mod value;

pub use error::DocumentError;
pub use escape::write_json_string;
pub use id::{MAX_ID_BYTES, key_of};
pub use mapping::Dialect;
pub use plan::{Hole, IndexSpec, Note, Partial, Payload, Plan, PlanError, Problem};
pub use scratch::Scratch;
