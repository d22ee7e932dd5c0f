//! A spool file with damage: two bytes of place, one of kind and one of value for each piece.
//!
//! Whatever is done to the file while a transaction is held, its messages are given as they were or the damage is told,
//! and nothing wrong is given before. (The checksums are of 32 bits and against accidents; who looks for it can make
//! damage that they miss.)

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io};

use spool::{Spool, SpoolError};

use super::Target;

/// See the module.
pub static TARGET: Target = Target { name: "spool_file", rounds: 2_000, run, mutate: crate::bytes };

const TRANSACTION: u32 = 700;
const ABORTED: u32 = 701;

/// What is in memory at most, so that there are a few blocks.
const MEMORY: usize = 48;

fn run(data: &[u8]) -> bool {
    let temp = Temp::new();
    match damage(data, temp.path()) {
        Ok(whole) => whole,
        Err(error) => panic!("the test itself can't work with {}: {error}", temp.path().display()),
    }
}

fn damage(data: &[u8], dir: &Path) -> io::Result<bool> {
    let mut spool = Spool::open(dir, MEMORY).map_err(io::Error::other)?;
    let expected = fill(&mut spool).map_err(io::Error::other)?;
    let file = fs::read_dir(dir)?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "spool"))
        .ok_or(io::ErrorKind::NotFound)?;
    let whole = fs::read(&file)?;
    let mut bytes = whole.clone();
    data.as_chunks::<4>().0.iter().for_each(|piece| change(*piece, &mut bytes));
    fs::write(&file, &bytes)?;

    let mut given = Vec::new();
    let end = read(&mut spool, &mut given);
    assert!(expected.starts_with(&given), "what was never held: {given:?}");
    match &end {
        Ok(()) => {
            assert_eq!(bytes, whole, "damage that was not noticed");
            assert_eq!(given, expected);
        }
        Err(SpoolError::Damaged { path, offset, .. }) => {
            assert_ne!(bytes, whole, "damage where there is none");
            assert_eq!(*path, file);
            assert!(usize::try_from(*offset).is_ok_and(|offset| offset <= whole.len()));
        }
        Err(error) => panic!("damage is not told as such: {error}"),
    }
    Ok(end.is_ok())
}

/// Holds some messages, two of them void, and answers the others.
fn fill(spool: &mut Spool) -> Result<Vec<Vec<u8>>, SpoolError> {
    let mut expected = Vec::new();
    for number in 0..8_u8 {
        let message = vec![number; usize::from(number) * 5];
        let part = if number == 2 || number == 5 { ABORTED } else { TRANSACTION };
        spool.hold(TRANSACTION, part, &message)?;
        if part == TRANSACTION {
            expected.push(message);
        }
    }
    spool.abort(TRANSACTION, ABORTED);
    Ok(expected)
}

fn read(spool: &mut Spool, given: &mut Vec<Vec<u8>>) -> Result<(), SpoolError> {
    let Some(mut released) = spool.release(TRANSACTION)? else { return Ok(()) };
    while let Some(message) = released.next()? {
        given.push(message.to_vec());
    }
    Ok(())
}

fn change([high, low, kind, value]: [u8; 4], bytes: &mut Vec<u8>) {
    let at = usize::from(u16::from_be_bytes([high, low])) % (bytes.len() + 1);
    match (kind % 8, bytes.get_mut(at)) {
        (0, _) => bytes.insert(at, value),
        (1, Some(_)) => drop(bytes.remove(at)),
        (2, _) => bytes.truncate(at),
        (3, Some(_)) => {
            let middle = (at + usize::from(value)).min(bytes.len());
            bytes.get_mut(at..).unwrap_or_default().rotate_left(middle - at);
        }
        (4, Some(byte)) => *byte ^= value,
        (_, Some(byte)) => *byte = value,
        (_, None) => {}
    }
}

/// A path that nothing else uses; removed with all in it at the end.
struct Temp(PathBuf);

impl Temp {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Temp(std::env::temp_dir().join(format!("wal2es-fuzz-{}-{number}", std::process::id())))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Temp {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
