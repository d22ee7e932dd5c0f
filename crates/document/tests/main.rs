//! Properties that hold for all values, as seen from outside.

mod allocations;
mod ids;
mod support;
mod values;
