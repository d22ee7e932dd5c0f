//! Memory that writers need for a moment and that the next row uses again.

use crate::value::json::Stack;

/// Above this many bytes a buffer is let go after use, so that one huge value does not hold memory for good.
const KEEP: usize = 1 << 20;

/// What [`Plan::write_source`](crate::Plan::write_source) needs beside its output. Make one per thread of work and pass
/// it again and again: it grows with the first rows, then nothing is allocated any more. It carries nothing from one
/// row to the next.
#[derive(Debug, Default)]
pub struct Scratch {
    pub(crate) json: Stack,
    spare: Vec<Vec<u8>>,
}

impl Scratch {
    /// An empty buffer. Give it back with [`Scratch::give`].
    pub(crate) fn take(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    pub(crate) fn give(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEEP {
            buffer.clear();
            self.spare.push(buffer);
        }
    }
}
