//! A plugin's signature: who vouches for which exact component. A DSSE envelope with one Ed25519 signature over a
//! statement, in a file beside the component. Shapes, and the exact bytes that are signed; whether one is believed is
//! decided in `policy`.
//!
//! The format is DSSE (<https://github.com/secure-systems-lab/dsse>), so that other tools can check it too.

use crate::digest::Digest;
use crate::guards::Guard;
use crate::ids::PluginName;
use crate::limits::SIGNATURE_BYTES_MAX;
use crate::manifest::Manifest;
use crate::moment::Moment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// What a signature's file is called: the component's file name and this.
pub const EXTENSION: &str = "sig";
/// What kind of statement is signed. It is part of the bytes that are signed, so that no other statement by the same
/// key can be passed off as one of these.
pub const PAYLOAD_TYPE: &str = "application/vnd.sluice.plugin.v1+json";
/// Hexadecimal digits of a key's id: 64 bits of the digest of its public half. Enough to name a key of a trust file;
/// what is believed is the signature under that key.
const ID_DIGITS: usize = 16;
const ID_PREFIX: &str = "ed25519:";

/// A public Ed25519 key, written in base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey(pub [u8; 32]);

/// Names a key: `ed25519:` and the first 16 hexadecimal digits of its public half's SHA-256. It follows from the key,
/// so it cannot be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(String);

/// Not a key, or not the id of one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is not {what}")]
pub struct KeyError {
    value: String,
    what: &'static str,
}

impl PublicKey {
    /// Its id.
    pub fn id(&self) -> KeyId {
        let hex = Digest::of(&self.0).hex();
        KeyId(format!("{ID_PREFIX}{}", &hex[..ID_DIGITS]))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = BASE64.decode(text).ok();
        let key = bytes.and_then(|bytes| <[u8; 32]>::try_from(bytes).ok());
        key.map(Self).ok_or_else(|| KeyError {
            value: text.chars().take(64).collect(),
            what: "a public key: 32 bytes in base64, as `sluice plugin key new` prints it",
        })
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.strip_prefix(ID_PREFIX).unwrap_or_default();
        let hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if digits.len() == ID_DIGITS && digits.bytes().all(hex) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KeyError {
                value: text.chars().take(64).collect(),
                what: "a key's id: `ed25519:` and 16 hexadecimal digits",
            })
        }
    }
}

macro_rules! through_text {
    ($type:ident) => {
        impl TryFrom<String> for $type {
            type Error = KeyError;
            fn try_from(text: String) -> Result<Self, KeyError> {
                text.parse()
            }
        }
        impl From<$type> for String {
            fn from(value: $type) -> String {
                value.to_string()
            }
        }
    };
}
through_text!(PublicKey);
through_text!(KeyId);

/// What a statement speaks of: one exact component, and what it says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// SHA-256 of the component's bytes; the manifest is in them.
    pub component: Digest,
    /// SHA-256 of the manifest's text.
    pub manifest: Digest,
    /// `vendor/name`.
    pub name: PluginName,
    /// Its version.
    pub version: semver::Version,
    /// The contract it was built against.
    pub interface: String,
    /// SHA-256 of what it asks for; see [`capabilities`]. The same in two versions: the second asks for no more.
    pub capabilities: Digest,
}

impl Subject {
    /// What these bytes are, by their own account.
    pub fn of(component: Digest, manifest_text: &str, manifest: &Manifest) -> Self {
        Self {
            component,
            manifest: Digest::of(manifest_text.as_bytes()),
            name: manifest.plugin.name.clone(),
            version: manifest.plugin.version.clone(),
            interface: manifest.plugin.interface.clone(),
            capabilities: capabilities(manifest_text),
        }
    }
}

