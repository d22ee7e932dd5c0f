//! From the Pump to the consumer: a channel bounded by the number of chunks and by their bytes.
//!
//! The bytes are counted while a chunk waits, and given back when it is taken out. A chunk larger than the whole bound
//! passes when nothing else waits: one message may be larger than anything one would like to hold.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use super::chunk::Chunk;

pub(super) fn channel(chunks: usize, bytes: u32) -> (Sender, Receiver) {
    let (sender, receiver) = mpsc::channel(chunks.max(1));
    let bytes = bytes.max(1);
    let room = Arc::new(Semaphore::new(usize::try_from(bytes).unwrap_or(Semaphore::MAX_PERMITS)));
    (Sender { chunks: sender, room: room.clone(), bytes }, Receiver { chunks: receiver, room })
}

#[derive(Debug)]
pub(super) struct Sender {
    chunks: mpsc::Sender<(Chunk, u32)>,
    room: Arc<Semaphore>,
    bytes: u32,
}

impl Sender {
    /// Sends the chunk when there is room, and takes it out of `waiting` in the same moment: if the future is dropped
    /// before, the chunk is still there. False if the consumer is gone.
    pub(super) async fn send(&self, waiting: &mut Option<Chunk>) -> bool {
        let Some(chunk) = waiting.as_ref() else { return true };
        let weight = u32::try_from(chunk.size()).unwrap_or(u32::MAX).clamp(1, self.bytes);
        // The semaphore is never closed.
        let Ok(room) = self.room.acquire_many(weight).await else { return false };
        let Ok(slot) = self.chunks.reserve().await else { return false };
        if let Some(chunk) = waiting.take() {
            room.forget();
            slot.send((chunk, weight));
        }
        true
    }

    /// Completes when the consumer is gone.
    pub(super) async fn closed(&self) {
        self.chunks.closed().await;
    }
}

/// The consumer's end of the stream.
#[derive(Debug)]
pub struct Receiver {
    chunks: mpsc::Receiver<(Chunk, u32)>,
    room: Arc<Semaphore>,
}

impl Receiver {
    /// The next messages, as many as came together; none when the [`Pump`](crate::Pump) has ended, whose result says
    /// why. The future may be dropped and called again.
    pub async fn next(&mut self) -> Option<Chunk> {
        let taken = self.chunks.recv().await;
        self.give_back(taken)
    }

    /// The next messages if they are there: none means that the stream has run dry for now, or has ended.
    pub fn try_next(&mut self) -> Option<Chunk> {
        let taken = self.chunks.try_recv().ok();
        self.give_back(taken)
    }

    fn give_back(&self, taken: Option<(Chunk, u32)>) -> Option<Chunk> {
        let (chunk, weight) = taken?;
        self.room.add_permits(usize::try_from(weight).unwrap_or_default());
        Some(chunk)
    }
}
