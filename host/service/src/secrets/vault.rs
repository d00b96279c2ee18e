//! Secrets in the deployment's vault.

use super::{Provider, Trouble};
use crate::audit::{Action, Audit};
use crate::deployment::{Deployment, shown};
use crate::{Error, key};
use sluice_model::deployment::{FILE, Secrets as Settings};
use sluice_model::guards::Guard;
use sluice_model::ids::SecretName;
use sluice_model::ports::{SecretError, Secrets};
use sluice_model::secret::Secret;
use sluice_model::tomlfile::FileError;
use sluice_state::vault::{Vault, VaultError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long before a secret expires that is warned of.
const WARN_BEFORE: Duration = Duration::from_hours(14 * 24);

/// The deployment's vault, where that is where its secrets come from.
pub fn open(deployment: &Deployment) -> Result<Vault, Error> {
    if deployment.settings.secrets != (Settings::Vault {}) {
        let file = shown(&deployment.base.join(FILE));
        let problem = FileError::new(file, "this deployment's secrets are not in a vault");
        return Err(problem.hint("[secrets]\nprovider = \"vault\"").into());
    }
    let source = key::source(deployment)?;
    Ok(Vault::open(&deployment.vault_file(), &*source)?)
}

pub(super) struct InVault {
    vault: Vault,
    /// Whose trail tells of what the host itself rotates.
    deployment: Deployment,
}

impl InVault {
    pub fn new(deployment: &Deployment) -> Result<Self, Error> {
        Ok(Self {
            vault: open(deployment)?,
            deployment: deployment.clone(),
        })
    }
}

fn expired(at_ms: u64) -> String {
    format!("it expired at {}", moment(at_ms))
}

/// A moment as messages tell it.
pub fn moment(at_ms: u64) -> String {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at_ms).unwrap_or(i64::MAX));
    at.map_or_else(|_| "?".to_owned(), |at| format!("{at:.0}"))
}

/// How long until then; none where that is over.
fn until(at_ms: u64) -> Option<Duration> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Duration::from_millis(at_ms)
        .checked_sub(now)
        .filter(|left| !left.is_zero())
}

impl Secrets for InVault {
    fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretError> {
        let refused = |reason: String| SecretError {
            name: name.clone(),
            reason,
        };
        let found = self.vault.take(name);
        let found = found.map_err(|error| refused(error.to_string()))?;
        let found = found.ok_or_else(|| refused(VaultError::None(name.clone()).to_string()))?;
        match found.expires_ms {
            Some(at_ms) if Guard::SecretExpiry.bars(until(at_ms).is_none()) => Err(refused(
                format!("{}; hint: `sluice secret rotate {name}`", expired(at_ms)),
            )),
            _ => Ok(Some(found.value)),
        }
    }

    /// The value before is of no use to anybody any more, and is not kept.
    fn replace(&self, name: &SecretName, old: &Secret, value: Secret) -> Result<bool, SecretError> {
        let failed = |reason: String| SecretError {
            name: name.clone(),
            reason,
        };
        let found = self.vault.look(name);
        let found = found.map_err(|error| failed(error.to_string()))?;
        if found.is_none_or(|found| found.value.expose() != old.expose()) {
            return Ok(false);
        }
        let act = Action::SecretRotated.with("secret", name);
        let act = act
            .with("what", "by its authorization server")
            .by_the_host();
        let audited = Audit::open(&self.deployment).and_then(|audit| audit.act(act));
        audited.map_err(|error| failed(error.to_string()))?;
        let renewed = self.vault.renew(name, old, value);
        renewed.map_err(|error| failed(error.to_string()))
    }
}

impl Provider for InVault {
    fn check(&self, name: &SecretName) -> Result<(), Trouble> {
        let trouble = |message: String, hint: Option<String>| Trouble { message, hint };
        let found = self
            .vault
            .look(name)
            .map_err(|error| trouble(error.to_string(), None))?;
        let Some(found) = found else {
            let message = VaultError::None(name.clone()).to_string();
            return Err(trouble(
                message,
                Some(format!("`sluice secret set {name}`")),
            ));
        };
        let Some(at_ms) = found.expires_ms else {
            return Ok(());
        };
        match until(at_ms) {
            None if !Guard::SecretExpiry.stands() => Ok(()),
            None => Err(trouble(
                format!("secret `{name}`: {}", expired(at_ms)),
                Some(format!("`sluice secret rotate {name}`")),
            )),
            Some(left) => {
                if left < WARN_BEFORE {
                    tracing::warn!(
                        secret = %name,
                        expires = moment(at_ms),
                        "a secret expires soon, and is refused from then on: `sluice secret rotate {name}`"
                    );
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_rotates_is_told_and_loses_nobodys_value() {
        let folder = tempfile::tempdir().unwrap();
        let text = "[secrets]\nprovider = \"vault\"\n";
        let deployment = Deployment {
            base: folder.path().to_owned(),
            settings: sluice_model::deployment::Deployment::parse(FILE, text).unwrap(),
        };
        let (name, secret) = ("crm".parse().unwrap(), |text: &str| {
            Secret::new(text.as_bytes().to_vec())
        });
        let (operator, host) = (
            open(&deployment).unwrap(),
            InVault::new(&deployment).unwrap(),
        );
        operator.set(&name, secret("one"), None).unwrap();
        assert!(host.replace(&name, &secret("one"), secret("two")).unwrap());
        operator
            .rotate(&name, secret("theirs"), None, Duration::ZERO)
            .unwrap();
        assert!(
            !host
                .replace(&name, &secret("two"), secret("three"))
                .unwrap()
        );
        let found = host.get(&name).unwrap().unwrap();
        assert_eq!(found.expose(), b"theirs");
        let mut told = Vec::new();
        let tell = |entry: &crate::audit::Entry| {
            if entry.action == "secret.rotated" {
                told.push((entry.actor.clone(), entry.fields["secret"].clone()));
            }
            Ok(())
        };
        crate::audit::each(&deployment, &crate::audit::Filter::default(), tell).unwrap();
        assert_eq!(told, [("host".to_owned(), "crm".to_owned())]);
    }
}
