//! Secrets that the plugin itself is given: decided, recorded, fetched as they are now, and told. The value leaves the
//! host here and nowhere else; what the guest does with it is the guest's.

use crate::bindings::imports::secrets::{self as wit, SecretError};
use crate::guest::Guest;
use sluice_model::guards::Guard;
use sluice_model::ids::SecretName;
use sluice_model::limits::REVEALS_MAX;
use sluice_model::ports::{Secrets, Used};
use sluice_model::secret::Secret;
use sluice_policy::missing_secret;
use std::sync::Arc;

/// Where an instance's secrets come from, and how often it has asked.
pub(crate) struct Revealing {
    provider: Option<Arc<dyn Secrets>>,
    asked: u32,
}

impl Revealing {
    pub(crate) fn new(provider: Option<Arc<dyn Secrets>>) -> Self {
        Self { provider, asked: 0 }
    }
}

impl Guest {
    async fn value(&mut self, name: &str) -> Result<Option<Secret>, SecretError> {
        if self.revealing.asked >= Guard::Reveals.limit(REVEALS_MAX) {
            return Err(SecretError::Limit(format!(
                "an instance may have {REVEALS_MAX} secrets revealed: keep what it was given"
            )));
        }
        self.revealing.asked += 1;
        let permitted = self.effective.may_reveal(name);
        let permitted = permitted.map_err(|refusal| SecretError::Denied(self.refused(&refusal)))?;
        let Some(secret) = permitted else {
            return Ok(None);
        };
        let fetched = self.fetch(&secret).await;
        let Some(value) = fetched.map_err(SecretError::Unavailable)? else {
            let effective = &self.effective;
            let refusal = missing_secret(&effective.plugin, &effective.pipeline, &secret);
            return Err(SecretError::Denied(self.refused(&refusal)));
        };
        let used = Used {
            capability: "secret.reveal",
            name: secret.as_str(),
            times: 1,
            bytes_out: 0,
            bytes_in: 0,
        };
        self.observer.used(self.stage(), &used);
        Ok(Some(value))
    }

    /// Records that it is about to be given, then fetches it: off the async threads, for either may wait for a disk.
    async fn fetch(&mut self, secret: &SecretName) -> Result<Option<Secret>, String> {
        let (observer, stage) = (Arc::clone(&self.observer), self.stage());
        let (provider, secret) = (self.revealing.provider.clone(), secret.clone());
        let fetched = tokio::task::spawn_blocking(move || {
            let told = observer.reveals(stage, &secret);
            if Guard::RevealTold.stands() {
                told.map_err(|reason| format!("secret `{secret}` cannot be revealed: {reason}"))?;
            }
            match provider {
                Some(provider) => provider.get(&secret).map_err(|error| error.to_string()),
                None => Ok(None),
            }
        });
        fetched
            .await
            .unwrap_or_else(|_| Err("the provider of secrets broke down".to_owned()))
    }
}

impl wit::Host for Guest {
    async fn reveal(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Option<Vec<u8>>, SecretError>> {
        let value = self.value(&name).await;
        Ok(value.map(|value| value.map(|value| value.expose().to_vec())))
    }
}
