//! What a vault holds, and how it changes. No disk, no key, no clock.

use serde::{Deserialize, Serialize};
use sluice_model::ids::SecretName;
use sluice_model::secret::Secret;
use std::collections::BTreeMap;

/// Earlier versions of one secret. More would be a history, which nobody needs and somebody could steal.
const EARLIER_MAX: usize = 3;

/// The whole of it.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    /// Grows with each write, so that a reader sees when an older vault was put back under it.
    pub generation: u64,
    pub secrets: BTreeMap<SecretName, Entry>,
}

/// One secret.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// The last is the one in use; the ones before may be taken back.
    pub versions: Vec<Version>,
    /// Known to the hour.
    pub last_used_ms: Option<u64>,
}

/// One value it had or has.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Version {
    /// From 1.
    pub number: u64,
    #[serde(with = "exposed")]
    pub value: Secret,
    pub created_ms: u64,
    pub expires_ms: Option<u64>,
    /// Of an earlier one: until when it may be taken back.
    pub kept_until_ms: Option<u64>,
}

impl Document {
    /// No less than its text takes.
    pub fn bytes_at_most(&self) -> usize {
        let versions = self.secrets.values().flat_map(|entry| &entry.versions);
        let values = versions.map(|version| version.value.expose().len() * 2 + 512);
        values.sum::<usize>() + self.secrets.len() * 512 + 512
    }
}

impl Entry {
    pub fn new(value: Secret, created_ms: u64, expires_ms: Option<u64>) -> Self {
        Self {
            versions: vec![Version {
                number: 1,
                value,
                created_ms,
                expires_ms,
                kept_until_ms: None,
            }],
            last_used_ms: None,
        }
    }

    pub fn current(&self) -> &Version {
        self.versions
            .last()
            .expect("a secret is made with a version, and the last is never removed")
    }

    /// Puts a new value in use. It expires when it is told to, else after as long as the one before.
    pub fn rotate(&mut self, value: Secret, now_ms: u64, expires_ms: Option<u64>, keep_ms: u64) {
        let before = self.current();
        let span = before
            .expires_ms
            .map(|expires_ms| expires_ms.saturating_sub(before.created_ms));
        let next = Version {
            number: before.number + 1,
            value,
            created_ms: now_ms,
            expires_ms: expires_ms.or(span.map(|span| now_ms.saturating_add(span))),
            kept_until_ms: None,
        };
        if let Some(before) = self.versions.last_mut() {
            before.kept_until_ms = Some(now_ms.saturating_add(keep_ms));
        }
        self.versions.push(next);
        self.prune(now_ms);
    }

    /// Puts a new value in the place of the one in use: what a server has made of it. Its dates stay those of the value
    /// that somebody set.
    pub fn renew(&mut self, value: Secret) {
        if let Some(current) = self.versions.last_mut() {
            current.number += 1;
            current.value = value;
        }
    }

    /// Puts the value before the one in use back in use, as a new version. No, where none is kept.
    pub fn take_back(&mut self, now_ms: u64) -> bool {
        self.prune(now_ms);
        let [.., before, current] = &self.versions[..] else {
            return false;
        };
        let back = Version {
            number: current.number + 1,
            kept_until_ms: None,
            ..before.clone()
        };
        self.versions = vec![back];
        true
    }

    /// Forgets earlier versions whose time is over, and those that are too many.
    pub fn prune(&mut self, now_ms: u64) {
        let number = self.current().number;
        self.versions.retain(|version| {
            version.number == number || version.kept_until_ms.is_some_and(|until| until > now_ms)
        });
        let excess = self.versions.len().saturating_sub(EARLIER_MAX + 1);
        self.versions.drain(..excess);
    }
}

/// The one place that writes a secret's value as text, into a buffer that is sealed and wiped.
mod exposed {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD as BASE64;
    use serde::{Deserialize as _, Deserializer, Serializer};
    use sluice_model::secret::Secret;
    use std::borrow::Cow;
    use zeroize::Zeroizing;

    pub fn serialize<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(BASE64.encode(secret.expose()));
        serializer.serialize_str(&text)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        let value = BASE64.decode(text.as_bytes());
        // The error would quote a byte of it.
        value
            .map(Secret::new)
            .map_err(|_| serde::de::Error::custom("a secret is not kept as base64"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    fn value(entry: &Entry) -> &[u8] {
        entry.current().value.expose()
    }

    #[test]
    fn a_rotation_is_in_use_at_once_and_can_be_taken_back() {
        let mut entry = Entry::new(secret("one"), 1_000, Some(2_000));
        entry.rotate(secret("two"), 1_500, None, 100);
        assert_eq!((value(&entry), entry.current().number), (&b"two"[..], 2));
        assert_eq!(entry.current().expires_ms, Some(2_500), "as long as before");
        assert!(entry.take_back(1_599));
        assert_eq!((value(&entry), entry.current().number), (&b"one"[..], 3));
        assert!(!entry.take_back(1_599), "what was wrong is not kept");
    }

    #[test]
    fn what_a_server_rotates_expires_when_it_did() {
        let mut entry = Entry::new(secret("one"), 1_000, Some(2_000));
        entry.rotate(secret("two"), 1_100, Some(2_000), 500);
        entry.renew(secret("three"));
        let current = entry.current();
        assert_eq!((value(&entry), current.number), (&b"three"[..], 3));
        assert_eq!(current.expires_ms, Some(2_000));
        entry.rotate(secret("four"), 1_500, None, 0);
        assert_eq!(
            entry.current().expires_ms,
            Some(2_400),
            "as long as was set"
        );
    }

    #[test]
    fn earlier_versions_are_forgotten() {
        let mut entry = Entry::new(secret("one"), 0, None);
        entry.rotate(secret("two"), 10, Some(90), 5);
        assert_eq!(entry.current().expires_ms, Some(90));
        entry.prune(14);
        assert_eq!(entry.versions.len(), 2);
        assert!(!entry.clone().take_back(15), "its time is over");
        for at in 20..40 {
            entry.rotate(secret("more"), at, None, 1_000);
        }
        assert_eq!(entry.versions.len(), EARLIER_MAX + 1);
    }

    #[test]
    fn what_is_written_is_read_back() {
        let mut document = Document::default();
        let name: SecretName = "token".parse().expect("a name");
        let entry = Entry::new(Secret::new(vec![0, 255, 10]), 7, None);
        document.secrets.insert(name.clone(), entry);
        let text = serde_json::to_vec(&document).expect("plain data");
        assert!(text.len() <= document.bytes_at_most());
        let read: Document = serde_json::from_slice(&text).expect("the same");
        assert_eq!(value(&read.secrets[&name]), [0, 255, 10]);
    }
}
