//! The organisation's policy of a deployment, read from its file.

use crate::deployment::{Deployment, plain, shown};
use sluice_model::guards::Guard;
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
        Err(_) if !Guard::PolicyThere.stands() => Ok(Arc::default()),
        Err(error) => {
            let wrong = FileError::new(shown(&file), plain(&error));
            Err(vec![
                wrong.hint("`[policy] file` in `sluice.toml` names it"),
            ])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::deployment::{Deployment as Settings, FILE};

    #[test]
    fn a_policy_that_is_named_or_cannot_be_read_is_not_done_without() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| Deployment {
            base: folder.path().to_owned(),
            settings: Settings::parse(FILE, text).unwrap(),
        };
        assert!(read(&of("")).is_ok(), "none is there, and none is named");
        let told = read(&of("[policy]\nfile = \"rules.toml\"\n")).unwrap_err();
        assert!(told[0].to_string().contains("no such file"), "{told:?}");
        std::fs::create_dir(folder.path().join("policy.toml")).unwrap();
        assert!(read(&of("")).is_err(), "it is there");
    }
}
