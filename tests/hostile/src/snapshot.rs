//! An honest source in two splits, where its settings ask for that: a table, and the log of what changes in it, which begins
//! where the settings say and comes after the table, but for `order = "free"`. Each record says where its split was opened.

use crate::bindings::exports::sluice::plugin::source::{
    Content, Document, DocumentFormat, Next, Page, Part, Split,
};
use crate::bindings::sluice::plugin::log::{self, Level};
use crate::bindings::sluice::plugin::types::Fault;
use crate::setting;
use std::cell::Cell;

pub struct Snapshot {
    split: String,
    from: String,
    fails: bool,
    /// It never ends: there may be more at any time.
    tails: bool,
    has_read: Cell<bool>,
}

pub fn splits(config: &str) -> Vec<Split> {
    let split = |id: &str, start: Option<String>, after: &[&str]| Split {
        id: id.to_owned(),
        streams: vec!["things".to_owned()],
        detail: String::new(),
        start: start.map(String::into_bytes),
        after: after.iter().map(|id| (*id).to_owned()).collect(),
    };
    let first: &[&str] = if setting(config, "order") == "free" {
        &[]
    } else {
        &["table"]
    };
    let log = split("log", Some(setting(config, "start")), first);
    vec![log, split("table", None, &[])]
}

impl Snapshot {
    pub fn of(config: &str, split: Split, cursor: Option<Vec<u8>>) -> Option<Self> {
        (setting(config, "splits") == "snapshot").then(|| Self {
            fails: setting(config, "fails") == split.id,
            tails: setting(config, "tails") == split.id,
            has_read: Cell::new(false),
            split: split.id,
            from: String::from_utf8(cursor.unwrap_or_default()).unwrap_or_default(),
        })
    }

    pub fn page(&self) -> Result<Page, Fault> {
        let Self {
            split, from, fails, ..
        } = self;
        if *fails {
            return Err(Fault::Misconfigured(format!("`{split}` is told to fail")));
        }
        let content = Content::Document(Document {
            format: DocumentFormat::Ndjson,
            bytes: format!("{{\"split\": \"{split}\", \"from\": \"{from}\"}}\n").into_bytes(),
            name: split.clone(),
            offset: 0,
            changes: None,
        });
        let stream = "things".to_owned();
        let part = Part { stream, content };
        Ok(Page {
            parts: if self.has_read.replace(true) {
                Vec::new()
            } else {
                vec![part]
            },
            cursor: b"9".to_vec(),
            next: if self.tails {
                Next::Wait(50)
            } else {
                Next::End
            },
            lag: None,
        })
    }

    pub fn acknowledged(&self) {
        log::write(Level::Info, &format!("{} is told", self.split), &[]);
    }
}
