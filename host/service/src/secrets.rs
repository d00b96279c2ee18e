//! Where secrets come from: a directory of files, or the environment. Read once, when a stage starts.

use crate::deployment::{Deployment, shown};
use sluice_model::deployment::Secrets;
use sluice_model::ids::SecretName;
use sluice_model::secret::Secret;
use std::path::Path;

/// The most bytes a secret may have. Stops a wrong path (a disk image, a log) from being sent as a token.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Reads one secret. The error says what is wrong, never what was read.
pub fn read(deployment: &Deployment, name: &SecretName) -> Result<Secret, String> {
    match &deployment.settings.secrets {
        Secrets::Dir { dir } => from_file(&deployment.base.join(dir).join(name.as_str())),
        Secrets::Env => {
            let variable = format!(
                "SLUICE_SECRET_{}",
                name.as_str().to_uppercase().replace(['-', '.'], "_")
            );
            std::env::var_os(&variable)
                .map(|value| Secret::new(value.into_encoded_bytes()))
                .ok_or_else(|| format!("secret `{name}`: the environment has no `{variable}`"))
        }
    }
}

fn from_file(file: &Path) -> Result<Secret, String> {
    let told = |error: &dyn std::fmt::Display| format!("secret file `{}`: {error}", shown(file));
    let metadata =
        std::fs::symlink_metadata(file).map_err(|error| told(&crate::deployment::plain(&error)))?;
    if !metadata.is_file() {
        return Err(told(&"not a regular file"));
    }
    if metadata.len() > SECRET_BYTES_MAX {
        return Err(told(&format!("larger than {SECRET_BYTES_MAX} bytes")));
    }
    only_its_owner(&metadata).map_err(|error| told(&error))?;
    let mut value = std::fs::read(file).map_err(|error| told(&error))?;
    if value.ends_with(b"\n") {
        value.pop();
    }
    if value.ends_with(b"\r") {
        value.pop();
    }
    Ok(Secret::new(value))
}

/// A secret that others on the machine can read is no secret.
pub(crate) fn only_its_owner(metadata: &std::fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if mode.trailing_zeros() >= 6 {
        return Ok(());
    }
    Err(format!(
        "mode {mode:o} lets others read it; hint: `chmod 600` it"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_file_gives_its_content_to_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, "made-up\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(from_file(&file).unwrap().expose(), b"made-up");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = from_file(&file).unwrap_err();
        assert!(
            error.contains("mode 640") && !error.contains("made-up"),
            "{error}"
        );
        assert!(
            from_file(&folder.path().join("none"))
                .unwrap_err()
                .contains("no such file")
        );
        assert!(
            from_file(folder.path())
                .unwrap_err()
                .contains("not a regular file")
        );
    }
}
