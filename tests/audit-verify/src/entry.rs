//! An entry: one line, and the bytes that are hashed of it.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt::Write as _;

pub(crate) struct Entry {
    pub(crate) seq: u64,
    time: u64,
    actor: String,
    pub(crate) action: String,
    pub(crate) fields: BTreeMap<String, String>,
    pub(crate) commit: Option<u64>,
    pub(crate) prev: [u8; 32],
    pub(crate) hash: [u8; 32],
}

impl Entry {
    /// Reads a line; it must stand there exactly as the page has it, so that nothing in it can be read in two ways.
    pub(crate) fn read(line: &[u8]) -> Result<Self, String> {
        let value: Value = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let text = |key: &str| {
            value[key]
                .as_str()
                .map(str::to_owned)
                .ok_or(format!("no `{key}`"))
        };
        let number = |key: &str| value[key].as_u64().ok_or(format!("no `{key}`"));
        let mut fields = BTreeMap::new();
        for (key, value) in value["fields"].as_object().ok_or("no `fields`")? {
            fields.insert(
                key.clone(),
                value.as_str().ok_or("a field is text")?.to_owned(),
            );
        }
        let entry = Self {
            seq: number("seq")?,
            time: number("time")?,
            actor: text("actor")?,
            action: text("action")?,
            fields,
            commit: value["commit"].as_u64(),
            prev: unhex(&text("prev")?).ok_or("`prev` is no hash")?,
            hash: unhex(&text("hash")?).ok_or("`hash` is no hash")?,
        };
        if entry.written().as_bytes() == line {
            Ok(entry)
        } else {
            Err("not written as entries are".to_owned())
        }
    }

    fn written(&self) -> String {
        let quoted = |text: &str| Value::String(text.to_owned()).to_string();
        let fields: Vec<String> = self
            .fields
            .iter()
            .map(|(key, value)| format!("{}:{}", quoted(key), quoted(value)))
            .collect();
        let commit = self
            .commit
            .map_or_else(String::new, |commit| format!("\"commit\":{commit},"));
        format!(
            "{{\"seq\":{},\"time\":{},\"actor\":{},\"action\":{},\"fields\":{{{}}},{commit}\"prev\":\"{}\",\"hash\":\"{}\"}}",
            self.seq,
            self.time,
            quoted(&self.actor),
            quoted(&self.action),
            fields.join(","),
            hex(&self.prev),
            hex(&self.hash)
        )
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        let mut sha = Sha256::new();
        let number = |sha: &mut Sha256, number: u64| sha.update(number.to_be_bytes());
        let text = |sha: &mut Sha256, text: &str| {
            sha.update((text.len() as u64).to_be_bytes());
            sha.update(text.as_bytes());
        };
        sha.update([0]);
        text(&mut sha, "sluice audit entry 1");
        number(&mut sha, self.seq);
        number(&mut sha, self.time);
        text(&mut sha, &self.actor);
        text(&mut sha, &self.action);
        number(&mut sha, self.fields.len() as u64);
        for (key, value) in &self.fields {
            text(&mut sha, key);
            text(&mut sha, value);
        }
        if let Some(commit) = self.commit {
            sha.update([1]);
            number(&mut sha, commit);
        } else {
            sha.update([0]);
        }
        sha.update(self.prev);
        sha.finalize().into()
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}
