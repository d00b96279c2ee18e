//! The one judge of the crash tests. It knows what was promised from what was said before the crash, what there is from
//! what is said after it and from the files, and shares no code with the host: a mistake made there is not made again
//! here (test: `the_judge_of_crashes_shares_no_code_with_the_host` in `tests/walls`).
//!
//! [`store`] judges the store and its trail, [`delivery`] a pipeline from its source to its sinks, [`words`] what a
//! program said as it ended. [`Tally`] counts what was tried, and refuses a run that tried too little.

pub mod delivery;
pub mod store;
mod tally;
pub mod words;

pub use tally::Tally;
