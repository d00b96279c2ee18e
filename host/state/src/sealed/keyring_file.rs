//! How a keyring lies on disk: in a small file of its own, not in the store. The store is a log, which keeps what was
//! removed from it until it happens to be written over; a key that is destroyed must be gone.
//!
//! A line that says what it is, a line with the mark of the deployment's key, then JSON. The mark covers all of the
//! JSON, so that no count of seals and no state can be changed. An older copy of the whole file opens: it lacks newer
//! keys, and what they sealed is then told to be unreadable.

use super::OpenError;
use super::keyring::{Class, For};
use super::seal::StoreId;
use crate::durable;
use crate::journal::Owner;
use crate::keys::{Kek, KeyError, KeyId, aad};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use sluice_model::guards::Guard;
use sluice_model::ports::StoreError;
use std::io;
use std::path::Path;

const HEADING: &str = "sluice keys 1";

/// What a key is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It seals and opens.
    Active,
    /// It opens; what it sealed is being sealed anew.
    DecryptOnly,
}

/// A key as it is kept, wrapped.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub id: KeyId,
    pub class: Class,
    #[serde(with = "hexed", default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Owner>,
    pub created_ms: u64,
    /// Made, or set aside to be made.
    pub seals: u64,
    pub status: Status,
    #[serde(with = "base64ed")]
    pub wrapped: Vec<u8>,
}

impl Record {
    pub fn of(&self) -> For {
        (self.class, self.owner)
    }

    /// What a wrapped key is bound to.
    pub fn context(&self, store: &StoreId) -> Vec<u8> {
        let owner = self.owner.as_ref().map_or(&[][..], |owner| owner);
        aad(&[
            b"sluice dek 1",
            store,
            &self.id.0,
            &[self.class as u8],
            owner,
            &self.created_ms.to_be_bytes(),
        ])
    }
}

/// A key that was destroyed so that what it sealed cannot be read.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shredded {
    pub id: KeyId,
    #[serde(with = "hexed_one")]
    pub owner: Owner,
    pub at_ms: u64,
    /// Whether its rows are gone too.
    pub is_swept: bool,
}

/// All that is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kept {
    #[serde(with = "hexed_one")]
    pub store: StoreId,
    /// The key of the deployment that wraps these.
    pub kek: KeyId,
    pub keys: Vec<Record>,
    pub shredded: Vec<Shredded>,
    /// Whether the store was opened as a sealed one. From then on one that is not sealed is not it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_sealed: bool,
}

impl Kept {
    pub fn new(store: StoreId, kek: KeyId) -> Self {
        Self {
            store,
            kek,
            keys: Vec::new(),
            shredded: Vec::new(),
            is_sealed: false,
        }
    }
}

pub(super) fn write(path: &Path, kek: &Kek, kept: &Kept) -> io::Result<()> {
    let body = serde_json::to_vec(kept).map_err(io::Error::other)?;
    let mark = BASE64.encode(kek.mark(&body));
    let head = format!("{HEADING}\n{mark}\n");
    durable::replace(path, &[head.as_bytes(), &body].concat())
}

/// The keyring, and which of these keys wraps it.
pub(super) fn read(path: &Path, keks: &[Kek], place: &str) -> Result<(Kek, Kept), OpenError> {
    let told = |reason: &str| {
        StoreError::Unopenable(format!(
            "`{}`: {reason}; restore it from a backup of this directory",
            path.display()
        ))
    };
    let bytes = std::fs::read(path).map_err(|error| told(&error.to_string().to_lowercase()))?;
    let text = std::str::from_utf8(&bytes).map_err(|_| told("it is not a keyring"))?;
    let mut parts = text.splitn(3, '\n');
    if parts.next() != Some(HEADING) {
        return Err(told("it is not a keyring that this version of sluice knows").into());
    }
    let (Some(mark), Some(body)) = (parts.next(), parts.next()) else {
        return Err(told("it is cut short").into());
    };
    let kept: Kept =
        serde_json::from_str(body).map_err(|_| told("it was changed, or is cut short"))?;
    let kek = keks.iter().find(|kek| kek.id() == kept.kek);
    let kek = kek.ok_or_else(|| KeyError::wrong(place, "the state", kept.kek, keks))?;
    let mark = BASE64.decode(mark).unwrap_or_default();
    if Guard::KeyringMark.bars(!kek.has_marked(body.as_bytes(), &mark)) {
        return Err(told("it was changed").into());
    }
    Ok((kek.clone(), kept))
}

mod base64ed {
    use super::BASE64;
    use base64::Engine as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(bytes))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64.decode(text).map_err(serde::de::Error::custom)
    }
}

/// Sixteen bytes as one number in hexadecimal.
mod hexed_one {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(bytes: &[u8; 16], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{:032x}", u128::from_be_bytes(*bytes)))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<[u8; 16], D::Error> {
        let text = String::deserialize(deserializer)?;
        let number = u128::from_str_radix(&text, 16).map_err(serde::de::Error::custom)?;
        Ok(number.to_be_bytes())
    }
}

mod hexed {
    use serde::{Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "it is how serde calls")]
    pub fn serialize<S: Serializer>(
        bytes: &Option<[u8; 16]>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match bytes {
            Some(bytes) => super::hexed_one::serialize(bytes, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<[u8; 16]>, D::Error> {
        super::hexed_one::deserialize(deserializer).map(Some)
    }
}
