//! Secrets that the plugin itself may see. The one place that says so.

use super::Effective;
use crate::refuse;
use sluice_model::ids::SecretName;
use sluice_model::ports::Refusal;

impl Effective {
    /// May it be given the value of this secret? None where it may, but the secret is optional and the pipeline names
    /// none for it.
    ///
    /// Invariant: only where manifest and grant both say `use = "reveal"` and the policy lets it (tests:
    /// `a_secret_is_revealed_only_where_both_files_say_so`, `a_secret_is_shown_to_whom_the_policy_names`).
    pub fn may_reveal(&self, name: &str) -> Result<Option<SecretName>, Refusal> {
        let is = |secrets: &[SecretName]| secrets.iter().any(|secret| secret.as_str() == name);
        if is(&self.unnamed_reveals) {
            return Ok(None);
        }
        let mut asked = self.asked_reveals.iter();
        let Some(secret) = asked.find(|secret| secret.as_str() == name) else {
            return Err(refuse::reveal(self.manifest(), name));
        };
        if !is(&self.granted_reveals) {
            return Err(refuse::reveal(self.grant(), name));
        }
        self.policy.may_reveal(&self.plugin, secret)?;
        Ok(Some(secret.clone()))
    }

    /// Whether it is to be given the value of any secret.
    pub fn reveals(&self) -> bool {
        !self.asked_reveals.is_empty() || !self.unnamed_reveals.is_empty()
    }
}
