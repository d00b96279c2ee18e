//! One entry: a line of the trail, and the bytes its hash is taken of.

use crate::action::Act;
use crate::actor::Actor;
use crate::hash::Hash;
use serde::{Deserialize, Serialize};
use sluice_model::guards::Guard;
use std::collections::BTreeMap;

/// What the bytes that are hashed begin with: no other bytes that are ever hashed here do.
const DOMAIN: &str = "sluice audit entry 1";

/// One entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its number, from 1, without a gap.
    pub seq: u64,
    /// When it was written, in milliseconds since 1970, by the host's clock.
    pub time: u64,
    /// Who.
    pub actor: String,
    /// What: one of the words of [`Action`](crate::Action).
    pub action: String,
    /// What there is to say of it, by key.
    pub fields: BTreeMap<String, String>,
    /// The state store's last commit, where it was known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<u64>,
    /// The hash of the entry before it; zeros before the first.
    pub prev: Hash,
    /// Its own.
    pub hash: Hash,
}

impl Entry {
    pub(crate) fn new(seq: u64, time: u64, actor: &Actor, act: &Act, prev: Hash) -> Self {
        let fields = act.fields.iter();
        let mut entry = Self {
            seq,
            time,
            actor: actor.as_str().to_owned(),
            action: act.action.word().to_owned(),
            fields: fields
                .map(|(key, value)| ((*key).to_owned(), value.clone()))
                .collect(),
            commit: act.commit,
            prev,
            hash: Hash::NONE,
        };
        entry.hash = entry.hashed();
        entry
    }

    /// The hash that it must have.
    pub(crate) fn hashed(&self) -> Hash {
        let mut bytes = Vec::with_capacity(512);
        text(&mut bytes, DOMAIN);
        number(&mut bytes, self.seq);
        number(&mut bytes, self.time);
        text(&mut bytes, &self.actor);
        text(&mut bytes, &self.action);
        number(&mut bytes, self.fields.len() as u64);
        for (key, value) in &self.fields {
            text(&mut bytes, key);
            text(&mut bytes, value);
        }
        match self.commit {
            None => bytes.push(0),
            Some(commit) => {
                bytes.push(1);
                number(&mut bytes, commit);
            }
        }
        bytes.extend(self.prev.0);
        Hash::leaf(&bytes)
    }

    /// As it stands in the file, without its line end.
    pub(crate) fn line(&self) -> String {
        serde_json::to_string(self).expect("an entry is plain data, which JSON holds")
    }

    /// Reads a line, which must be written exactly as [`Entry::line`] writes it: nothing in it may be open to two
    /// readings.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, String> {
        let entry: Self =
            serde_json::from_slice(line).map_err(|error| format!("it is no entry: {error}"))?;
        if Guard::EntrySpelling.holds(entry.line().as_bytes() == line) {
            Ok(entry)
        } else {
            Err("it is not written as the host writes it".to_owned())
        }
    }

    pub(crate) fn field(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }
}

fn number(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend(number.to_be_bytes());
}

fn text(bytes: &mut Vec<u8>, text: &str) {
    number(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::Action;

    fn entry() -> Entry {
        let act = Action::SecretSet
            .with("secret", "crm")
            .with("version", 2)
            .at(41);
        Entry::new(7, 1_764_000_000_000, &Actor::host(), &act, Hash::leaf(b"x"))
    }

    /// Worked out with a program of another language from the words of `docs/auditing.md`.
    #[test]
    fn the_hash_is_as_documented() {
        let act = Action::SecretSet
            .with("secret", "crm")
            .with("version", 2)
            .at(41);
        let entry = Entry::new(7, 1_764_000_000_000, &Actor::host(), &act, Hash::NONE);
        assert_eq!(entry.hash.to_string(), DOCUMENTED);
        assert_eq!(
            entry.line(),
            format!(
                "{{\"seq\":7,\"time\":1764000000000,\"actor\":\"host\",\"action\":\"secret.set\",\"fields\":{{\"secret\":\
                 \"crm\",\"version\":\"2\"}},\"commit\":41,\"prev\":\"{}\",\"hash\":\"{DOCUMENTED}\"}}",
                "0".repeat(64)
            )
        );
    }
    const DOCUMENTED: &str = "85cea0cb54a2619f996649c7f9d0c4730789da7b1e98267fbcbeffb4ae438c0c";

    #[test]
    fn every_part_is_under_the_hash() {
        let changes: [fn(&mut Entry); 9] = [
            |entry| entry.seq += 1,
            |entry| entry.time += 1,
            |entry| entry.actor.push('x'),
            |entry| entry.action.push('x'),
            |entry| drop(entry.fields.remove("secret")),
            |entry| drop(entry.fields.insert("x".to_owned(), String::new())),
            |entry| entry.commit = None,
            |entry| entry.commit = Some(42),
            |entry| entry.prev = Hash::NONE,
        ];
        for (at, change) in changes.iter().enumerate() {
            let mut changed = entry();
            change(&mut changed);
            assert_ne!(changed.hashed(), changed.hash, "{at}");
        }
        // Moving a byte from one part into its neighbour is a change too.
        let mut moved = entry();
        moved.actor = "hosts".to_owned();
        moved.action = "ecret.set".to_owned();
        assert_ne!(moved.hashed(), moved.hash);
    }

    #[test]
    fn a_line_has_one_reading() {
        let line = entry().line();
        assert_eq!(Entry::parse(line.as_bytes()), Ok(entry()));
        for (from, to) in [
            ("{\"seq\":7", "{\"seq\": 7"),
            ("{\"seq\":7", "{\"seq\":7,\"seq\":7"),
            ("\"fields\":{", "\"fields\":{\"secret\":\"other\","),
            ("\"crm\"", "\"\\u0063rm\""),
            ("\"commit\":41", "\"commit\":41,\"note\":\"\""),
        ] {
            assert!(line.contains(from), "{from}");
            assert!(
                Entry::parse(line.replace(from, to).as_bytes()).is_err(),
                "{to}"
            );
        }
    }
}
