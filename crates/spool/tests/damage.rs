//! Files that are not as they were written, and disks that refuse.

use std::fs;

use spool::{Damage, Spool, SpoolError};

use crate::support::{Temp, drain, release};

/// A file of three blocks, the second with an aborted part.
fn filled(temp: &Temp) -> (Spool, Vec<Vec<u8>>) {
    let mut spool = Spool::open(temp.path(), 60).unwrap();
    let messages: Vec<Vec<u8>> = (0..9u8).map(|it| vec![it; 11]).collect();
    for message in &messages {
        spool.hold(700, 700, message).unwrap();
    }
    spool.hold(700, 700, &[b'x'; 100]).unwrap();
    let expected = messages.into_iter().chain([vec![b'x'; 100]]).collect();
    (spool, expected)
}

/// What was read before the error; panics if there was none.
fn read_damaged(spool: &mut Spool) -> (Vec<Vec<u8>>, SpoolError) {
    let mut released = match spool.release(700) {
        Ok(released) => released.unwrap(),
        Err(error) => {
            assert!(matches!(spool.release(700), Err(SpoolError::Poisoned { .. })));
            return (Vec::new(), error);
        }
    };
    let (messages, end) = drain(&mut released);
    let again = released.next().unwrap_err();
    assert!(matches!(again, SpoolError::Poisoned { .. }), "{again}");
    (messages, end.unwrap_err())
}

fn assert_names_file(error: &SpoolError, file: &std::path::Path, length: usize) {
    match error {
        SpoolError::Damaged { path, offset, .. } => {
            assert_eq!(path, file);
            assert!(*offset <= length as u64, "{error}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn no_byte_can_be_changed_unnoticed() {
    let temp = Temp::new();
    let (spool, _) = filled(&temp);
    let length = fs::read(temp.only_file()).unwrap().len();
    drop(spool);
    for at in 0..length {
        for flip in [1, 0x80, 0xff] {
            let (mut spool, expected) = filled(&temp);
            let file = temp.only_file();
            let mut bytes = fs::read(&file).unwrap();
            bytes[at] ^= flip;
            fs::write(&file, bytes).unwrap();
            let (messages, error) = read_damaged(&mut spool);
            assert_names_file(&error, &file, length);
            assert!(expected.starts_with(&messages), "byte {at}");
        }
    }
}

#[test]
fn a_file_of_another_length_is_refused() {
    let temp = Temp::new();
    let (spool, _) = filled(&temp);
    let whole = fs::read(temp.only_file()).unwrap();
    drop(spool);
    for length in (0..whole.len()).chain([whole.len() + 1]) {
        let (mut spool, _) = filled(&temp);
        let file = temp.only_file();
        let mut bytes = whole.clone();
        bytes.resize(length, 0);
        fs::write(&file, bytes).unwrap();
        let (messages, error) = read_damaged(&mut spool);
        assert_names_file(&error, &file, whole.len());
        assert!(messages.is_empty());
    }
}

#[test]
fn a_file_cut_while_it_is_read_is_noticed() {
    let temp = Temp::new();
    let (spool, _) = filled(&temp);
    let whole = fs::read(temp.only_file()).unwrap().len();
    drop(spool);
    for length in 0..whole {
        let (mut spool, expected) = filled(&temp);
        let file = temp.only_file();
        let mut released = spool.release(700).unwrap().unwrap();
        let cut = fs::OpenOptions::new().write(true).open(&file).unwrap();
        cut.set_len(length as u64).unwrap();
        let (messages, end) = drain(&mut released);
        let error = end.unwrap_err();
        assert_names_file(&error, &file, whole);
        let damage = Damage::Length { found: length as u64, expected: whole as u64 };
        assert!(
            matches!(&error, SpoolError::Damaged { damage: it, .. } if *it == damage),
            "{error}"
        );
        assert!(expected.starts_with(&messages));
    }
}

#[test]
fn blocks_that_changed_places_are_noticed() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 0).unwrap();
    spool.hold(700, 700, b"one").unwrap();
    spool.hold(700, 700, b"two").unwrap();
    let file = temp.only_file();
    let bytes = fs::read(&file).unwrap();
    let (header, blocks) = bytes.split_at(12);
    let (one, two) = blocks.split_at(blocks.len() / 2);
    fs::write(&file, [header, two, one].concat()).unwrap();
    let (messages, error) = read_damaged(&mut spool);
    assert!(messages.is_empty());
    assert!(matches!(error, SpoolError::Damaged { offset: 12, damage: Damage::BlockHeader, .. }));
}

#[test]
fn the_file_of_another_transaction_is_refused() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 0).unwrap();
    spool.hold(700, 700, b"one").unwrap();
    let file = temp.only_file();
    spool.hold(701, 701, b"two").unwrap();
    let other = temp.files().into_iter().find(|it| *it != file).unwrap();
    fs::copy(other, &file).unwrap();
    let (_, error) = read_damaged(&mut spool);
    assert!(matches!(error, SpoolError::Damaged { offset: 0, damage: Damage::Header, .. }));
}

#[test]
fn a_vanished_file_poisons_until_clear() {
    for append in [false, true] {
        let temp = Temp::new();
        let (mut spool, _) = filled(&temp);
        spool.hold(5, 5, b"of another transaction").unwrap();
        let file = temp.files().into_iter().find(|it| it.to_str().unwrap().contains("-700-"));
        let file = file.unwrap();
        fs::remove_file(&file).unwrap();
        let error = match append {
            true => spool.hold(700, 700, &[b'y'; 100]).unwrap_err(),
            false => spool.release(700).unwrap_err(),
        };
        assert!(error.to_string().ends_with("the file is gone"), "{error}");
        assert_names_file(&error, &file, usize::MAX);

        let cause = error.to_string();
        for error in [spool.hold(5, 5, b"x").unwrap_err(), spool.release(5).unwrap_err()] {
            assert!(error.to_string().ends_with(&cause), "{error}");
        }
        spool.abort(5, 5);
        spool.clear();
        spool.hold(700, 700, b"again").unwrap();
        assert_eq!(release(&mut spool, 700), [b"again"]);
        assert!(spool.release(5).unwrap().is_none());
    }
}

#[test]
fn a_vanished_directory_is_named() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 0).unwrap();
    fs::remove_dir_all(temp.path()).unwrap();
    let error = spool.hold(1, 1, b"x").unwrap_err();
    assert!(error.to_string().contains(temp.path().to_str().unwrap()), "{error}");
    assert!(error.remedy().starts_with("set source.spill_dir to a directory that exists"));
}

#[test]
fn an_older_file_in_the_way_is_not_overwritten() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 0).unwrap();
    fs::write(temp.path().join("wal2es-1-1.spool"), b"in the way").unwrap();
    let error = spool.hold(1, 1, b"x").unwrap_err();
    assert!(matches!(error, SpoolError::Io { doing: "make", .. }), "{error}");
    assert_eq!(fs::read(temp.path().join("wal2es-1-1.spool")).unwrap(), b"in the way");
}
