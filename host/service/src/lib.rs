//! Composes the others: finds a deployment, checks a pipeline, runs it, once or as a service, and answers what people
//! ask of its state.
//! Prints nothing and parses no arguments: that is `cli`.

pub mod access;
pub mod audit;
mod auditing;
pub mod build;
pub mod check;
pub mod control;
pub mod deployment;
pub mod dlq;
mod durable;
pub mod error;
pub mod grants;
pub mod holder;
pub mod host;
pub mod inspect;
pub mod keeping;
pub mod key;
pub mod ledger;
mod own;
pub mod plan;
pub mod plugins;
pub mod policy;
mod redact;
pub mod renew;
pub mod report;
pub mod run;
mod schemas;
pub mod secrets;
pub mod serve;
mod settings;
pub mod signing;
pub mod trial;
mod ungranted;
pub mod usage;
pub mod watch;

pub use error::Error;
