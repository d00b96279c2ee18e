//! Composes the others: finds a deployment, checks a pipeline, runs it, and answers what people ask of its state.
//! Prints nothing and parses no arguments: that is `cli`.

pub mod audit;
mod auditing;
pub mod build;
pub mod check;
pub mod deployment;
pub mod error;
pub mod grants;
pub mod inspect;
pub mod keeping;
pub mod plan;
pub mod plugins;
pub mod report;
pub mod run;
mod schemas;
mod secrets;
mod settings;
pub mod trial;
pub mod usage;
pub mod watch;

pub use error::Error;
