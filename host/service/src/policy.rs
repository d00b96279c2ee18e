//! The organisation's policy of a deployment, read from its file.

use crate::deployment::{Deployment, plain, shown};
use sluice_model::tomlfile::FileError;
use sluice_policy::Organisation;
use std::io::ErrorKind;
use std::sync::Arc;

/// The policy, or all that is wrong with its file. Where `sluice.toml` names none and there is no `policy.toml`, one
/// that forbids nothing; one that is named and is not there is an error, for a rule that is not read must not seem kept.
pub fn read(deployment: &Deployment) -> Result<Arc<Organisation>, Vec<FileError>> {
    let named = deployment.settings.policy.file.as_deref();
    let file = deployment.policy_file();
    match std::fs::read_to_string(&file) {
        Ok(text) => Organisation::read(&shown(&file), &text).map(Arc::new),
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => Ok(Arc::default()),
        Err(error) => {
            let wrong = FileError::new(shown(&file), plain(&error));
            Err(vec![
                wrong.hint("`[policy] file` in `sluice.toml` names it"),
            ])
        }
    }
}
