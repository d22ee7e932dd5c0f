//! What is done with the rows and documents of a pass.

use verify::{Lookup, Sums, Unmatched, Versions};

use crate::failure::Failure;

/// Takes both sides of a comparison, from several readers at once.
pub(super) trait Take: Send + Sync + 'static {
    /// The places of rows are wanted.
    const PLACES: bool;

    /// A row, made a document.
    fn row(&self, id: &[u8], source: &[u8], place: &[u8]);

    /// A document of the index.
    fn document(&self, id: &[u8], source: &[u8], version: u64, versions: Versions);

    /// Waits until more rows can be taken.
    fn room(&self) -> impl Future<Output = Result<(), Failure>> + Send {
        async { Ok(()) }
    }
}

impl Take for Sums {
    const PLACES: bool = false;

    fn row(&self, id: &[u8], source: &[u8], _: &[u8]) {
        Sums::row(self, id, source);
    }

    fn document(&self, id: &[u8], source: &[u8], version: u64, versions: Versions) {
        Sums::document(self, id, source, version, versions);
    }
}

impl Take for Unmatched {
    const PLACES: bool = true;

    fn row(&self, id: &[u8], source: &[u8], place: &[u8]) {
        Unmatched::row(self, id, source, place);
    }

    fn document(&self, id: &[u8], source: &[u8], version: u64, _: Versions) {
        Unmatched::document(self, id, source, version);
    }
}

impl Take for Lookup {
    const PLACES: bool = true;

    fn row(&self, id: &[u8], source: &[u8], place: &[u8]) {
        Lookup::row(self, id, source, place);
    }

    fn document(&self, id: &[u8], source: &[u8], version: u64, _: Versions) {
        Lookup::document(self, id, source, version);
    }
}
