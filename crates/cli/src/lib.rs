//! wal2es.
