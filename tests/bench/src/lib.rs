//! Ratios against native code, in one run: records to work on, what a process cost, and rounds that put rivals side
//! by side. Absolute figures are the machine's; only ratios of one run are compared with anything.

mod cost;
mod orders;
mod rounds;

pub use cost::{Cost, measure};
pub use orders::write_orders;
pub use rounds::{Outcome, Subject, interleave, table};
