//! The file of one transaction: a header, then blocks of whole records, each with checksums.
//!
//! ```text
//! file   magic "w2spool\x01" | transaction u32 | block …
//! block  length u32 | CRC32 of the records u32 | CRC32 of the header u32 | records
//! ```
//! Integers are little-endian. The checksum of a block's header covers also the transaction and the block's offset: its length can
//! be trusted before memory is reserved for it, and a block that has strayed from another place is noticed. It is the
//! [CRC32 of IEEE](https://docs.rs/crc32fast), against accidents, not against forgers.
//!
//! A file is opened for every append and closed after it: there may be more transactions than descriptors. That also
//! notices at once when somebody has removed or cut it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::directory::Directory;
use crate::error::{Damage, SpoolError};
use crate::memory::BLOCK;

const MAGIC: [u8; 8] = *b"w2spool\x01";
const BLOCK_HEADER: usize = 12;

/// A file that is removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SpoolFile {
    path: PathBuf,
    transaction: u32,
    length: u64,
    _directory: Arc<Directory>,
}

impl SpoolFile {
    /// Makes a new file with nothing but its header.
    pub(crate) fn create(
        directory: &Arc<Directory>,
        transaction: u32,
        serial: u64,
    ) -> Result<Self, SpoolError> {
        let path = directory.file(transaction, serial);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(|error| SpoolError::io("make", &path, error))?;
        let mut this = SpoolFile { path, transaction, length: 0, _directory: directory.clone() };
        let mut appender = Appender { file, of: &mut this };
        appender.write(&MAGIC)?;
        appender.write(&transaction.to_le_bytes())?;
        Ok(this)
    }

    /// Bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// Opens it to add blocks.
    pub(crate) fn append(&mut self) -> Result<Appender<'_>, SpoolError> {
        let file = self.open(OpenOptions::new().append(true), self.length)?;
        Ok(Appender { file, of: self })
    }

    /// Opens it, if it is as long as we left it.
    fn open(&self, options: &OpenOptions, needed: u64) -> Result<File, SpoolError> {
        let file = options.open(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => SpoolError::damaged(&self.path, needed, Damage::Gone),
            _ => SpoolError::io("open", &self.path, error),
        })?;
        let found =
            file.metadata().map_err(|error| SpoolError::io("look at", &self.path, error))?.len();
        if found == self.length {
            return Ok(file);
        }
        let damage = Damage::Length { found, expected: self.length };
        Err(SpoolError::damaged(&self.path, found.min(self.length), damage))
    }

    /// CRC32 of a block's header: what it says, and where it stands.
    fn header_sum(&self, offset: u64, length: [u8; 4], sum: [u8; 4]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&self.transaction.to_le_bytes());
        crc.update(&offset.to_le_bytes());
        crc.update(&length);
        crc.update(&sum);
        crc.finalize()
    }
}

impl Drop for SpoolFile {
    /// What can't be removed now is removed when the directory is opened the next time.
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// An open file at its end. After an error the file must not be used any more.
pub(crate) struct Appender<'a> {
    file: File,
    of: &'a mut SpoolFile,
}

impl Appender<'_> {
    /// Adds one block, which is `head` and `body` together.
    pub(crate) fn block(&mut self, head: &[u8], body: &[u8]) -> Result<(), SpoolError> {
        let Ok(length) = u32::try_from(head.len() + body.len()) else {
            let length = head.len() + body.len();
            return Err(SpoolError::TooLong { transaction: self.of.transaction, length });
        };
        let mut crc = crc32fast::Hasher::new();
        crc.update(head);
        crc.update(body);
        let (length, sum) = (length.to_le_bytes(), crc.finalize().to_le_bytes());
        let header_sum = self.of.header_sum(self.of.length, length, sum).to_le_bytes();
        let header = [&length[..], &sum, &header_sum, head].concat();
        self.write(&header)?;
        self.write(body)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), SpoolError> {
        let write = self.file.write_all(bytes);
        write.map_err(|error| SpoolError::io("write to", &self.of.path, error))?;
        self.of.length += bytes.len() as u64;
        Ok(())
    }
}

