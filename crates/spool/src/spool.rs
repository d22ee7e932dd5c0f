//! All transactions in progress, and what is allowed to stay in memory of them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use crate::directory::Directory;
use crate::error::SpoolError;
use crate::held::Held;
use crate::record;
use crate::released::Released;

/// Holds the messages of transactions until they commit or abort.
///
/// When a message doesn't fit in memory any more, the transaction with the most bytes there goes to its file. A message larger
/// than the bound goes to the file at once. A failing [`hold`](Spool::hold) or [`release`](Spool::release) poisons the spool:
/// it lets go of everything, and until [`clear`](Spool::clear) both are errors, so that nothing is missing unnoticed.
///
/// When it is dropped, its files and its lock are removed, and the directory if it was made here and nothing else is in it.
pub struct Spool {
    transactions: HashMap<u32, Held>,
    memory: usize,
    used: usize,
    serial: u64,
    failed: Option<String>,
    directory: Arc<Directory>,
}

/// How much is held. Marks of aborted subtransactions (some 30 bytes each) and released transactions don't count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Transactions of which anything is held.
    pub transactions: usize,
    /// Bytes in memory, with 8 for each message: at most what [`Spool::open`] was given. Buffers can be twice as large.
    pub memory_bytes: usize,
    /// Bytes in files, those of aborted parts included.
    pub file_bytes: u64,
}

impl Spool {
    /// Opens a spool in `dir`, which is made if it is missing (mode 0700, its parents too), and keeps at most `memory` bytes of
    /// messages in memory over all transactions together; 0 is legal.
    ///
    /// Files of a spool whose process died are removed, nothing else is touched. There may be one spool per directory.
    ///
    /// # Errors
    /// [`SpoolError::InUse`] if another spool has the directory, or a [`Released`] of it lives; [`SpoolError::Exposed`] if it
    /// was there and belongs to another user, or group or others may write to it; [`SpoolError::Io`].
    pub fn open(dir: &Path, memory: usize) -> Result<Spool, SpoolError> {
        Ok(Spool {
            transactions: HashMap::new(),
            memory,
            used: 0,
            serial: 0,
            failed: None,
            directory: Arc::new(Directory::open(dir)?),
        })
    }

    /// Adds a message (at most 4 GiB less 9 bytes) to `transaction`, which begins with its first one. `part` is the
    /// subtransaction that the message goes with, or `transaction`. May wait for the disk.
    ///
    /// # Errors
    /// Every error poisons the spool: nothing is held any more.
    pub fn hold(&mut self, transaction: u32, part: u32, message: &[u8]) -> Result<(), SpoolError> {
        self.usable()?;
        self.try_hold(transaction, part, message).inspect_err(|error| self.poison(error))
    }

    /// Takes out all messages of `part` so far; of everything, with the file, if it is `transaction` itself. What isn't held
    /// is no error: the server may abort what it never sent.
    pub fn abort(&mut self, transaction: u32, part: u32) {
        let Some(held) = self.transactions.get_mut(&transaction) else { return };
        if part != transaction {
            self.used -= held.abort(part);
            if !held.is_empty() {
                return;
            }
        }
        if let Some(held) = self.transactions.remove(&transaction) {
            self.used -= held.memory.len();
        }
    }

    /// Hands over what is held of a transaction that has committed. `None` if that is nothing; also a reader may turn out
    /// to have no message, if all were aborted. Opens the file if there is one, else never touches the disk.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] or [`SpoolError::Io`] if the file can't be read. Every error poisons the spool.
    pub fn release(&mut self, transaction: u32) -> Result<Option<Released>, SpoolError> {
        self.usable()?;
        let Some(held) = self.transactions.remove(&transaction) else { return Ok(None) };
        self.used -= held.memory.len();
        Released::new(held).map(Some).inspect_err(|error| self.poison(error))
    }

    /// The session has ended: everything held is void, all files are removed, and the spool can be used again even if it was
    /// poisoned. What was released before stays readable.
    pub fn clear(&mut self) {
        self.transactions = HashMap::new();
        self.used = 0;
        self.failed = None;
    }

    /// How much is held now. Looks at every transaction.
    pub fn stats(&self) -> Stats {
        let files = self.transactions.values().filter_map(|held| held.file.as_ref());
        Stats {
            transactions: self.transactions.len(),
            memory_bytes: self.used,
            file_bytes: files.map(|file| file.len()).sum(),
        }
    }

    /// Everything is void now; letting go of it at once makes room on a full disk.
    fn poison(&mut self, error: &SpoolError) {
        self.clear();
        self.failed = Some(error.to_string());
    }

    fn usable(&self) -> Result<(), SpoolError> {
        match &self.failed {
            Some(cause) => Err(SpoolError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }

    fn try_hold(&mut self, transaction: u32, part: u32, message: &[u8]) -> Result<(), SpoolError> {
        let length = message.len();
        let header =
            record::header(part, message).ok_or(SpoolError::TooLong { transaction, length })?;
        let size = header.len() + length;
        if size <= self.memory {
            while size > self.memory - self.used {
                self.spill_largest()?;
            }
            self.used += size;
            self.held(transaction).push(part, header, message);
            return Ok(());
        }
        self.spill(transaction)?;
        self.held(transaction).push_to_file(part, header, message)
    }

    fn held(&mut self, transaction: u32) -> &mut Held {
        self.transactions.entry(transaction).or_insert_with(|| Held::new(transaction))
    }

    fn spill_largest(&mut self) -> Result<(), SpoolError> {
        let largest = self.transactions.values().max_by_key(|held| held.memory.len());
        match largest.map(|held| held.transaction) {
            Some(transaction) => self.spill(transaction),
            None => {
                self.used = 0;
                Ok(())
            }
        }
    }

    fn spill(&mut self, transaction: u32) -> Result<(), SpoolError> {
        let held = self.transactions.entry(transaction).or_insert_with(|| Held::new(transaction));
        self.used -= held.memory.len();
        held.spill(&self.directory, &mut self.serial)
    }
}

impl std::fmt::Debug for Spool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Spool")
            .field("directory", &self.directory)
            .field("memory", &self.memory)
            .field("stats", &self.stats())
            .field("failed", &self.failed)
            .finish()
    }
}
