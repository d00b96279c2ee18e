//! Secrets in the environment: `crm-token` is `SLUICE_SECRET_CRM_TOKEN`. They stay as they were when the host started.

use super::{Provider, Trouble, cannot_be_written};
use sluice_model::ids::SecretName;
use sluice_model::ports::{SecretError, Secrets};
use sluice_model::secret::Secret;

/// What the names of all such variables begin with.
pub(crate) const PREFIX: &str = "SLUICE_SECRET_";

pub(super) struct Environment;

fn variable(name: &SecretName) -> String {
    let name = name.as_str().to_uppercase().replace(['-', '.'], "_");
    format!("{PREFIX}{name}")
}

impl Secrets for Environment {
    fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretError> {
        let value = std::env::var_os(variable(name));
        Ok(value.map(|value| Secret::new(value.into_encoded_bytes())))
    }

    fn replace(&self, name: &SecretName, _: &Secret, _: Secret) -> Result<bool, SecretError> {
        Err(cannot_be_written(name, "the environment"))
    }
}

impl Provider for Environment {
    fn check(&self, name: &SecretName) -> Result<(), Trouble> {
        let variable = variable(name);
        match std::env::var_os(&variable) {
            Some(_) => Ok(()),
            None => Err(Trouble {
                message: format!("secret `{name}`: the environment has no `{variable}`"),
                hint: None,
            }),
        }
    }
}
