//! A spool in real directories.
#![allow(clippy::unwrap_used, reason = "a failing test says where")]

mod bound;
mod damage;
mod directory;
mod model;
mod support;
