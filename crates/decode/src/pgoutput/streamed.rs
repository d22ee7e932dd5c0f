//! The transactions that have been sent in part and are neither committed nor aborted.

use std::collections::HashMap;

use super::known::Notes;

/// For each of them, by its id, when its descriptions of tables arrived. See [`super::known`].
#[derive(Debug, Default)]
pub(super) struct Streamed {
    transactions: HashMap<u32, Notes>,
}

impl Streamed {
    /// A block begins.
    ///
    /// # Errors
    /// What is wrong with `first`, the flag of the first block.
    pub(super) fn start(&mut self, transaction: u32, first: bool) -> Result<(), &'static str> {
        match (first, self.transactions.contains_key(&transaction)) {
            (false, true) => Ok(()),
            (true, false) => {
                self.transactions.insert(transaction, Notes::new());
                Ok(())
            }
            (true, true) => Err("begins a second time"),
            (false, false) => Err("goes on without having begun"),
        }
    }

    /// A description of the table `oid` arrived.
    pub(super) fn note(&mut self, transaction: u32, oid: u32, arrived: u64) {
        if let Some(notes) = self.transactions.get_mut(&transaction) {
            notes.insert(oid, arrived);
        }
    }

    /// A part was aborted: the server forgets what it has described.
    pub(super) fn forget_notes(&mut self, transaction: u32) {
        if let Some(notes) = self.transactions.get_mut(&transaction) {
            notes.clear();
        }
    }

    /// The transaction is over. `None` if it is not open.
    pub(super) fn close(&mut self, transaction: u32) -> Option<Notes> {
        self.transactions.remove(&transaction)
    }
}
