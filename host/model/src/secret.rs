//! The one type that holds a secret. It cannot be printed, logged or serialised by accident.
//!
//! Invariant: `Debug`, `Display` and `Serialize` never show the value (test: `no_format_shows_the_value`).

use serde::{Serialize, Serializer};
use std::fmt;
use zeroize::Zeroizing;

/// A secret's value. Wiped from memory when dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

const SHOWN: &str = "[secret]";

impl Secret {
    /// Takes the value over.
    pub fn new(value: Vec<u8>) -> Self {
        Self(Zeroizing::new(value))
    }

    /// The value itself, for the one place that puts it on the wire.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(SHOWN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(SHOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_format_shows_the_value() {
        let secret = Secret::new(b"hunter2".to_vec());
        for text in [
            format!("{secret}"),
            format!("{secret:?}"),
            format!("{secret:#?}"),
            format!("{:?}", Some(&secret)),
            serde_json::to_string(&secret).expect("a string"),
        ] {
            assert!(!text.contains("hunter2") && text.contains(SHOWN), "{text}");
        }
        assert_eq!(secret.expose(), b"hunter2");
    }
}