/// The digest of what a manifest asks for, whatever its order, comments and words of explanation: SHA-256 of its JSON
/// without `plugin`, `config` and every `reason`, keys sorted, without spaces. Read off the text and not off our types,
/// so that a host that knows more keys comes to the same digest.
pub fn capabilities(manifest_text: &str) -> Digest {
    let whole: toml::Table = toml::from_str(manifest_text).unwrap_or_default();
    let asked: BTreeMap<&String, serde_json::Value> = whole
        .iter()
        .filter(|(key, _)| !matches!(key.as_str(), "plugin" | "config"))
        .map(|(key, value)| (key, plain(value)))
        .collect();
    Digest::of(
        &serde_json::to_vec(&asked).expect("maps of text, numbers and lists are always JSON"),
    )
}

/// Sorted whatever the features of the JSON library, for a map of it may keep the order of a file.
fn plain(value: &toml::Value) -> serde_json::Value {
    match value {
        toml::Value::Table(table) => {
            let sorted: BTreeMap<&String, &toml::Value> = table
                .iter()
                .filter(|(key, _)| key.as_str() != "reason")
                .collect();
            sorted
                .into_iter()
                .map(|(key, value)| (key.clone(), plain(value)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        toml::Value::Array(items) => items.iter().map(plain).collect(),
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(flag) => (*flag).into(),
        toml::Value::Datetime(time) => time.to_string().into(),
    }
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Which plugin.
    pub subject: Subject,
    /// When, by the signer's clock.
    pub created: Moment,
    /// It says nothing any more after this.
    pub not_after: Moment,
    /// By which key.
    pub key: KeyId,
}

impl Statement {
    /// As it is signed and carried.
    pub fn to_payload(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a statement is plain data, which JSON holds")
    }
}

/// The bytes that are signed: DSSE's pre-authentication encoding, `DSSEv1 LENGTH TYPE LENGTH PAYLOAD`, each apart by
/// one space, lengths in bytes and decimal.
pub fn signed_bytes(payload: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "DSSEv1 {} {PAYLOAD_TYPE} {} ",
        PAYLOAD_TYPE.len(),
        payload.len()
    )
    .into_bytes();
    bytes.extend_from_slice(payload);
    bytes
}

/// A signature file, read but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The key that it names.
    pub key: KeyId,
    /// What is signed, before it is understood.
    pub payload: Vec<u8>,
    /// 64 bytes where it is one at all.
    pub signature: Vec<u8>,
}

/// Why a file is no signature.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignedError {
    /// More than [`SIGNATURE_BYTES_MAX`].
    #[error("it has more than {SIGNATURE_BYTES_MAX} bytes")]
    TooLarge,
    /// Not the JSON of an envelope.
    #[error("{0}")]
    Shape(String),
    /// A statement of another kind.
    #[error("it signs a `{0}`, not a plugin")]
    Kind(String),
    /// None, or more than one: nobody could say whose word counts.
    #[error("it holds {0} signatures; there must be one")]
    Count(usize),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Envelope {
    payload_type: String,
    payload: String,
    signatures: Vec<One>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct One {
    keyid: KeyId,
    sig: String,
}

impl Signed {
    /// Reads a signature file.
    pub fn parse(file: &[u8]) -> Result<Self, SignedError> {
        if file.len() > Guard::SignatureBytes.limit(SIGNATURE_BYTES_MAX) {
            return Err(SignedError::TooLarge);
        }
        let shape = |error: &dyn fmt::Display| SignedError::Shape(error.to_string());
        let envelope: Envelope = serde_json::from_slice(file).map_err(|error| shape(&error))?;
        if envelope.payload_type != PAYLOAD_TYPE {
            let kind = envelope.payload_type.chars().take(64).collect();
            return Err(SignedError::Kind(kind));
        }
        let count = envelope.signatures.len();
        let [one] =
            <[One; 1]>::try_from(envelope.signatures).map_err(|_| SignedError::Count(count))?;
        let bytes = |what: &str, text: &str| {
            BASE64
                .decode(text)
                .map_err(|_| SignedError::Shape(format!("its {what} is not base64")))
        };
        Ok(Self {
            key: one.keyid,
            payload: bytes("payload", &envelope.payload)?,
            signature: bytes("signature", &one.sig)?,
        })
    }

    /// As it stands in its file.
    pub fn to_text(&self) -> String {
        let envelope = Envelope {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload: BASE64.encode(&self.payload),
            signatures: vec![One {
                keyid: self.key.clone(),
                sig: BASE64.encode(&self.signature),
            }],
        };
        let mut text = serde_json::to_string_pretty(&envelope)
            .expect("an envelope is plain data, which JSON holds");
        text.push('\n');
        text
    }

    /// What it states. To be trusted only once the signature over it holds.
    pub fn statement(&self) -> Result<Statement, SignedError> {
        serde_json::from_slice(&self.payload)
            .map_err(|error| SignedError::Shape(format!("its statement: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_id() {
        let key = PublicKey([7; 32]);
        assert_eq!(key.to_string().parse(), Ok(key));
        assert_eq!(key.id().to_string().parse(), Ok(key.id()));
        assert_ne!(key.id(), PublicKey([8; 32]).id());
        for bad in ["", "BwcH", "!!!!", &format!("{}=", PublicKey([7; 32]))] {
            assert!(bad.parse::<PublicKey>().is_err(), "{bad}");
        }
        for bad in [
            "",
            "ed25519:",
            "ed25519:00",
            "ed25519:00000000000000AB",
            "rsa:0000000000000000",
        ] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
    }

    /// The example of the DSSE specification, with our type in place of its own.
    #[test]
    fn the_signed_bytes_are_dsses() {
        assert_eq!(
            signed_bytes(b"hello world"),
            b"DSSEv1 37 application/vnd.sluice.plugin.v1+json 11 hello world"
        );
    }

    #[test]
    fn what_is_asked_has_one_digest_however_it_is_written() {
        let one = "[plugin]\nname = \"a/b\"\n[[http]]\nhost = \"x.example\"\nmethods = [\"GET\"]\nreason = \"one\"\n";
        let same = "[[http]]\n# a comment\nreason = \"other\"\nmethods = [\"GET\"]\nhost = \"x.example\"\n[config]\nschema = \"s\"\n";
        let more = same.replace("[\"GET\"]", "[\"GET\", \"POST\"]");
        assert_eq!(capabilities(one), capabilities(same));
        assert_ne!(capabilities(one), capabilities(&more));
        // Fixed for good: signatures that vendors made hold in every later version of the host.
        assert_eq!(
            capabilities(one),
            Digest::of(br#"{"http":[{"host":"x.example","methods":["GET"]}]}"#)
        );
    }

    #[test]
    fn a_file_that_is_no_signature_is_told() {
        let signed = Signed {
            key: PublicKey([7; 32]).id(),
            payload: b"{}".to_vec(),
            signature: vec![1; 64],
        };
        let text = signed.to_text();
        assert_eq!(Signed::parse(text.as_bytes()), Ok(signed));
        let check = |file: &str, expected: &str| {
            let error = Signed::parse(file.as_bytes())
                .expect_err("a mistake")
                .to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("", "EOF");
        check("{}", "missing field");
        check(
            &text.replacen('{', "{\"more\": 1,", 1),
            "unknown field `more`",
        );
        check(
            &text.replace("plugin.v1", "plugin.v2"),
            "it signs a `application/vnd.sluice.plugin.v2+json`",
        );
        check(&text.replace("e30=", "e3"), "its payload is not base64");
        check(&text.replace("ed25519:", "rsa:"), "is not a key's id");
        check(
            &" ".repeat(SIGNATURE_BYTES_MAX + 1),
            "more than 65536 bytes",
        );
        let mut two: serde_json::Value = serde_json::from_str(&text).expect("json");
        let one = two["signatures"][0].clone();
        two["signatures"].as_array_mut().expect("a list").push(one);
        check(&two.to_string(), "it holds 2 signatures; there must be one");
        two["signatures"] = serde_json::json!([]);
        check(&two.to_string(), "it holds 0 signatures; there must be one");
    }
}
