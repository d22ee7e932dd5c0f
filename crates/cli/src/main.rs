//! The wal2es command.
fn main() {}
