//! The decoder of `test_decoding`, as seen from outside.
#![allow(clippy::unwrap_used, reason = "a failing test says where")]

#[path = "test_decoding/allocations.rs"]
mod allocations;
#[path = "test_decoding/deletes.rs"]
mod deletes;
#[path = "test_decoding/lines.rs"]
mod lines;
#[path = "test_decoding/order.rs"]
mod order;
#[path = "test_decoding/properties.rs"]
mod properties;
#[path = "test_decoding/support.rs"]
mod support;
