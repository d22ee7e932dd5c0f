//! What can go wrong, where, and what to do about it.

use std::io;
use std::path::{Path, PathBuf};

/// Any failure of this crate. [`SpoolError::remedy`] says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpoolError {
    /// A living process, or this one, has the directory open.
    #[error("another wal2es uses {}", dir.display())]
    InUse {
        /// The directory.
        dir: PathBuf,
    },

    /// The directory was there, and others than the user of this process may change what is in it.
    #[error("{} {exposure}", dir.display())]
    Exposed {
        /// The directory.
        dir: PathBuf,
        /// In what way.
        exposure: Exposure,
    },

    /// The system refused something.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb.
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A file is not as it was written.
    #[error("{} is damaged at byte {offset}: {damage}", path.display())]
    Damaged {
        /// The file, or `memory` for what never was in one.
        path: PathBuf,
        /// Where, in bytes from its beginning: the block, or the end if it is too short.
        offset: u64,
        /// In what way.
        damage: Damage,
    },

    /// A message too long for the format; Postgres sends at most 1 GiB.
    #[error("a message of {length} bytes in transaction {transaction} is too long: at most {max} bytes", max = u32::MAX - 8)]
    TooLong {
        /// The top-level transaction.
        transaction: u32,
        /// Bytes.
        length: usize,
    },

    /// An earlier call failed, so what is held may be incomplete.
    #[error("the spool is of no use since an earlier failure: {cause}")]
    Poisoned {
        /// What happened then.
        cause: String,
    },
}

/// To whom a directory is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Exposure {
    /// To its owner, who is not the user of this process.
    #[error("belongs to the user {owner}, not to {user}, who runs wal2es")]
    Owner {
        /// The user id of the owner.
        owner: u32,
        /// That of what this process makes.
        user: u32,
    },
    /// To its group or to everybody.
    #[error("may be written to by others than its owner (mode {mode:04o})")]
    Mode {
        /// The permission bits of
        /// [`st_mode`](https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/sys_stat.h.html), 0 to 0o7777.
        mode: u32,
    },
}

/// In what way a file differs from what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Somebody removed it.
    #[error("the file is gone")]
    Gone,
    /// It is shorter or longer than it was left.
    #[error("the file has {found} bytes, {expected} were written")]
    Length {
        /// Bytes now.
        found: u64,
        /// Bytes then.
        expected: u64,
    },
    /// It does not begin as a file of this transaction and this version does.
    #[error("this is not a spool file of this transaction")]
    Header,
    /// The header of a block contradicts its checksum.
    #[error("the checksum of a block's header is wrong")]
    BlockHeader,
    /// The messages in a block contradict their checksum.
    #[error("the checksum of a block is wrong")]
    Block,
    /// A block does not consist of whole records.
    #[error("a record does not end where its block ends")]
    Record,
}

const ROOM: &str = "free space there, or set source.spill_dir to another directory";
const PERMISSION: &str =
    "let the user that runs wal2es write there, or set source.spill_dir to another directory";
const READ_ONLY: &str =
    "make the file system writable, or set source.spill_dir to another directory";
const MISSING: &str = "set source.spill_dir to a directory that exists or can be made, \
                       and let nothing remove it while wal2es runs";
const BUSY: &str = "stop the other process, or set source.spill_dir to another directory";
const OWNER: &str = "if it is no longer needed remove it, wal2es makes its own; or let its owner run wal2es, \
                     or set source.spill_dir to another directory";
const MODE: &str = "see who else has used it, then remove it or take the right to write from group and others \
                    (chmod go-w), or set source.spill_dir to another directory";
const MEMORY: &str = "give the process more memory: a single row must fit";
const DAMAGED: &str = "start again, the server sends the transaction again; let nothing else write there, \
                       and check the disk if it comes back";
const DISK: &str = "check the disk, or set source.spill_dir to another directory";
const LENGTH: &str = "this is not a message of Postgres; report it";
const POISONED: &str = "end the session and clear the spool: the server sends everything again";

impl SpoolError {
    /// What to do about it, as an imperative sentence without a full stop.
    pub fn remedy(&self) -> &'static str {
        match self {
            SpoolError::InUse { .. } => BUSY,
            SpoolError::Exposed { exposure: Exposure::Owner { .. }, .. } => OWNER,
            SpoolError::Exposed { exposure: Exposure::Mode { .. }, .. } => MODE,
            SpoolError::Damaged { .. } => DAMAGED,
            SpoolError::TooLong { .. } => LENGTH,
            SpoolError::Poisoned { .. } => POISONED,
            SpoolError::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull
                | io::ErrorKind::QuotaExceeded
                | io::ErrorKind::FileTooLarge => ROOM,
                io::ErrorKind::PermissionDenied => PERMISSION,
                io::ErrorKind::ReadOnlyFilesystem => READ_ONLY,
                io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::AlreadyExists => MISSING,
                io::ErrorKind::OutOfMemory => MEMORY,
                _ => DISK,
            },
        }
    }

    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        SpoolError::Io { doing, path: path.to_owned(), source }
    }

    pub(crate) fn damaged(path: &Path, offset: u64, damage: Damage) -> Self {
        SpoolError::Damaged { path: path.to_owned(), offset, damage }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_system_error_has_its_remedy() {
        for (kind, remedy) in [
            (io::ErrorKind::StorageFull, ROOM),
            (io::ErrorKind::QuotaExceeded, ROOM),
            (io::ErrorKind::PermissionDenied, PERMISSION),
            (io::ErrorKind::ReadOnlyFilesystem, READ_ONLY),
            (io::ErrorKind::NotFound, MISSING),
            (io::ErrorKind::NotADirectory, MISSING),
            (io::ErrorKind::OutOfMemory, MEMORY),
            (io::ErrorKind::Other, DISK),
        ] {
            let error = SpoolError::io("append to", Path::new("/s/x"), kind.into());
            assert_eq!(error.remedy(), remedy, "{kind}");
            assert!(error.to_string().starts_with("cannot append to /s/x: "), "{error}");
        }
    }
}