/// Reads a file from its beginning, block by block, and owns it.
#[derive(Debug)]
pub(crate) struct Reader {
    input: File,
    offset: u64,
    file: SpoolFile,
}

impl Reader {
    /// Opens the file and checks its header and its length.
    pub(crate) fn open(file: SpoolFile) -> Result<Self, SpoolError> {
        let input = file.open(OpenOptions::new().read(true), 0)?;
        let mut reader = Reader { input, offset: 0, file };
        let mut header = [0; MAGIC.len() + 4];
        reader.fill(&mut header)?;
        if header.strip_prefix(&MAGIC) != Some(&reader.file.transaction.to_le_bytes()) {
            return Err(reader.damaged(Damage::Header));
        }
        reader.offset = header.len() as u64;
        Ok(reader)
    }

    /// Where the file is.
    pub(crate) fn path(&self) -> &Path {
        &self.file.path
    }

    /// Where the next block begins, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Puts the records of the next block into `block` in place of what is there; false at the end.
    pub(crate) fn next(&mut self, block: &mut Vec<u8>) -> Result<bool, SpoolError> {
        block.clear();
        if self.offset == self.file.length {
            return Ok(false);
        }
        let (length, sum) = self.block_header()?;
        self.reserve(block, length)?;
        let limit = u64::try_from(length).unwrap_or(u64::MAX);
        let read = (&self.input).take(limit).read_to_end(block);
        let read = read.map_err(|error| SpoolError::io("read", &self.file.path, error))?;
        if read != length {
            return Err(self.short(BLOCK_HEADER + read));
        }
        if crc32fast::hash(block) != sum {
            return Err(self.damaged(Damage::Block));
        }
        self.offset += (BLOCK_HEADER + length) as u64;
        Ok(true)
    }

    /// The length of the records and their checksum.
    fn block_header(&mut self) -> Result<(usize, u32), SpoolError> {
        let mut header = [0; BLOCK_HEADER];
        self.fill(&mut header)?;
        let ([length, sum, header_sum], _) = header.as_chunks::<4>() else {
            return Err(self.damaged(Damage::BlockHeader));
        };
        let right = self.file.header_sum(self.offset, *length, *sum);
        let end = self.offset + BLOCK_HEADER as u64 + u64::from(u32::from_le_bytes(*length));
        if u32::from_le_bytes(*header_sum) != right || end > self.file.length {
            return Err(self.damaged(Damage::BlockHeader));
        }
        let length = usize::try_from(u32::from_le_bytes(*length))
            .map_err(|_| self.damaged(Damage::BlockHeader))?;
        Ok((length, u32::from_le_bytes(*sum)))
    }

    /// Room for `length` bytes, and not for much more once a large record is behind us.
    fn reserve(&self, block: &mut Vec<u8>, length: usize) -> Result<(), SpoolError> {
        if block.capacity() > BLOCK.max(length) {
            *block = Vec::new();
        }
        block.try_reserve_exact(length).map_err(|_| {
            SpoolError::io("read a block of", &self.file.path, io::ErrorKind::OutOfMemory.into())
        })
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SpoolError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.short(0),
            _ => SpoolError::io("read", &self.file.path, error),
        })
    }

    /// The file ended `after` bytes behind the current offset, or earlier.
    fn short(&self, after: usize) -> SpoolError {
        let found = match self.input.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) => return SpoolError::io("look at", &self.file.path, error),
        };
        let damage = Damage::Length { found, expected: self.file.length };
        SpoolError::damaged(&self.file.path, self.offset + after as u64, damage)
    }

    fn damaged(&self, damage: Damage) -> SpoolError {
        SpoolError::damaged(&self.file.path, self.offset, damage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_its_remedy() {
        let dir = std::env::temp_dir().join(format!("wal2es-spool-full-{}", std::process::id()));
        let directory = Arc::new(Directory::open(&dir).unwrap());
        let mut of = SpoolFile::create(&directory, 7, 1).unwrap();
        let before = of.len();
        let file = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let error = Appender { file, of: &mut of }.block(&[], b"records").unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot write to {}", dir.display())));
        assert!(error.remedy().starts_with("free space there, or set source.spill_dir"));
        assert_eq!(of.len(), before);
    }
}
