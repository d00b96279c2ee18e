//! An honest source in two splits, where its settings ask for that: a table, and the log of what changes in it, which begins
//! where the settings say and comes after the table. Each record says where its split was opened.

use crate::bindings::exports::sluice::plugin::source::{
    Content, Document, DocumentFormat, Next, Page, Part, Split,
};
use crate::bindings::sluice::plugin::log::{self, Level};
use crate::bindings::sluice::plugin::types::Fault;
use crate::setting;

pub struct Snapshot {
    split: String,
    from: String,
    fails: bool,
}

pub fn splits(config: &str) -> Vec<Split> {
    let split = |id: &str, start: Option<String>, after: &[&str]| Split {
        id: id.to_owned(),
        streams: vec!["things".to_owned()],
        detail: String::new(),
        start: start.map(String::into_bytes),
        after: after.iter().map(|id| (*id).to_owned()).collect(),
    };
    let log = split("log", Some(setting(config, "start")), &["table"]);
    vec![log, split("table", None, &[])]
}

impl Snapshot {
    pub fn of(config: &str, split: Split, cursor: Option<Vec<u8>>) -> Option<Self> {
        (setting(config, "splits") == "snapshot").then(|| Self {
            fails: setting(config, "fails") == split.id,
            split: split.id,
            from: String::from_utf8(cursor.unwrap_or_default()).unwrap_or_default(),
        })
    }

    pub fn page(&self) -> Result<Page, Fault> {
        let Self { split, from, fails } = self;
        if *fails {
            return Err(Fault::Misconfigured(format!("`{split}` is told to fail")));
        }
        let content = Content::Document(Document {
            format: DocumentFormat::Ndjson,
            bytes: format!("{{\"split\": \"{split}\", \"from\": \"{from}\"}}\n").into_bytes(),
            name: split.clone(),
            offset: 0,
        });
        let stream = "things".to_owned();
        Ok(Page {
            parts: vec![Part { stream, content }],
            cursor: b"9".to_vec(),
            next: Next::End,
        })
    }

    pub fn acknowledged(&self) {
        log::write(Level::Info, &format!("{} is told", self.split), &[]);
    }
}
