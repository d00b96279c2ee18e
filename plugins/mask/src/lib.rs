//! `sluice/mask`: a transform that hides what a destination has no need to know. It sees only the columns its
//! settings name, and of the redacted ones not even those. Deliberately no encryption: nothing here can be undone by
//! who holds the result.

mod calendar;
mod config;
mod hash;
mod plan;
mod rules;

pub use config::Config;
pub use plan::Mask;

sluice_sdk::transform!(Mask);
