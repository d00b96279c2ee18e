//! The key files of a trail: its key is made with it, and the public half lies beside it for whoever checks.

use crate::error::{AuditError, io};
use crate::folder::{Folder, contents};
use crate::key::{Key, PublicKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fs::File;
use std::io::Write as _;
use std::path::Path;

/// The public key of a trail that was begun.
pub(crate) fn public_key(folder: &Folder) -> Result<Option<PublicKey>, AuditError> {
    let path = folder.public_key();
    let text = contents(&path)?;
    if text.is_empty() && !folder.key().exists() {
        return Ok(None);
    }
    let parsed = str::from_utf8(&text).ok().and_then(PublicKey::parse);
    parsed.map(Some).ok_or_else(|| AuditError::Key {
        file: path.display().to_string(),
        reason: "it is no public key".to_owned(),
    })
}

/// The key of a trail that begins. It is put in place last: a kill before that leaves a trail that never began, and is
/// begun anew.
pub(crate) fn made(folder: &Folder) -> Result<Key, AuditError> {
    let mut id = [0; 8];
    let random = SystemRandom::new().fill(&mut id);
    random.map_err(|_| AuditError::Key {
        file: folder.key().display().to_string(),
        reason: "the system gives no random numbers".to_owned(),
    })?;
    let origin = format!("sluice.audit/{:016x}", u64::from_be_bytes(id));
    let next = folder.next_key();
    remove(&next)?;
    let key = Key::create(&next, &origin)?;
    publish(folder, key.public())?;
    std::fs::rename(&next, folder.key()).map_err(io(&folder.key()))?;
    folder.sync()?;
    Ok(key)
}

/// Puts the public half beside the trail, whole or not at all.
pub(crate) fn publish(folder: &Folder, key: &PublicKey) -> Result<(), AuditError> {
    let path = folder.public_key();
    let whole = path.with_extension("pub.new");
    remove(&whole)?;
    let mut file = File::create_new(&whole).map_err(io(&whole))?;
    let written = writeln!(file, "{}", key.text()).and_then(|()| file.sync_all());
    written.map_err(io(&whole))?;
    std::fs::rename(&whole, &path).map_err(io(&path))?;
    folder.sync()
}

/// Removes what a crash may have left.
pub(crate) fn remove(file: &Path) -> Result<(), AuditError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(io(file)(error)),
        _ => Ok(()),
    }
}
