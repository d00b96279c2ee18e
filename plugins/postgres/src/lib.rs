//! `sluice/postgres`: a source of tables and a sink of tables in one component. Rows cross as CSV, which the server and
//! the host both read and write natively: this plugin never looks into one. Deliberately no TLS, no retries, no
//! checkpoints: those are the host's.

mod base;
mod config;
#[cfg(test)]
mod fake;
mod refusal;
mod session;
mod sink;
mod source;

pub use config::Config;
pub use sink::PostgresSink;
pub use source::PostgresSource;

sluice_sdk::source!(PostgresSource);
sluice_sdk::sink!(PostgresSink);
