//! What is different where tables are read in place of the log.

use change::Lsn;

use super::Applier;

impl Applier {
    /// Rows come from tables in place of a stream, and versions are no positions: anything may have been sent. With `again`
    /// some of it is read once more, in the state that it had then: nothing is shown before [`Applier::caught_up`].
    pub fn begin_tables(&mut self, again: bool) {
        self.catching_up = again;
        self.begin_anew(Lsn::new(u64::MAX));
    }

    /// Everything that was there when [`Applier::begin_tables`] was called has been handed over.
    pub fn caught_up(&mut self) {
        self.catching_up = false;
    }

    /// What is handed over belongs to something larger, in the middle of which a key may be in an older state than was shown:
    /// nothing is shown before its end.
    pub fn within(&mut self, within: bool) {
        self.within = within;
    }

    /// What has been handed over so far, and has landed, comes from before this place.
    pub fn read_to(&mut self, place: String) {
        self.state.read_to = place;
    }

    /// How far the saved state says that tables were read.
    pub fn saved_read_to(&self) -> &str {
        &self.saved_read_to
    }
}
