//! Properties that hold for all values, as seen from outside.

mod allocations;
mod encoding;
mod ids;
mod payload;
mod support;
mod values;
