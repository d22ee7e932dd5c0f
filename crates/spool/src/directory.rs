//! The directory of a spool, and the lock that keeps a second process out of it.
//!
//! The lock is an [advisory one](https://doc.rust-lang.org/std/fs/struct.File.html#method.try_lock) on a file inside: the
//! system releases it when a process dies, however that happens. The file is removed at the end, so a process may hold the
//! lock of a file that has just lost its name, while a third makes a new one; hence the look at the name after locking.
//!
//! Where everybody may make directories, such as `/var/tmp`, ours may have been made by somebody else beforehand, who could
//! then read, exchange or remove what is held. So nobody else may own it or write to it. Who we are is told by a file that
//! we make: a lock that was left behind may be anyone's and is made anew.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Exposure, SpoolError};

const LOCK: &str = "wal2es-spool.lock";
const ATTEMPTS: u32 = 16;

/// A locked directory. It lives until the last reader of a file in it is done.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    made: bool,
    lock: File,
}

impl Directory {
    /// Makes the directory if it is missing, locks it, makes sure that it is ours alone, removes what a killed process left
    /// behind.
    pub(crate) fn open(path: &Path) -> Result<Self, SpoolError> {
        let mut made = false;
        for _ in 0..ATTEMPTS {
            made |= make(path).map_err(|source| SpoolError::io("make directory", path, source))?;
            must_be_closed(path)?;
            if let Some(lock) = lock(path)? {
                // It goes with its lock if it turns out not to be ours.
                let directory = Directory { path: path.to_owned(), made, lock };
                directory.must_be_ours()?;
                directory.remove_stale()?;
                return Ok(directory);
            }
        }
        Err(SpoolError::InUse { dir: path.to_owned() })
    }

    /// Where the file of a transaction goes. `serial` tells apart those of one transaction that came twice, in two sessions.
    pub(crate) fn file(&self, transaction: u32, serial: u64) -> PathBuf {
        self.path.join(format!("wal2es-{transaction}-{serial}.spool"))
    }

    /// The owner of the lock, which this process has made, owns the directory too.
    fn must_be_ours(&self) -> Result<(), SpoolError> {
        let look = |source| SpoolError::io("look at", &self.path, source);
        let user = self.lock.metadata().map_err(look)?.uid();
        let owner = fs::metadata(&self.path).map_err(look)?.uid();
        if owner == user {
            return Ok(());
        }
        Err(SpoolError::Exposed {
            dir: self.path.clone(),
            exposure: Exposure::Owner { owner, user },
        })
    }

    fn remove_stale(&self) -> Result<(), SpoolError> {
        let list = |source| SpoolError::io("list", &self.path, source);
        for entry in fs::read_dir(&self.path).map_err(list)? {
            let entry = entry.map_err(list)?;
            let stale = entry.file_name().to_str().is_some_and(is_ours)
                && entry.file_type().map_err(list)?.is_file();
            if stale {
                let path = entry.path();
                fs::remove_file(&path).map_err(|e| SpoolError::io("remove", &path, e))?;
            }
        }
        Ok(())
    }
}

impl Drop for Directory {
    /// Removes the lock while it is still held, and the directory if we made it and it is empty. One that was there before
    /// stays: this user may not be allowed to make it again.
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path.join(LOCK));
        if self.made {
            let _ = fs::remove_dir(&self.path);
        }
    }
}

/// Whether [`Directory::file`] gives such names.
fn is_ours(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    name.strip_prefix("wal2es-")
        .and_then(|name| name.strip_suffix(".spool"))
        .and_then(|name| name.split_once('-'))
        .is_some_and(|(transaction, serial)| number(transaction) && number(serial))
}

/// Whether the directory was missing.
fn make(path: &Path) -> io::Result<bool> {
    let mut builder = DirBuilder::new();
    builder.mode(0o700);
    match builder.create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            builder.recursive(true).create(path).map(|()| true)
        }
        Err(error) => Err(error),
    }
}

/// Only its owner may write to the directory. To be seen before anything is made or opened in it.
fn must_be_closed(path: &Path) -> Result<(), SpoolError> {
    let mode = match fs::metadata(path) {
        Ok(found) if found.is_dir() => found.mode() & 0o7777,
        // Opening the lock will say so.
        Ok(_) => return Ok(()),
        // Whoever had it has just removed it: it will be made again.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(SpoolError::io("look at", path, error)),
    };
    if mode & 0o022 == 0 {
        return Ok(());
    }
    Err(SpoolError::Exposed { dir: path.to_owned(), exposure: Exposure::Mode { mode } })
}

/// `None` if the directory or the file was removed in the meantime, or the file was an old one, which is gone now.
fn lock(directory: &Path) -> Result<Option<File>, SpoolError> {
    let path = directory.join(LOCK);
    let (file, made) = match open(&path) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(SpoolError::io("open", &path, error)),
    };
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(SpoolError::InUse { dir: directory.to_owned() });
        }
        Err(TryLockError::Error(error)) => return Err(SpoolError::io("lock", &path, error)),
    }
    let named = is_named(&file, &path)?;
    if named && !made {
        // Whoever removes it has its lock, so this can't be the next one.
        fs::remove_file(&path).map_err(|error| SpoolError::io("remove", &path, error))?;
    }
    Ok((named && made).then_some(file))
}

/// The lock, and whether it was missing.
fn open(path: &Path) -> io::Result<(File, bool)> {
    let mut options = OpenOptions::new();
    match options.write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made.map(|file| (file, true)),
    }
    // Opening anything else may lead elsewhere, or wait for ever.
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    OpenOptions::new().write(true).open(path).map(|file| (file, false))
}

/// Whether `path` still leads to `file`.
fn is_named(file: &File, path: &Path) -> Result<bool, SpoolError> {
    let ours = file.metadata().map_err(|error| SpoolError::io("look at", path, error))?;
    let named = fs::metadata(path);
    Ok(named.is_ok_and(|it| (it.dev(), it.ino()) == (ours.dev(), ours.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_names_are_ours() {
        for name in ["wal2es-1-0.spool", "wal2es-4294967295-12.spool"] {
            assert!(is_ours(name), "{name}");
        }
        for name in [
            LOCK,
            "wal2es.spool",
            "wal2es--.spool",
            "wal2es-1.spool",
            "wal2es-1-.spool",
            "wal2es-1-2-3.spool",
            "wal2es-+1-2.spool",
            "wal2es-1-0.spool.bak",
            "xwal2es-1-0.spool",
        ] {
            assert!(!is_ours(name), "{name}");
        }
    }

    #[test]
    fn a_file_without_its_name_is_no_lock() {
        let path = std::env::temp_dir().join(format!("wal2es-spool-name-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        assert!(is_named(&file, &path).unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!is_named(&file, &path).unwrap());
        fs::write(&path, b"").unwrap();
        assert!(!is_named(&file, &path).unwrap());
        fs::remove_file(&path).unwrap();
    }
}
