//! A directory per test, and what is read from a transaction.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use spool::{Released, Spool, SpoolError};

/// A path that nothing else uses; removed with all in it at the end.
pub(crate) struct Temp(PathBuf);

impl Temp {
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wal2es-spool-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        Temp(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// The spool files, sorted.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(&self.0) else { return Vec::new() };
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| path.extension().is_some_and(|it| it == "spool"));
        files.sort();
        files
    }

    pub(crate) fn only_file(&self) -> PathBuf {
        let files = self.files();
        assert_eq!(files.len(), 1, "{files:?}");
        files[0].clone()
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// All messages up to the end or the error.
pub(crate) fn drain(released: &mut Released) -> (Vec<Vec<u8>>, Result<(), SpoolError>) {
    let mut messages = Vec::new();
    loop {
        match released.next() {
            Ok(Some(message)) => messages.push(message.to_vec()),
            Ok(None) => return (messages, Ok(())),
            Err(error) => return (messages, Err(error)),
        }
    }
}

/// Everything of a transaction; nothing if nothing is held.
pub(crate) fn release(spool: &mut Spool, transaction: u32) -> Vec<Vec<u8>> {
    let Some(mut released) = spool.release(transaction).unwrap() else { return Vec::new() };
    let (messages, end) = drain(&mut released);
    end.unwrap();
    messages
}
