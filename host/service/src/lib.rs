//! Composes the others: finds a deployment, checks a pipeline, runs it, and answers what people ask of its state.
//! Prints nothing and parses no arguments: that is `cli`.

pub mod access;
pub mod audit;
mod auditing;
pub mod build;
pub mod check;
pub mod deployment;
mod durable;
pub mod error;
pub mod grants;
pub mod inspect;
pub mod keeping;
pub mod key;
mod own;
pub mod plan;
pub mod plugins;
pub mod policy;
pub mod renew;
pub mod report;
pub mod run;
mod schemas;
pub mod secrets;
mod settings;
pub mod signing;
pub mod trial;
mod ungranted;
pub mod usage;
pub mod watch;

pub use error::Error;
