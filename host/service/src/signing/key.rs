//! A vendor's key pair in a file: PKCS #8 in PEM, which other tools read too, for its owner alone. What is signed with
//! it is in `vouch`.

use crate::Error;
use crate::deployment::{plain, shown};
use crate::secrets::folder::only_its_owner;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde::Serialize;
use sluice_model::signature::{KeyId, PublicKey};
use sluice_model::tomlfile::FileError;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// What a private key's PEM is labelled.
const LABEL: &str = "PRIVATE KEY";
/// A private key's file. Stops a wrong path from being read whole.
const KEY_FILE_BYTES_MAX: u64 = 16 << 10;

/// What is told of a key pair that was made: never its private half.
#[derive(Debug, Clone, Serialize)]
pub struct NewKey {
    /// The file of the private half.
    pub file: String,
    /// Its id.
    pub id: KeyId,
    /// Its public half.
    pub public: PublicKey,
}

/// Makes a key pair, and writes its private half to a new file that only its owner can read.
pub fn new_key(file: &Path) -> Result<NewKey, Error> {
    let failed = || Error::Host("this machine gives no random numbers".to_owned());
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| failed())?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| failed())?;
    let bytes: &[u8] = document.as_ref();
    let contents = pem::Pem::new(LABEL, bytes);
    let text = Zeroizing::new(pem::encode_config(
        &contents,
        pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF),
    ));
    let told = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::wrong(
            FileError::new(
                shown(file),
                "this file is there; a key is never written over",
            )
            .hint("name another file"),
        ),
        _ => Error::wrong(FileError::new(shown(file), plain(error))),
    };
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .map_err(|error| told(&error))?;
    out.write_all(text.as_bytes())
        .map_err(|error| told(&error))?;
    out.sync_all().map_err(|error| told(&error))?;
    let public = public(&pair);
    Ok(NewKey {
        file: shown(file),
        id: public.id(),
        public,
    })
}

fn public(pair: &Ed25519KeyPair) -> PublicKey {
    let bytes = pair.public_key().as_ref().try_into();
    PublicKey(bytes.expect("a public Ed25519 key has 32 bytes"))
}

/// A private key, read.
pub struct KeyFile {
    pair: Ed25519KeyPair,
    /// Its public half.
    pub public: PublicKey,
}

impl KeyFile {
    /// Reads a private key. The error says what is wrong, never what was read.
    pub fn read(file: &Path) -> Result<Self, FileError> {
        let told = |message: &str| FileError::new(shown(file), message);
        let io = |error: std::io::Error| FileError::new(shown(file), plain(&error));
        let metadata = std::fs::metadata(file).map_err(io)?;
        if !metadata.is_file() || metadata.len() > KEY_FILE_BYTES_MAX {
            return Err(told("not a key file"));
        }
        only_its_owner(&metadata).map_err(|message| told(&message))?;
        let text = Zeroizing::new(std::fs::read_to_string(file).map_err(io)?);
        let no_key = || {
            told("not an Ed25519 key in PKCS #8 and PEM")
                .hint("`sluice plugin key new FILE` makes one")
        };
        let block = pem::parse(text.as_bytes()).map_err(|_| no_key())?;
        if block.tag() != LABEL {
            return Err(no_key());
        }
        let contents = Zeroizing::new(block.into_contents());
        // The form without the public half is what other tools write.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&contents).map_err(|_| no_key())?;
        let public = public(&pair);
        Ok(Self { pair, public })
    }

    /// Signs these bytes.
    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.pair.sign(bytes).as_ref().to_vec()
    }
}

impl std::fmt::Debug for KeyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyFile")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_its_owners_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("acme.key");
        let made = new_key(&file).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let key = KeyFile::read(&file).unwrap();
        assert_eq!(key.public, made.public);
        let text = std::fs::read_to_string(&file).unwrap();
        let secret: String = text.lines().filter(|line| !line.starts_with('-')).collect();
        for told in [format!("{key:?}"), format!("{made:?}")] {
            assert!(
                !secret.contains(&told) && !told.contains(&secret[20..40]),
                "{told}"
            );
        }
        let error = new_key(&file).unwrap_err().to_string();
        assert!(error.contains("a key is never written over"), "{error}");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
        let error = KeyFile::read(&file).unwrap_err().to_string();
        assert!(error.contains("mode 644 lets others read it"), "{error}");
    }

    #[test]
    fn what_is_no_key_is_told_without_being_repeated() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        for content in [
            "made-up-token",
            "-----BEGIN PRIVATE KEY-----\nbWFkZS11cA==\n-----END PRIVATE KEY-----\n",
            "",
        ] {
            std::fs::write(&file, content).unwrap();
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
            let error = KeyFile::read(&file).unwrap_err().to_string();
            assert!(
                error.contains("not an Ed25519 key") && !error.contains("made-up"),
                "{error}"
            );
        }
        assert!(
            KeyFile::read(folder.path())
                .unwrap_err()
                .to_string()
                .contains("not a key file")
        );
    }
}
