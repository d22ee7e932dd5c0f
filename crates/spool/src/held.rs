//! What is held of one transaction: the older records in a file, the newer ones in memory.
//!
//! A position counts the bytes of records from the beginning of the transaction, whether they are in the file or not.
//!
//! An aborted subtransaction is usually the newest thing held, and is then simply cut off. That is allowed only for what is in
//! memory, and it suffices only if the part has nothing further ahead; else a mark stays for the reader. Parts are numbered
//! upwards, so a part above all before it has nothing further ahead; no list of all parts is needed.

use std::sync::Arc;

use crate::aborted::Aborted;
use crate::directory::Directory;
use crate::error::SpoolError;
use crate::file::SpoolFile;
use crate::memory::Blocks;
use crate::record;

/// One transaction.
pub(crate) struct Held {
    pub(crate) transaction: u32,
    pub(crate) memory: Blocks,
    pub(crate) file: Option<SpoolFile>,
    pub(crate) aborted: Aborted,
    /// Bytes of records in the file.
    filed: u64,
    /// The highest part so far, as its distance from the transaction, because the counter of transactions wraps.
    newest: Option<u32>,
    run: Option<Run>,
}

/// The newest records, all of one part.
struct Run {
    part: u32,
    /// Its first position.
    start: u64,
    /// Whether nothing of the part stands before.
    whole: bool,
}

impl Held {
    pub(crate) fn new(transaction: u32) -> Self {
        Held {
            transaction,
            memory: Blocks::default(),
            file: None,
            aborted: Aborted::default(),
            filed: 0,
            newest: None,
            run: None,
        }
    }

    /// Adds a record in memory.
    pub(crate) fn push(&mut self, part: u32, header: [u8; record::HEADER], message: &[u8]) {
        self.enter(part);
        self.memory.push(header, message);
    }

    /// Adds a record to the file, which must already hold all that is before it.
    pub(crate) fn push_to_file(
        &mut self,
        part: u32,
        header: [u8; record::HEADER],
        message: &[u8],
    ) -> Result<(), SpoolError> {
        self.enter(part);
        if let Some(file) = &mut self.file {
            file.append()?.block(&header, message)?;
            self.filed += (header.len() + message.len()) as u64;
        }
        Ok(())
    }

    /// Moves what is in memory to the file, which is made now if there is none, even for nothing.
    pub(crate) fn spill(
        &mut self,
        directory: &Arc<Directory>,
        serial: &mut u64,
    ) -> Result<(), SpoolError> {
        let file = match self.file.take() {
            Some(file) => self.file.insert(file),
            None => {
                *serial += 1;
                self.file.insert(SpoolFile::create(directory, self.transaction, *serial)?)
            }
        };
        if self.memory.len() == 0 {
            return Ok(());
        }
        let mut appender = file.append()?;
        while let Some(block) = self.memory.pop() {
            appender.block(&[], &block)?;
            self.filed += block.len() as u64;
        }
        Ok(())
    }

    /// Takes out the records of `part`. Returns how many bytes in memory that freed.
    pub(crate) fn abort(&mut self, part: u32) -> usize {
        if self.newest.is_none_or(|newest| self.age(part) > newest) {
            return 0;
        }
        let mut freed = 0;
        if let Some(run) = self.run.take_if(|run| run.part == part) {
            let keep = run.start.saturating_sub(self.filed);
            freed = usize::try_from(keep).map_or(0, |keep| self.memory.truncate(keep));
            if run.whole && run.start >= self.filed {
                return freed;
            }
        }
        self.aborted.mark(part, self.end());
        freed
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.end() == 0
    }

    fn end(&self) -> u64 {
        self.filed + self.memory.len() as u64
    }

    fn age(&self, part: u32) -> u32 {
        part.wrapping_sub(self.transaction)
    }

    /// The next record is of `part`.
    fn enter(&mut self, part: u32) {
        if self.run.as_ref().is_some_and(|run| run.part == part) {
            return;
        }
        let age = self.age(part);
        let whole = self.newest.is_none_or(|newest| age > newest);
        if whole {
            self.newest = Some(age);
        } else {
            self.aborted.resume(part, self.end());
        }
        self.run = Some(Run { part, start: self.end(), whole });
    }
}
