//! `sluice/rest`: a source of JSON APIs. It asks for pages and hands each answer on as it came: the host decodes it.
//! Deliberately no credentials, no retries, no redirects: those are the host's, or nobody's.

mod address;
mod answer;
mod config;
mod cursor;
mod link;
mod paging;
mod reader;
mod source;

pub use config::Config;
pub use cursor::Cursor;
pub use reader::PageReader;
pub use source::RestSource;

sluice_sdk::source!(RestSource);
