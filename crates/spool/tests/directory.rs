//! The directory: made, locked, cleaned, removed.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::sync::atomic::{AtomicU32, Ordering};

use spool::{Exposure, Spool, SpoolError};

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

fn made_with(path: &std::path::Path, mode: u32) {
    let _ = fs::remove_dir(path);
    fs::create_dir(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_untouched() {
    let temp = Temp::new();
    for bits in [0o777, 0o1777, 0o720, 0o702, 0o2770, 0o733] {
        made_with(temp.path(), bits);
        let error = Spool::open(temp.path(), 0).unwrap_err();
        let exposure = Exposure::Mode { mode: bits };
        assert!(
            matches!(&error, SpoolError::Exposed { dir, exposure: it } if dir == temp.path() && *it == exposure)
        );
        assert!(error.remedy().contains("chmod go-w"), "{error}");
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
    made_with(temp.path(), 0o1777);
    let error = Spool::open(temp.path(), 0).unwrap_err().to_string();
    let dir = temp.path().display();
    assert_eq!(error, format!("{dir} may be written to by others than its owner (mode 1777)"));
    for bits in [0o700, 0o755, 0o2750] {
        made_with(temp.path(), bits);
        drop(Spool::open(temp.path(), 0).unwrap());
    }
}

/// Only root can give a directory away; without that right nothing can be made in one of somebody else.
#[test]
fn a_directory_of_another_user_is_refused() {
    let temp = Temp::new();
    made_with(temp.path(), 0o755);
    let us = fs::metadata(temp.path()).unwrap().uid();
    if us != 0 {
        return;
    }
    let lock = temp.path().join("wal2es-spool.lock");
    let stale = temp.path().join("wal2es-17-4.spool");
    fs::write(&stale, b"").unwrap();
    chown(temp.path(), Some(65_534), None).unwrap();
    let refused = || {
        let error = Spool::open(temp.path(), 0).unwrap_err();
        let exposure = Exposure::Owner { owner: 65_534, user: us };
        assert!(
            matches!(&error, SpoolError::Exposed { exposure: it, .. } if *it == exposure),
            "{error}"
        );
        assert!(error.remedy().starts_with("if it is no longer needed"), "{error}");
        assert!(!lock.exists() && stale.exists());
    };
    refused();
    // A lock that its owner has prepared does not make the directory ours.
    fs::write(&lock, b"").unwrap();
    chown(&lock, Some(65_534), None).unwrap();
    refused();
    // One that somebody else left in a directory of ours is made anew.
    fs::write(&lock, b"").unwrap();
    chown(&lock, Some(65_534), None).unwrap();
    chown(temp.path(), Some(us), None).unwrap();
    let spool = Spool::open(temp.path(), 0).unwrap();
    assert_eq!(fs::metadata(&lock).unwrap().uid(), us);
    assert!(!stale.exists());
    drop(spool);
}

#[test]
fn a_lock_is_a_file_of_its_own() {
    let temp = Temp::new();
    made_with(temp.path(), 0o700);
    let (lock, other) = (temp.path().join("wal2es-spool.lock"), temp.path().join("other"));
    symlink(&other, &lock).unwrap();
    for there in [false, true] {
        if there {
            fs::write(&other, b"not ours").unwrap();
        }
        let error = Spool::open(temp.path(), 0).unwrap_err();
        assert!(matches!(&error, SpoolError::Io { path, .. } if *path == lock), "{error}");
        assert_eq!(other.exists(), there);
    }
}

#[test]
fn stale_files_go_and_others_stay() {
    let temp = Temp::new();
    made_with(temp.path(), 0o755);
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

    made_with(temp.path(), 0o755);
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
