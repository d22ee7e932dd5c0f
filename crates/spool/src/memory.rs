//! Records in memory, in blocks as they will stand in a file.
//!
//! Blocks, not one buffer: a block is written with its checksum as it is, nothing is ever moved to make room, and a reader
//! frees what it has read. The first block of a transaction grows from the size of one record, so that a thousand small
//! transactions don't take a thousand full blocks.

use std::collections::VecDeque;

use crate::record;

/// Bytes in a block; more only if it is a single record.
pub(crate) const BLOCK: usize = 1 << 20;

/// Whole records, in order.
#[derive(Default)]
pub(crate) struct Blocks {
    blocks: VecDeque<Vec<u8>>,
    length: usize,
}

impl Blocks {
    /// Bytes of all records with their headers.
    pub(crate) fn len(&self) -> usize {
        self.length
    }

    pub(crate) fn push(&mut self, header: [u8; record::HEADER], message: &[u8]) {
        let size = header.len() + message.len();
        match self.blocks.back_mut() {
            Some(last) if last.len() + size <= BLOCK => fill(last, header, message),
            last => {
                let capacity = if last.is_none() { size } else { size.max(BLOCK) };
                let mut block = Vec::with_capacity(capacity);
                fill(&mut block, header, message);
                self.blocks.push_back(block);
            }
        }
        self.length += size;
    }

    /// Drops everything from byte `length` on, which is where a record begins. Returns how many bytes that was.
    pub(crate) fn truncate(&mut self, length: usize) -> usize {
        let dropped = self.length.saturating_sub(length);
        let mut excess = dropped;
        while excess > 0
            && let Some(mut last) = self.blocks.pop_back()
        {
            if last.len() > excess {
                last.truncate(last.len() - excess);
                excess = 0;
                self.blocks.push_back(last);
            } else {
                excess -= last.len();
            }
        }
        self.length -= dropped;
        dropped
    }

    /// Takes the oldest block.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        let block = self.blocks.pop_front()?;
        self.length -= block.len();
        Some(block)
    }
}

fn fill(block: &mut Vec<u8>, header: [u8; record::HEADER], message: &[u8]) {
    block.extend_from_slice(&header);
    block.extend_from_slice(message);
}
