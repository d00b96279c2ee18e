//! `sluice/mysql`: a source of tables and a sink of tables in one component, for MariaDB and MySQL. Deliberately no TLS, no
//! retries, no checkpoints: those are the host's.

mod catalog;
mod config;
#[cfg(test)]
mod fake;
mod login;
mod refusal;
mod session;
mod sink;
mod source;
mod types;
mod wire;

pub use config::Config;
pub use sink::MysqlSink;
pub use source::MysqlSource;

sluice_sdk::source!(MysqlSource);
sluice_sdk::sink!(MysqlSink);
