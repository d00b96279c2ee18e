//! A plugin that dials, written against the SDK as a vendor would: a source that reads one table of a PostgreSQL server
//! (TLS by upgrade, SCRAM bound to the channel where the server offers it), and that does with its connections what its
//! settings name. For the tests; not a connector.
#![cfg(target_family = "wasm")]
#![allow(missing_docs, reason = "a test's guest")]

mod postgres;
mod tries;

use serde::Deserialize;
use sluice_sdk::source::{Content, Document, DocumentFormat, Limit, Part, Split, Stream};
use sluice_sdk::{Fault, Page, Reader, Source};

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    host: String,
    port: u16,
    /// Whom the certificate must be for, where that is not the host.
    server_name: Option<String>,
    #[serde(default)]
    user: String,
    #[serde(default)]
    database: String,
    #[serde(default)]
    query: String,
    /// What `check` does; where it is not said, it logs in.
    #[serde(rename = "try", default)]
    attempt: tries::Try,
    /// Which secret it tries to see.
    #[serde(default)]
    secret: String,
}

pub struct Dialer;

impl Source for Dialer {
    type Config = Config;
    type Cursor = bool;
    type Reader = Rows;

    fn check(config: &Config) -> Result<(), Fault> {
        tries::run(config)
    }

    fn streams(_: &Config) -> Result<Vec<Stream>, Fault> {
        Ok(vec![Stream::new("rows")])
    }

    fn open(config: Config, _: Split, done: Option<bool>) -> Result<Rows, Fault> {
        let is_done = done.unwrap_or_default();
        Ok(Rows { config, is_done })
    }
}

pub struct Rows {
    config: Config,
    is_done: bool,
}

impl Reader for Rows {
    type Cursor = bool;

    /// All rows at once: each one JSON text, as the query makes it.
    fn read(&mut self, _: Limit) -> Result<Page<bool>, Fault> {
        let mut page = Page::end(true);
        if !std::mem::replace(&mut self.is_done, true) {
            let mut session = postgres::Session::open(&self.config)?;
            let mut bytes = Vec::new();
            for row in session.rows(&self.config.query)? {
                bytes.extend(row);
                bytes.push(b'\n');
            }
            page.parts.push(Part {
                stream: "rows".to_owned(),
                content: Content::Document(Document {
                    format: DocumentFormat::Ndjson,
                    bytes,
                    name: "rows".to_owned(),
                    offset: 0,
                    changes: None,
                }),
            });
        }
        Ok(page)
    }
}

sluice_sdk::source!(Dialer);
