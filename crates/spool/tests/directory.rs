//! The directory: made, locked, cleaned, removed.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use spool::{Spool, SpoolError};

use crate::support::{Temp, drain, release};

fn mode(path: &std::path::Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn it_is_private() {
    let temp = Temp::new();
    let dir = temp.path().join("made/with/parents");
    let mut spool = Spool::open(&dir, 0).unwrap();
    spool.hold(700, 700, b"x").unwrap();
    assert_eq!(mode(&dir), 0o700);
    let mut files = 0;
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        files += usize::from(path.to_str().unwrap().contains("wal2es-700-"));
    }
    assert_eq!(files, 1);
}

#[test]
fn a_second_spool_is_refused() {
    let temp = Temp::new();
    let mut first = Spool::open(temp.path(), 0).unwrap();
    first.hold(1, 1, b"x").unwrap();
    let error = Spool::open(temp.path(), 0).unwrap_err();
    assert!(matches!(&error, SpoolError::InUse { dir } if dir == temp.path()), "{error}");
    assert_eq!(error.to_string(), format!("another wal2es uses {}", temp.path().display()));
    assert!(error.remedy().starts_with("stop the other process"));
    assert_eq!(release(&mut first, 1), [b"x"]);
}

#[test]
fn stale_files_go_and_others_stay() {
    let temp = Temp::new();
    fs::create_dir(temp.path()).unwrap();
    let stale = temp.path().join("wal2es-17-4.spool");
    let others = ["notes.txt", "wal2es-17.spool", "wal2es-17-4.spool.old", "17-4.spool"];
    fs::write(&stale, b"left behind").unwrap();
    fs::write(temp.path().join("wal2es-spool.lock"), b"").unwrap();
    for name in others {
        fs::write(temp.path().join(name), b"not ours").unwrap();
    }
    fs::create_dir(temp.path().join("wal2es-1-1.spool")).unwrap();

    drop(Spool::open(temp.path(), 0).unwrap());
    assert!(!stale.exists());
    assert!(!temp.path().join("wal2es-spool.lock").exists());
    for name in others {
        assert!(temp.path().join(name).exists(), "{name}");
    }
    assert!(temp.path().join("wal2es-1-1.spool").is_dir());
}

#[test]
fn what_was_made_is_removed_and_what_was_there_stays() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 0).unwrap();
    spool.hold(1, 1, b"x").unwrap();
    spool.hold(2, 2, b"x").unwrap();
    drop(spool);
    assert!(!temp.path().exists());

    fs::create_dir(temp.path()).unwrap();
    drop(Spool::open(temp.path(), 0).unwrap());
    assert!(temp.path().is_dir());
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);

    fs::remove_dir(temp.path()).unwrap();
    let spool = Spool::open(temp.path(), 0).unwrap();
    fs::write(temp.path().join("notes.txt"), b"not ours").unwrap();
    drop(spool);
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn a_reader_outlives_its_spool() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 0).unwrap();
    spool.hold(1, 1, b"one").unwrap();
    spool.hold(1, 1, b"two").unwrap();
    let mut released = spool.release(1).unwrap().unwrap();
    spool.clear();
    spool.hold(1, 1, b"the same number in the next session").unwrap();
    assert_eq!(temp.files().len(), 2);
    drop(spool);
    assert!(matches!(Spool::open(temp.path(), 0), Err(SpoolError::InUse { .. })));
    let (messages, end) = drain(&mut released);
    end.unwrap();
    assert_eq!(messages, [b"one", b"two"]);
    drop(released);
    assert!(!temp.path().exists());
}

#[test]
fn a_file_goes_with_its_transaction() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 0).unwrap();
    for transaction in [1, 2, 3] {
        spool.hold(transaction, transaction, b"message").unwrap();
    }
    assert_eq!(temp.files().len(), 3);
    spool.abort(1, 1);
    assert_eq!(temp.files().len(), 2);
    let mut released = spool.release(2).unwrap().unwrap();
    assert!(released.next().unwrap().is_some());
    drop(released);
    assert_eq!(temp.files().len(), 1);
    spool.clear();
    assert_eq!(temp.files().len(), 0);
}

#[test]
fn a_path_below_a_file_is_named_with_its_remedy() {
    let temp = Temp::new();
    fs::create_dir(temp.path()).unwrap();
    let file = temp.path().join("file");
    fs::write(&file, b"").unwrap();
    for dir in [file.clone(), file.join("below"), file.join("far/below")] {
        let error = Spool::open(&dir, 0).unwrap_err();
        assert!(matches!(&error, SpoolError::Io { path, .. } if path.starts_with(&dir)), "{error}");
        assert!(error.remedy().starts_with("set source.spill_dir"), "{error}: {}", error.remedy());
    }
}

#[test]
fn many_at_once_agree_on_one_owner() {
    let temp = Temp::new();
    let dir = temp.path();
    let inside = AtomicU32::new(0);
    let opened: u32 = std::thread::scope(|scope| {
        let one = || {
            let mut opened = 0;
            for _ in 0..100 {
                match Spool::open(dir, 0) {
                    Ok(mut spool) => {
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                        spool.hold(1, 1, b"x").unwrap();
                        assert_eq!(release(&mut spool, 1), [b"x"]);
                        inside.fetch_sub(1, Ordering::SeqCst);
                        drop(spool);
                        opened += 1;
                    }
                    Err(SpoolError::InUse { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            opened
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(one)).collect();
        threads.into_iter().map(|it| it.join().unwrap()).sum()
    });
    assert!(opened > 0);
    // One that did not make the directory leaves it.
    assert!(fs::read_dir(dir).is_err() || fs::read_dir(dir).unwrap().next().is_none());
}
