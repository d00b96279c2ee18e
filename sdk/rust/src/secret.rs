//! Secrets that the plugin itself must know, for those whose manifest declares a `[[secret]]` with `use = "reveal"`: a
//! database's password, say. What an HTTP request needs is attached by the host and never comes here.

use crate::Fault;
use crate::bindings::capabilities::sluice::plugin::secrets as wire;
use std::fmt;
use zeroize::Zeroizing;

pub use wire::SecretError;

/// A secret's value. Wiped from the plugin's memory when it is dropped, and not to be printed by accident.
#[derive(Clone)]
pub struct Revealed(Zeroizing<Vec<u8>>);

impl Revealed {
    /// The value, byte by byte.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value as text; [`Fault::Misconfigured`] where it is none.
    pub fn text(&self) -> Result<&str, Fault> {
        std::str::from_utf8(&self.0).map_err(|_| Fault::misconfigured("the secret is not text"))
    }
}

impl fmt::Debug for Revealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// The value as it is now. Ask for it at each login, and a rotation takes effect without a restart; every call is
/// recorded, and an instance may make 100. A secret that the pipeline does not name is [`Fault::Misconfigured`].
pub fn reveal(name: &str) -> Result<Revealed, Fault> {
    reveal_optional(name)?
        .ok_or_else(|| Fault::misconfigured(format!("the pipeline names no secret for `{name}`")))
}

/// The same for a secret with `optional = true`: none where the pipeline names none.
pub fn reveal_optional(name: &str) -> Result<Option<Revealed>, Fault> {
    #[cfg(target_family = "wasm")]
    let value = wire::reveal(name)?;
    #[cfg(not(target_family = "wasm"))]
    let value = crate::testing::reveal(name)?;
    Ok(value.map(|value| Revealed(Zeroizing::new(value))))
}

impl From<SecretError> for Fault {
    fn from(error: SecretError) -> Self {
        match error {
            SecretError::Denied(text) => Self::denied(text),
            SecretError::Unavailable(text) => Self::transient(text),
            SecretError::Limit(text) => Self::broken(text),
        }
    }
}
