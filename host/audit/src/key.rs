//! The key that signs checkpoints, in a file that only its owner can read, and its public half as text: a verifier key
//! of [C2SP signed notes](https://c2sp.org/signed-note), `ORIGIN+ID+KEY`.

use crate::error::{AuditError, io};
use crate::note::{Body, Note};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SystemRandom;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use sluice_model::guards::Guard;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;
use zeroize::Zeroizing;

/// Ed25519, as signed notes number it.
const ALGORITHM: u8 = 1;
/// A private key is 83 bytes; more is another file.
const KEY_BYTES_MAX: u64 = 1_024;

/// A key pair, for one trail.
pub(crate) struct Key {
    pair: Ed25519KeyPair,
    public: PublicKey,
}

impl Key {
    /// Makes one and keeps it in a file that must not be there yet.
    pub(crate) fn create(file: &Path, origin: &str) -> Result<Self, AuditError> {
        let failed = |reason: &str| AuditError::Key {
            file: file.display().to_string(),
            reason: reason.to_owned(),
        };
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| failed("the system gives no random numbers"))?;
        let mut options = OpenOptions::new();
        let opened = options.write(true).create_new(true).mode(0o600).open(file);
        let mut opened: File = opened.map_err(io(file))?;
        let written = opened
            .write_all(made.as_ref())
            .and_then(|()| opened.sync_all());
        written.map_err(io(file))?;
        Self::from_pkcs8(made.as_ref(), origin).ok_or_else(|| failed("it cannot be used"))
    }

    /// Reads the one that is there.
    pub(crate) fn read(file: &Path, origin: &str) -> Result<Self, AuditError> {
        let failed = |reason: String| AuditError::Key {
            file: file.display().to_string(),
            reason,
        };
        let metadata = std::fs::symlink_metadata(file).map_err(io(file))?;
        let mode = metadata.permissions().mode() & 0o777;
        if !metadata.is_file() || metadata.len() > KEY_BYTES_MAX {
            return Err(failed("it is no key file".to_owned()));
        }
        if Guard::AuditKeyMode.bars(mode.trailing_zeros() < 6) {
            return Err(failed(format!(
                "mode {mode:o} lets others use it\n  hint: `chmod 600` it, and `sluice audit key --rotate`"
            )));
        }
        let bytes = Zeroizing::new(std::fs::read(file).map_err(io(file))?);
        Self::from_pkcs8(&bytes, origin).ok_or_else(|| failed("it is no Ed25519 key".to_owned()))
    }

    fn from_pkcs8(bytes: &[u8], origin: &str) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(bytes).ok()?;
        let key = <[u8; 32]>::try_from(pair.public_key().as_ref()).ok()?;
        let public = PublicKey {
            origin: origin.to_owned(),
            key,
        };
        Some(Self { pair, public })
    }

    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs how long the trail is and what it hashes to.
    pub(crate) fn sign(&self, body: Body) -> Note {
        let signature = self.pair.sign(body.text().as_bytes());
        let mut line = self.public.id().to_vec();
        line.extend(signature.as_ref());
        Note::signed(body, self.public.origin.clone(), line)
    }
}

/// A public key, for one trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PublicKey {
    origin: String,
    key: [u8; 32],
}

impl PublicKey {
    /// The trail it is for.
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// `ORIGIN+ID+KEY`.
    pub(crate) fn text(&self) -> String {
        let id = u32::from_be_bytes(self.id());
        let mut key = vec![ALGORITHM];
        key.extend(self.key);
        format!("{}+{id:08x}+{}", self.origin, STANDARD.encode(key))
    }

    /// Reads such text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().splitn(3, '+');
        let (origin, _, key) = (parts.next()?, parts.next()?, parts.next()?);
        let bytes = STANDARD.decode(key).ok()?;
        let (algorithm, key) = bytes.split_first()?;
        let found = Self {
            origin: origin.to_owned(),
            key: key.try_into().ok()?,
        };
        // The middle part is made from the others: it must be that.
        (*algorithm == ALGORITHM && found.text() == text.trim()).then_some(found)
    }

    /// What names the key beside a signature.
    fn id(&self) -> [u8; 4] {
        let mut bytes = self.origin.clone().into_bytes();
        bytes.extend([b'\n', ALGORITHM]);
        bytes.extend(self.key);
        let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
        digest.as_ref()[..4]
            .try_into()
            .expect("SHA-256 gives 32 bytes")
    }

    /// Whether this key signed that note.
    pub(crate) fn signed(&self, note: &Note) -> bool {
        let Some((id, signature)) = note.signature.split_first_chunk::<4>() else {
            return false;
        };
        note.signer == self.origin
            && *id == self.id()
            && UnparsedPublicKey::new(&ED25519, self.key)
                .verify(note.body.text().as_bytes(), signature)
                .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::Hash;

    fn body(origin: &str) -> Body {
        Body {
            origin: origin.to_owned(),
            size: 3,
            root: Hash::empty(),
        }
    }

    #[test]
    fn a_key_is_its_owners() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let made = Key::create(&file, "o").unwrap();
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(Key::create(&file, "o").is_err(), "never written over");
        assert_eq!(Key::read(&file, "o").unwrap().public(), made.public());
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = Key::read(&file, "o").map(drop).unwrap_err().to_string();
        assert!(error.contains("mode 640"), "{error}");
    }

    #[test]
    fn a_signature_is_of_one_key_and_one_note() {
        let dir = tempfile::tempdir().unwrap();
        let key = Key::create(&dir.path().join("a"), "o").unwrap();
        let other = Key::create(&dir.path().join("b"), "o").unwrap();
        let note = key.sign(body("o"));
        assert!(key.public().signed(&note) && !other.public().signed(&note));
        let mut longer = note.clone();
        longer.body.size += 1;
        assert!(!key.public().signed(&longer));
        let text = key.public().text();
        assert_eq!(PublicKey::parse(&text).as_ref(), Some(key.public()));
        assert_eq!(
            PublicKey::parse(&text.replacen("o+", "p+", 1)),
            None,
            "the id is of the origin"
        );
    }
}
