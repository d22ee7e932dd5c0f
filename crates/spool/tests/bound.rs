//! What stays in memory, and what never touches the disk.

use std::fs;

use allocation_counter::measure;
use spool::{Spool, Stats};

use crate::support::{Temp, release};

const MESSAGE: [u8; 235] = [b'm'; 235];

#[test]
fn a_small_transaction_never_touches_the_disk() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 1 << 20).unwrap();
    fs::remove_dir_all(temp.path()).unwrap();
    for _ in 0..1000 {
        spool.hold(1, 1, &MESSAGE).unwrap();
    }
    let memory_bytes = 1000 * (MESSAGE.len() + 8);
    assert_eq!(spool.stats(), Stats { transactions: 1, memory_bytes, file_bytes: 0 });
    assert_eq!(release(&mut spool, 1).len(), 1000);
    assert!(!temp.path().exists());
}

#[test]
fn the_largest_goes_first() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 100 * 243).unwrap();
    for (transaction, count) in [(1, 20), (2, 50), (3, 30)] {
        for _ in 0..count {
            spool.hold(transaction, transaction, &MESSAGE).unwrap();
        }
    }
    assert_eq!(temp.files().len(), 0);
    spool.hold(1, 1, &MESSAGE).unwrap();
    assert!(temp.only_file().to_str().unwrap().contains("wal2es-2-"));
    let file_bytes = fs::metadata(temp.only_file()).unwrap().len();
    assert_eq!(file_bytes, 12 + 12 + 50 * 243);
    assert_eq!(spool.stats(), Stats { transactions: 3, memory_bytes: 51 * 243, file_bytes });
}

#[test]
fn a_large_transaction_fits_in_the_bound() {
    const MEMORY: usize = 4 << 20;
    const COUNT: usize = 100_000;
    let temp = Temp::new();
    let mut released = None;
    let holding = measure(|| {
        let mut spool = Spool::open(temp.path(), MEMORY).unwrap();
        for _ in 0..COUNT {
            spool.hold(1, 1, &MESSAGE).unwrap();
            assert!(spool.stats().memory_bytes <= MEMORY);
        }
        released = spool.release(1).unwrap();
    });
    assert!(holding.bytes_max < MEMORY as u64 + (3 << 20), "{holding:?}");
    assert!(holding.count_total < COUNT as u64 / 100, "{holding:?}");

    let mut released = released.unwrap();
    let mut count = 0;
    let reading = measure(|| {
        while released.next().unwrap().is_some() {
            count += 1;
        }
    });
    assert_eq!(count, COUNT);
    assert!(reading.bytes_max < 3 << 19, "{reading:?}");
    assert!(reading.count_total < 100, "{reading:?}");
}

#[test]
fn a_message_above_the_bound_is_not_copied_and_not_kept() {
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 1 << 20).unwrap();
    let large: Vec<u8> = (0..251u8).cycle().take(50_000_000).collect();
    spool.hold(1, 1, b"before").unwrap();
    let holding = measure(|| spool.hold(1, 1, &large).unwrap());
    assert!(holding.bytes_max < 10_000, "{holding:?}");
    for _ in 0..100_000 {
        spool.hold(1, 1, &MESSAGE).unwrap();
    }
    let mut released = spool.release(1).unwrap().unwrap();
    assert_eq!(released.next().unwrap(), Some(&b"before"[..]));
    let reading = measure(|| assert!(released.next().unwrap() == Some(&large)));
    assert!(reading.bytes_max < large.len() as u64 + 10_000, "{reading:?}");
    let going_on = measure(|| assert_eq!(released.next().unwrap(), Some(&MESSAGE[..])));
    assert!(going_on.bytes_current < -40_000_000, "{going_on:?}");
    assert!((1..100_000).all(|_| released.next().unwrap() == Some(&MESSAGE)));
    assert_eq!(released.next().unwrap(), None);
}

#[test]
fn a_hundred_thousand_rolled_back_parts_cost_little() {
    // The counter of transactions wraps among them.
    const TOP: u32 = u32::MAX - 10;
    let parts = || (1..100_001).map(|age| TOP.wrapping_add(age));
    let temp = Temp::new();
    let mut spool = Spool::open(temp.path(), 1 << 20).unwrap();
    spool.hold(TOP, TOP, b"first").unwrap();
    // One after the other they are cut off, and nothing of them remains.
    let one_by_one = measure(|| {
        for part in parts() {
            spool.hold(TOP, part, &MESSAGE).unwrap();
            spool.abort(TOP, part);
        }
    });
    assert_eq!(spool.stats().memory_bytes, 8 + 5);
    assert!(one_by_one.bytes_max < 10_000, "{one_by_one:?}");
    assert_eq!(release(&mut spool, TOP), [b"first"]);

    // All at the end: a mark for each.
    for part in parts() {
        spool.hold(TOP, part, &MESSAGE).unwrap();
    }
    spool.hold(TOP, TOP, b"last").unwrap();
    let marks = measure(|| parts().for_each(|part| spool.abort(TOP, part)));
    assert!(marks.bytes_max < 10_000_000, "{marks:?}");
    assert_eq!(release(&mut spool, TOP), [b"last"]);
}
