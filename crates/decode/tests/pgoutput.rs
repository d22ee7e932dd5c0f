//! The decoder of `pgoutput`, as seen from outside.

#![allow(clippy::unwrap_used, reason = "what can't be written or read fails the test")]

#[path = "pgoutput/allocations.rs"]
mod allocations;
#[path = "pgoutput/messages.rs"]
mod messages;
#[path = "pgoutput/receiver.rs"]
mod receiver;
#[path = "pgoutput/server.rs"]
mod server;
#[path = "pgoutput/sessions.rs"]
mod sessions;
