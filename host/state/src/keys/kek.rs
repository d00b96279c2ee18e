//! The key that wraps keys. What is asked of it by two purposes is done with two keys derived from it.
//!
//! Invariant: neither the key nor what it unwraps has a `Debug`, a `Display` or a `Serialize`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::{hkdf, hmac};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Bytes of a key.
pub(crate) const KEY_BYTES: usize = 32;
/// What a key's text begins with, so that no other file is ever taken for one.
const PREFIX: &str = "sluice-key-1:";

/// A key as bytes, wiped when dropped.
pub(crate) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// The system gives no random numbers: nothing can be sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system gives no random numbers")]
pub(crate) struct NoRandom;

/// Random bytes of the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], NoRandom> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandom)?;
    Ok(bytes)
}

/// Parts, each with its length before it, so that no two lists of parts are the same bytes.
pub(crate) fn aad(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        bytes.extend((part.len() as u32).to_be_bytes());
        bytes.extend(*part);
    }
    bytes
}

/// Which key. Says nothing of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl FromStr for KeyId {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let number = Some(text).filter(|text| text.len() == 16);
        let number = number.and_then(|text| u64::from_str_radix(text, 16).ok());
        number
            .map(|number| Self(number.to_be_bytes()))
            .ok_or_else(|| format!("`{text}` is not a key's id"))
    }
}

impl TryFrom<String> for KeyId {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.to_string()
    }
}

/// The key of a deployment, ready to wrap and unwrap.
#[derive(Clone)]
pub struct Kek {
    id: KeyId,
    wrapping: LessSafeKey,
    marking: hmac::Key,
}

impl Kek {
    pub(crate) fn new(bytes: &KeyBytes) -> Self {
        let derive = |purpose: &[u8]| -> KeyBytes {
            let mut derived = Zeroizing::new([0; KEY_BYTES]);
            hkdf::Prk::new_less_safe(hkdf::HKDF_SHA256, &**bytes)
                .expand(&[purpose], hkdf::HKDF_SHA256)
                .and_then(|material| material.fill(&mut *derived))
                .expect("a purpose and 32 bytes are within HKDF's bounds");
            derived
        };
        let named = derive(b"sluice key id 1");
        Self {
            id: KeyId(*named.first_chunk().expect("32 bytes")),
            wrapping: aead_key(&derive(b"sluice wrapping 1")),
            marking: hmac::Key::new(hmac::HMAC_SHA256, &*derive(b"sluice marking 1")),
        }
    }

    /// Reads a key as `text` writes it.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let text = text.trim_ascii_end();
        let encoded = text
            .strip_prefix(PREFIX.as_bytes())
            .ok_or("it is not a key of sluice")?;
        let decoded = BASE64.decode(encoded).map(Zeroizing::new);
        let decoded = decoded.map_err(|_| "it is cut short, or is not a whole key")?;
        let bytes = <[u8; KEY_BYTES]>::try_from(decoded.as_slice());
        let bytes = bytes.map_err(|_| "it is cut short, or is not a whole key")?;
        Ok(Self::new(&Zeroizing::new(bytes)))
    }

    /// Which key this is: derived from it, so that the wrong one is known before it is used.
    pub fn id(&self) -> KeyId {
        self.id
    }

    pub(crate) fn wrap(&self, context: &[u8], key: &KeyBytes) -> Result<Vec<u8>, NoRandom> {
        let nonce = random::<NONCE_LEN>()?;
        let mut wrapped = key.to_vec();
        let sealed = self.wrapping.seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(context),
            &mut wrapped,
        );
        sealed.expect("32 bytes are within the cipher's bounds");
        Ok([&nonce, wrapped.as_slice()].concat())
    }

    /// None where this is not what this key wrapped in this context.
    pub(crate) fn unwrap(&self, context: &[u8], wrapped: &[u8]) -> Option<KeyBytes> {
        let (nonce, wrapped) = wrapped.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = Zeroizing::new(wrapped.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self
            .wrapping
            .open_in_place(nonce, Aad::from(context), &mut bytes);
        let key = <[u8; KEY_BYTES]>::try_from(&*opened.ok()?).ok()?;
        Some(Zeroizing::new(key))
    }

    /// A mark that only this key can make on these bytes.
    pub(crate) fn mark(&self, bytes: &[u8]) -> Vec<u8> {
        hmac::sign(&self.marking, bytes).as_ref().to_vec()
    }

    pub(crate) fn has_marked(&self, bytes: &[u8], mark: &[u8]) -> bool {
        hmac::verify(&self.marking, bytes, mark).is_ok()
    }
}

pub(crate) fn aead_key(bytes: &KeyBytes) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, &**bytes);
    LessSafeKey::new(key.expect("AES-256 takes 32 bytes"))
}

/// Whether this is meant to be a key, whole or not.
pub fn is_key(text: &[u8]) -> bool {
    text.starts_with(PREFIX.as_bytes())
}

/// A new key as text.
pub(crate) fn new_key() -> Result<Zeroizing<String>, NoRandom> {
    let bytes = Zeroizing::new(random::<KEY_BYTES>()?);
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 48));
    text.push_str(PREFIX);
    BASE64.encode_string(*bytes, &mut text);
    text.push('\n');
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kek(byte: u8) -> Kek {
        Kek::new(&Zeroizing::new([byte; KEY_BYTES]))
    }

    #[test]
    fn what_is_wrapped_is_unwrapped_by_its_key_in_its_context_only() {
        let inner = Zeroizing::new([7; KEY_BYTES]);
        let wrapped = kek(1).wrap(b"here", &inner).expect("wraps");
        let unwraps = |kek: &Kek, context: &[u8], wrapped: &[u8]| {
            kek.unwrap(context, wrapped).map(|key| *key)
        };
        assert_eq!(unwraps(&kek(1), b"here", &wrapped), Some([7; KEY_BYTES]));
        assert_eq!(unwraps(&kek(2), b"here", &wrapped), None);
        assert_eq!(unwraps(&kek(1), b"there", &wrapped), None);
        for bit in 0..wrapped.len() * 8 {
            let mut flipped = wrapped.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(unwraps(&kek(1), b"here", &flipped), None, "bit {bit}");
        }
        for length in 0..wrapped.len() {
            assert_eq!(unwraps(&kek(1), b"here", &wrapped[..length]), None);
        }
    }

    #[test]
    fn a_key_is_known_by_its_id() {
        assert_eq!(kek(1).id(), kek(1).id());
        assert_ne!(kek(1).id(), kek(2).id());
        let id = kek(1).id();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "12", "zzzzzzzzzzzzzzzz", "00000000000000000"] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_is_read_back_and_nothing_else_is() {
        let text = new_key().expect("random numbers");
        let read = Kek::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let again = Kek::parse(text.trim_end().as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(read.id(), again.id());
        for bad in [
            "",
            "hunter2",
            PREFIX,
            &text[..text.len() - 5],
            "sluice-key-1:AAAA",
        ] {
            assert!(Kek::parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn parts_cannot_run_into_one_another() {
        assert_ne!(aad(&[b"ab", b"c"]), aad(&[b"a", b"bc"]));
        assert_ne!(aad(&[b"a", b""]), aad(&[b"", b"a"]));
        assert_ne!(aad(&[b"a"]), aad(&[b"a", b""]));
    }
}
