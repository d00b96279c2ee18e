//! Ratios against native code, in one run: records to work on, what a process cost, and rounds that put rivals side
//! by side. Absolute figures are the machine's; only ratios of one run are compared with anything.

mod beside;
mod cost;
mod decision;
mod deployment;
mod job;
mod kernels;
mod load;
mod memory;
mod neighbour;
mod orders;
mod requests;
mod rounds;
mod same;
mod served;
mod start;
mod tables;

pub use beside::beside;
pub use cost::{Cost, measure};
pub use decision::decision;
pub use deployment::Host;
pub use job::job;
pub use kernels::kernels;
pub use load::load;
pub use memory::memory;
pub use orders::{make_orders, write_orders};
pub use requests::requests;
pub use rounds::{Outcome, Subject, interleave, table};
pub use served::served;
pub use start::start;
pub use tables::tables;
