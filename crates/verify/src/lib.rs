//! Whether two sets of documents are the same, in bounded memory and one pass over each.
//!
//! One side are the rows of a table as of a position of the log, made documents; the other side are the documents of its
//! index. They come in different orders, by several readers each. So a first pass only adds up: [`Sums`] keeps one sum of
//! [`Fingerprint`]s for each of many buckets, to which the hash of the `_id` assigns a document; what a row adds, the same
//! document takes away. A sum that is not zero in the end says that a document of its bucket differs. Only these buckets
//! ([`Selection`]) are read again, by id ([`Unmatched`]), in as many parts as memory asks for.
//!
//! The index goes on changing meanwhile. Each document tells by its version which commit wrote it, so what is newer than
//! the rows is told from what is wrong; [`judge()`] decides over two looks at the same key. Nothing here does I/O.

mod canonical;
mod entry;
mod fingerprint;
mod judge;
mod lookup;
mod selection;
mod sums;
mod unmatched;

pub use entry::{DocumentSeen, Entry, Place, RowSeen};
pub use fingerprint::Fingerprint;
pub use judge::{Kind, Verdict, Versions, judge};
pub use lookup::Lookup;
pub use selection::Selection;
pub use sums::Sums;
pub use unmatched::Unmatched;
