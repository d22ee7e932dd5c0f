//! The reader of a transaction that has committed.

use std::path::Path;

use crate::aborted::Aborted;
use crate::error::{Damage, SpoolError};
use crate::file::Reader;
use crate::held::Held;
use crate::memory::Blocks;
use crate::record;

/// The messages of one transaction, in order, without those of aborted parts.
///
/// It owns its file, which is removed when this is dropped, read to the end or not; until then the directory stays locked.
/// The messages that were in memory stay there until they are read, and no longer count in [`Stats`](crate::Stats).
pub struct Released {
    file: Option<Reader>,
    memory: Blocks,
    aborted: Aborted,
    /// What is being read, where in it, and at which offset of the file it lies.
    block: Vec<u8>,
    at: usize,
    offset: u64,
    /// Bytes of records before `block`.
    before: u64,
    failed: Option<String>,
}

impl Released {
    pub(crate) fn new(held: Held) -> Result<Self, SpoolError> {
        Ok(Released {
            file: held.file.map(Reader::open).transpose()?,
            memory: held.memory,
            aborted: held.aborted,
            block: Vec::new(),
            at: 0,
            offset: 0,
            before: 0,
            failed: None,
        })
    }

    /// The next message; `None` at the end, and again after it. May wait for the disk.
    ///
    /// # Errors
    /// [`SpoolError::Damaged`] if the file is not as it was written, [`SpoolError::Io`] if it can't be read or a block does
    /// not fit in memory. What was given before is right all the same, but the rest is lost: every further call is an error.
    #[expect(clippy::should_implement_trait, reason = "it lends; an iterator would have to copy")]
    pub fn next(&mut self) -> Result<Option<&[u8]>, SpoolError> {
        if let Some(cause) = &self.failed {
            return Err(SpoolError::Poisoned { cause: cause.clone() });
        }
        let found = self.advance().inspect_err(|error| self.failed = Some(error.to_string()))?;
        Ok(found.and_then(|message| self.block.get(message)))
    }

    /// Where the next message is in `block`.
    fn advance(&mut self) -> Result<Option<std::ops::Range<usize>>, SpoolError> {
        loop {
            if self.at == self.block.len() && !self.load()? {
                return Ok(None);
            }
            let Some((part, message)) = record::split(&self.block, self.at) else {
                return Err(self.broken());
            };
            let position = self.before + self.at as u64;
            self.at = message.end;
            if !self.aborted.covers(part, position) {
                return Ok(Some(message));
            }
        }
    }

    /// Takes the next block; false at the end.
    fn load(&mut self) -> Result<bool, SpoolError> {
        self.before += self.block.len() as u64;
        self.at = 0;
        if let Some(file) = &mut self.file {
            self.offset = file.offset();
            if file.next(&mut self.block)? {
                return Ok(true);
            }
            self.file = None;
        }
        self.block = self.memory.pop().unwrap_or_default();
        Ok(!self.block.is_empty())
    }

    fn broken(&self) -> SpoolError {
        let path = self.file.as_ref().map_or(Path::new("memory"), Reader::path);
        SpoolError::damaged(path, self.offset, Damage::Record)
    }
}

impl std::fmt::Debug for Released {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Released")
            .field("file", &self.file.as_ref().map(Reader::path))
            .field("memory_bytes", &self.memory.len())
            .finish_non_exhaustive()
    }
}
