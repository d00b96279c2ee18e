//! Where secrets come from: a directory of files, the environment, or the vault. Asked at each use, so that a rotation is
//! in use with the next request; a file is read again only when it changed.

mod environment;
pub(crate) mod folder;
mod vault;

pub use folder::without_line_end;
pub use sluice_state::vault::SecretView;
pub use vault::{moment, open as open_vault};

use crate::Error;
use crate::deployment::Deployment;
use sluice_model::deployment::Secrets as Settings;
use sluice_model::ids::SecretName;
use sluice_model::ports::{SecretError, Secrets};
use sluice_model::secret::Secret;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fmt;
use std::sync::Arc;

/// What is wrong with a secret before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What. Never anything of its value.
    pub message: String,
    /// The next step.
    pub hint: Option<String>,
}

/// A place that secrets come from, by the deployment's names for them.
pub trait Provider: Secrets {
    /// Whether this secret can be had, without using it. Warns of one that soon cannot.
    fn check(&self, name: &SecretName) -> Result<(), Trouble>;
}

/// The deployment's provider.
pub fn provider(deployment: &Deployment) -> Result<Arc<dyn Provider>, Error> {
    Ok(match &deployment.settings.secrets {
        Settings::Dir { dir } => Arc::new(folder::Folder::new(deployment.base.join(dir))),
        Settings::Env {} => Arc::new(environment::Environment),
        Settings::Vault {} => Arc::new(vault::InVault::new(deployment)?),
    })
}

/// The secrets of one stage, by the plugin's own words for them.
#[derive(Clone)]
pub struct StageSecrets {
    /// Of each of the plugin's words the deployment's.
    names: BTreeMap<SecretName, SecretName>,
    /// None where no secret is named, so that a deployment without any needs no place for them.
    provider: Option<Arc<dyn Provider>>,
}

impl fmt::Debug for StageSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("StageSecrets").field(&self.names).finish()
    }
}

impl StageSecrets {
    /// These secrets, from there.
    pub fn new(
        names: BTreeMap<SecretName, SecretName>,
        provider: Option<Arc<dyn Provider>>,
    ) -> Self {
        Self { names, provider }
    }

    /// Whether one is named for this word of the plugin's.
    pub fn names(&self, name: &SecretName) -> bool {
        self.names.contains_key(name)
    }

    fn of(&self, name: &SecretName) -> Option<(&SecretName, &dyn Provider)> {
        self.names.get(name).zip(self.provider.as_deref())
    }
}

impl Secrets for StageSecrets {
    fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretError> {
        let Some((ours, provider)) = self.of(name) else {
            return Ok(None);
        };
        provider.get(ours).map_err(|error| SecretError {
            name: name.clone(),
            ..error
        })
    }

    fn replace(&self, name: &SecretName, old: &Secret, value: Secret) -> Result<bool, SecretError> {
        let renamed = |reason: String| SecretError {
            name: name.clone(),
            reason,
        };
        let (ours, provider) = self
            .of(name)
            .ok_or_else(|| renamed("the pipeline names none for it".to_owned()))?;
        provider
            .replace(ours, old, value)
            .map_err(|error| renamed(error.reason))
    }
}

/// Whether an environment variable holds a key or a secret of ours: no child of the host sees it.
pub fn is_secret_variable(name: &OsStr, value: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with(environment::PREFIX) || sluice_state::keys::is_key(value.as_encoded_bytes())
}

/// Of a provider that others fill.
fn cannot_be_written(name: &SecretName, where_from: &str) -> SecretError {
    SecretError {
        name: name.clone(),
        reason: format!(
            "it comes from {where_from}, which the host does not write to; hint: keep it in the vault, `[secrets] provider \
             = \"vault\"`"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_children_must_not_see() {
        let check = |name: &str, value: &str, expected: bool| {
            let found = is_secret_variable(OsStr::new(name), OsStr::new(value));
            assert_eq!(found, expected, "{name}");
        };
        check("SLUICE_SECRET_CRM_TOKEN", "made-up", true);
        check("ANY_NAME", "sluice-key-1:AAAA", true);
        check("PATH", "/usr/bin", false);
        check("SLUICE_LOG", "debug", false);
    }

    /// A provider with one secret, that can be written to.
    struct One(std::sync::Mutex<Secret>);

    impl Secrets for One {
        fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretError> {
            assert_eq!(name.as_str(), "crm-readonly", "asked by the plugin's word");
            Ok(Some(self.0.lock().unwrap().clone()))
        }
        fn replace(
            &self,
            name: &SecretName,
            _: &Secret,
            value: Secret,
        ) -> Result<bool, SecretError> {
            if name.as_str() != "crm-readonly" {
                return Err(cannot_be_written(name, "a test"));
            }
            *self.0.lock().unwrap() = value;
            Ok(true)
        }
    }

    impl Provider for One {
        fn check(&self, _: &SecretName) -> Result<(), Trouble> {
            Ok(())
        }
    }

    #[test]
    fn a_stage_has_its_own_words_and_no_others() {
        let name = |text: &str| -> SecretName { text.parse().unwrap() };
        let names = BTreeMap::from([(name("token"), name("crm-readonly"))]);
        let one: Arc<dyn Provider> = Arc::new(One(std::sync::Mutex::new(Secret::new(vec![1]))));
        let stage = StageSecrets::new(names, Some(one));
        let value = |word: &str| {
            let value = stage.get(&name(word)).unwrap();
            value.map(|value| value.expose().to_vec())
        };
        assert_eq!(
            (value("token"), value("crm-readonly")),
            (Some(vec![1]), None)
        );
        let old = Secret::new(vec![1]);
        assert!(
            stage
                .replace(&name("token"), &old, Secret::new(vec![2]))
                .unwrap()
        );
        assert_eq!(value("token"), Some(vec![2]), "asked once and kept");
        let error = stage
            .replace(&name("other"), &old, Secret::new(vec![3]))
            .unwrap_err();
        assert_eq!(error.name, name("other"));
        assert!(format!("{stage:?}").contains("crm-readonly"));
    }
}
