//! wal2es keeps Elasticsearch and OpenSearch indices equal to Postgres tables.
//!
//! The binary is thin and lives on this library: [`args`] and [`config`] say what is wanted, [`commands`] do it, and
//! [`failure`] turns whatever goes wrong into an exit code, its cause and its remedy. The rooms behind it are crates of
//! their own; here they are only wired together.

pub mod args;
pub mod commands;
pub mod config;
mod events;
pub mod failure;
mod http;
mod limits;
pub mod log;
mod monitor;
mod planned;
mod position;
mod progress;
mod queue;
mod relations;
mod reread;
mod run;
mod selftest;
mod source;
mod status;
mod verify;
