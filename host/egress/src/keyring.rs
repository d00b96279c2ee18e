//! A stage's secrets as they are now: asked of their provider at each use, off the async threads, and each use told.

use crate::echo::Forms;
use ring::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use sluice_model::ids::{SecretName, StageId};
use sluice_model::ports::{Observer, SecretError, Secrets, Used};
use sluice_model::secret::Secret;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What one set of values is known by. Not a secret: it is a hash that is never shown.
pub(crate) type Mark = [u8; SHA256_OUTPUT_LEN];

/// The forms of the values with that mark; none where they are too short to be looked for.
type Known = (Mark, Option<Arc<Forms>>);

/// See the module. Holds secrets' forms, so it has no `Debug`.
pub(crate) struct Keyring {
    provider: Arc<dyn Secrets>,
    observer: Arc<dyn Observer>,
    stage: StageId,
    /// How each secret's present values could stand in an answer.
    forms: Mutex<HashMap<SecretName, Known>>,
}

impl Keyring {
    pub(crate) fn new(
        provider: Arc<dyn Secrets>,
        observer: Arc<dyn Observer>,
        stage: StageId,
    ) -> Self {
        Self {
            provider,
            observer,
            stage,
            forms: Mutex::default(),
        }
    }

    /// The value as it is now; none where the pipeline names none.
    pub(crate) async fn get(&self, name: &SecretName) -> Result<Option<Secret>, SecretError> {
        let asked = name.clone();
        self.ask(name, move |provider| provider.get(&asked)).await
    }

    /// Puts a new value in the place of this one: durable when this returns. No, where it has another by now.
    pub(crate) async fn replace(
        &self,
        name: &SecretName,
        old: Secret,
        value: Secret,
    ) -> Result<bool, SecretError> {
        let asked = name.clone();
        self.ask(name, move |provider| provider.replace(&asked, &old, value))
            .await
    }

    async fn ask<T: Send + 'static>(
        &self,
        name: &SecretName,
        ask: impl FnOnce(&dyn Secrets) -> Result<T, SecretError> + Send + 'static,
    ) -> Result<T, SecretError> {
        let provider = Arc::clone(&self.provider);
        let asked = tokio::task::spawn_blocking(move || ask(&*provider)).await;
        asked.unwrap_or_else(|_| {
            Err(SecretError {
                name: name.clone(),
                reason: "its provider broke down".to_owned(),
            })
        })
    }

    /// Tells that it went out, or signed, or was traded.
    pub(crate) fn used(&self, name: &SecretName) {
        let used = Used {
            capability: "secret",
            name: name.as_str(),
            times: 1,
            bytes_out: 0,
            bytes_in: 0,
        };
        self.observer.used(self.stage, &used);
    }

    /// What to look for in an answer, made anew only where a value has changed.
    pub(crate) fn forms(&self, name: &SecretName, values: &[&[u8]]) -> Option<Arc<Forms>> {
        let mark = mark(values);
        let mut known = self.forms.lock().unwrap_or_else(PoisonError::into_inner);
        match known.get(name) {
            Some((of, forms)) if *of == mark => forms.clone(),
            _ => {
                let forms = Forms::of(values).map(Arc::new);
                known.insert(name.clone(), (mark, forms.clone()));
                forms
            }
        }
    }
}

/// Tells sets of values apart.
pub(crate) fn mark(values: &[&[u8]]) -> Mark {
    let mut context = Context::new(&SHA256);
    for value in values {
        context.update(&(value.len() as u64).to_be_bytes());
        context.update(value);
    }
    let mut mark = Mark::default();
    mark.copy_from_slice(context.finish().as_ref());
    mark
}
