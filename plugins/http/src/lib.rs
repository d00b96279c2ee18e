//! `sluice/http`: a sink for JSON APIs. The host encodes the records; this plugin puts them into requests and reads the
//! answers. Deliberately no credentials, no retries, no redirects: those are the host's, or nobody's.

mod answer;
mod config;
mod path;
mod progress;
mod request;
mod sink;

pub use config::Config;
pub use sink::HttpSink;

sluice_sdk::sink!(HttpSink);
