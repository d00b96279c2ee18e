//! The key of a deployment: where it comes from, and what it does. It wraps other keys and seals no data itself, so
//! that changing it rewrites small files only.

mod file;
mod kek;
mod source;

pub use file::{make_key_file, next_key_file, promote_key_file};
pub use kek::{Kek, KeyId, is_key};
pub use source::{Credential, Environment, KeyFile, KeySource};

pub(crate) use kek::{KeyBytes, NoRandom, aad, aead_key, random};

/// Why there is no key to work with. Never says anything of a key's bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct KeyError {
    /// The file, credential or variable, as messages name it.
    pub place: String,
    /// What is wrong.
    pub reason: String,
    /// The next step.
    pub hint: Option<String>,
    /// Whether there is simply nothing in that place.
    pub is_missing: bool,
}

impl KeyError {
    pub(crate) fn new(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            place: place.into(),
            reason: reason.into(),
            hint: None,
            is_missing: false,
        }
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// What was sealed with a key that is none of those at hand.
    pub(crate) fn wrong(place: &str, sealed: &str, with: KeyId, found: &[Kek]) -> Self {
        let found: Vec<String> = found.iter().map(|kek| format!("`{}`", kek.id())).collect();
        Self::new(
            place,
            format!(
                "this is key {}, and {sealed} is sealed with key `{with}`",
                found.join(" and ")
            ),
        )
        .hint(format!(
            "put key `{with}` back: nothing else opens what is there, and nothing was changed"
        ))
    }
}
