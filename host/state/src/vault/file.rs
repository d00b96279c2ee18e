//! How a vault lies on disk: one small file, sealed whole with a key that is made for each write and wrapped by the key
//! of the deployment. So names, dates and values are read by nobody, and no part of it can be changed or put elsewhere.
//!
//! A line that says what it is; then the id of the deployment's key, the vault's own number, the wrapped key, and the
//! sealed document.

use super::VaultError;
use super::document::Document;
use crate::durable::{self, FileIdentity};
use crate::keys::{Kek, KeyError, KeyId, aad, random};
use crate::sealed::{Dek, Place, StoreId, open_value, seal_value};
use sluice_model::guards::Guard;
use sluice_model::limits::VAULT_BYTES_MAX;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;
use zeroize::Zeroizing;

const HEADING: &[u8] = b"sluice vault 1\n";
const WRAPPED_BYTES: usize = 12 + 32 + 16;
/// Not a namespace of the state store: nothing of a vault opens there.
const SPACE: u8 = 4;

/// A vault that was read, and what tells whether its file is still the same.
pub(super) struct Read {
    pub id: StoreId,
    pub kek: Kek,
    pub document: Document,
    pub identity: FileIdentity,
    /// Kept open so that the number of its inode is not given to the file that replaces it.
    _file: Option<File>,
}

/// Reads the vault in this file with one of these keys.
pub(super) fn read(path: &Path, keks: &[Kek], place: &str) -> Result<Read, VaultError> {
    let told = |reason: &str| VaultError::damaged(path, reason);
    let mut file = File::open(path).map_err(|error| told(&error.to_string().to_lowercase()))?;
    let metadata = file.metadata().map_err(|error| told(&error.to_string()))?;
    if metadata.len() > Guard::VaultRead.limit(VAULT_BYTES_MAX as u64) {
        return Err(told("it is larger than a vault can be"));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)
        .map_err(|error| told(&error.to_string()))?;
    let rest = bytes.strip_prefix(HEADING);
    let rest = rest.ok_or_else(|| told("it is not a vault that this version of sluice knows"))?;
    let cut = || told("it is cut short");
    let (kek, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
    let (id, rest) = rest.split_first_chunk::<16>().ok_or_else(cut)?;
    let (dek, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
    let (wrapped, sealed) = rest.split_first_chunk::<WRAPPED_BYTES>().ok_or_else(cut)?;
    let (kek, dek) = (KeyId(*kek), KeyId(*dek));
    let found = keks.iter().find(|found| found.id() == kek);
    let found = found.ok_or_else(|| KeyError::wrong(place, "the vault", kek, keks))?;
    let key = found.unwrap(&context(id, dek), wrapped);
    let key = key.ok_or_else(|| told("it was changed"))?;
    let opened = open_value(&Dek::new(dek, &key), at(id), sealed.to_vec());
    let opened = Zeroizing::new(opened.map_err(|error| told(&error.to_string()))?);
    let document: Document =
        serde_json::from_slice(&opened).map_err(|_| told("a newer version of sluice wrote it"))?;
    Ok(Read {
        id: *id,
        kek: found.clone(),
        document,
        identity: FileIdentity::new(&metadata),
        _file: Some(file),
    })
}

/// Writes a vault. The vault's lock is held.
pub(super) fn write(
    path: &Path,
    id: StoreId,
    kek: &Kek,
    document: &Document,
) -> Result<(), VaultError> {
    let told = |error: &dyn std::fmt::Display| VaultError::Unwritten {
        file: path.display().to_string(),
        reason: error.to_string(),
    };
    // With room for all of it: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(document.bytes_at_most()));
    serde_json::to_writer(&mut *text, document).map_err(|error| told(&error))?;
    let key = Zeroizing::new(random().map_err(|error| told(&error))?);
    let dek = KeyId(random().map_err(|error| told(&error))?);
    let wrapped = kek
        .wrap(&context(&id, dek), &key)
        .map_err(|error| told(&error))?;
    let sealed = seal_value(&Dek::new(dek, &key), at(&id), &text).map_err(|error| told(&error))?;
    let bytes = [
        HEADING,
        &kek.id().0,
        &id,
        &dek.0,
        wrapped.as_slice(),
        sealed.as_slice(),
    ]
    .concat();
    if bytes.len() > Guard::VaultWritten.limit(VAULT_BYTES_MAX) {
        return Err(told(&format!(
            "it would be larger than {VAULT_BYTES_MAX} bytes"
        )));
    }
    durable::replace(path, &bytes).map_err(|error| told(&error))
}

fn context(id: &StoreId, dek: KeyId) -> Vec<u8> {
    aad(&[b"sluice vault dek 1", id, &dek.0])
}

fn at(id: &StoreId) -> Place<'_> {
    Place {
        store: id,
        space: SPACE,
        key: b"vault",
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::Entry;
    use super::*;
    use sluice_model::secret::Secret;

    #[test]
    fn a_vault_is_bounded() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("vault");
        let kek = Kek::new(&Zeroizing::new([7; 32]));
        let mut document = Document::default();
        let mut add = |names: std::ops::Range<usize>| {
            for at in names {
                let value = Secret::new(vec![b'x'; 64 << 10]);
                let name = format!("s{at}").parse().expect("a name");
                document.secrets.insert(name, Entry::new(value, 0, None));
            }
            write(&path, [1; 16], &kek, &document)
        };
        add(0..100).expect("it fits");
        let told = add(100..400).expect_err("too large").to_string();
        assert!(told.contains("larger than 16777216 bytes"), "{told}");
        let file = File::options().write(true).open(&path);
        file.and_then(|file| file.set_len(VAULT_BYTES_MAX as u64 + 1))
            .expect("a length");
        let told = read(&path, &[kek], "a place").err().expect("too large");
        assert!(
            told.to_string().contains("larger than a vault can be"),
            "{told}"
        );
    }
}
