//! Secrets that the plugin itself may see. The one place that says so.

use super::Effective;
use crate::refuse;
use sluice_model::guards::Guard;
use sluice_model::ids::SecretName;
use sluice_model::ports::Refusal;

impl Effective {
    /// May it be given the value of this secret? None where it may, but the secret is optional and the pipeline names
    /// none for it.
    ///
    /// Invariant: only where manifest and grant both say `use = "reveal"` and the policy lets it (tests:
    /// `a_secret_is_revealed_only_where_both_files_say_so`, `a_secret_is_shown_to_whom_the_policy_names`).
    pub fn may_reveal(&self, name: &str) -> Result<Option<SecretName>, Refusal> {
        let mut unnamed = self.unnamed_reveals.iter();
        if unnamed.any(|secret| secret.as_str() == name) {
            return Ok(None);
        }
        let named = |secret: &&SecretName| secret.as_str() == name;
        let asked = self.asked_reveals.iter().find(named);
        let granted = self.granted_reveals.iter().find(named);
        let secret = match (asked, granted) {
            (Some(secret), Some(_)) => secret,
            (None, Some(secret)) if !Guard::RevealAsked.stands() => secret,
            (Some(secret), None) if !Guard::RevealGranted.stands() => secret,
            (None, _) => return Err(refuse::reveal(self.manifest(), name)),
            (Some(_), None) => return Err(refuse::reveal(self.grant(), name)),
        };
        self.policy.may_reveal(&self.plugin, secret)?;
        Ok(Some(secret.clone()))
    }

    /// Whether it is to be given the value of any secret.
    pub fn reveals(&self) -> bool {
        !self.asked_reveals.is_empty() || !self.unnamed_reveals.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_model::grant::Grant;
    use sluice_model::ids::Role;
    use std::path::Path;

    const GRANT: &str = r#"
[grant]
plugin = "acme/db"
version = "1.4.0"
digest = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
pipeline = "crm"

[[secret]]
name = "password"
use = "reveal"
"#;

    /// A grant without a secret that is asked for keeps the stage from starting; this holds without that.
    #[test]
    fn the_grant_is_asked_at_each_use() {
        let grant = Grant::parse("grant.toml", GRANT).expect("a grant");
        let alone = Effective::of_grant_alone(&grant, Role::Source, Path::new("/"));
        let mut effective = alone.expect("it covers itself");
        assert!(effective.may_reveal("password").is_ok());
        effective.granted_reveals.clear();
        let refusal = effective.may_reveal("password").expect_err("refused");
        assert!(refusal.reason.contains("grant"), "{}", refusal.reason);
    }
}
