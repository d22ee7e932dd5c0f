//! All documents of an index at points in time, read by several readers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use apply::{Part, Point, Target};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use verify::Versions;

use super::take::Take;
use crate::failure::Failure;
use crate::progress::Copying;

/// Readers beside each other: while one waits for a page, another one's is looked at.
const READERS: usize = 2;

/// One point for each shard of `index`, as searches see it now.
pub(super) async fn open(target: &Target, index: &str) -> Result<Vec<Point>, Failure> {
    let mut points = Vec::new();
    for shard in 0..target.shards(index).await? {
        points.push(target.open_point(index, shard, None).await?);
    }
    Ok(points)
}

struct Job<T> {
    target: Arc<Target>,
    parts: Vec<Mutex<Part>>,
    next: AtomicUsize,
    documents: AtomicU64,
    take: Arc<T>,
    versions: Versions,
    progress: Arc<Copying>,
}

/// Hands all documents of the points to `take`, and gives their number. Closes the points.
pub(super) async fn read<T: Take>(
    target: &Arc<Target>,
    points: Vec<Point>,
    versions: Versions,
    take: Arc<T>,
    progress: Arc<Copying>,
) -> Result<u64, Failure> {
    let job = Arc::new(Job {
        target: target.clone(),
        parts: points.iter().flat_map(Point::parts).map(Mutex::new).collect(),
        next: AtomicUsize::new(0),
        documents: AtomicU64::new(0),
        take,
        versions,
        progress,
    });
    let mut readers = JoinSet::new();
    for _ in 0..READERS {
        readers.spawn(job.clone().read());
    }
    while let Some(ended) = readers.join_next().await {
        ended.unwrap_or_else(|_| {
            Err(Failure::retry("a reader of documents ended", "start again"))
        })?;
    }
    let (expected, got): (u64, u64) =
        (points.iter().map(|point| point.documents).sum(), job.documents.load(Ordering::Relaxed));
    for point in points {
        target.close_point(point).await?;
    }
    if expected != got {
        return Err(Failure::retry(
            format!("the target has {expected} documents and gave {got}"),
            "look into the search server's log",
        ));
    }
    Ok(got)
}

impl<T: Take> Job<T> {
    async fn read(self: Arc<Self>) -> Result<(), Failure> {
        while let Some(part) = self.parts.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let mut part = part.lock().await;
            loop {
                let mut documents = 0;
                let more = self.target.next_page(&mut part, |hit| {
                    documents += 1;
                    self.take.document(hit.id.as_bytes(), hit.source(), hit.version, self.versions);
                });
                if !more.await? {
                    break;
                }
                self.documents.fetch_add(documents, Ordering::Relaxed);
                self.progress.add(1, documents);
            }
        }
        Ok(())
    }
}
