//! SHA-256 with its domains kept apart: the hash of an entry can never be taken for the hash of two hashes.

use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Before an entry, as RFC 6962 has it before a leaf.
const LEAF: u8 = 0;
/// Before two hashes, as RFC 6962 has it before a node.
const NODE: u8 = 1;

/// A SHA-256, written as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Hash(pub(crate) [u8; 32]);

impl Hash {
    /// What stands before the first entry.
    pub(crate) const NONE: Self = Self([0; 32]);

    pub(crate) fn leaf(entry: &[u8]) -> Self {
        Self::of(&[&[LEAF], entry])
    }

    pub(crate) fn node(left: Self, right: Self) -> Self {
        Self::of(&[&[NODE], &left.0, &right.0])
    }

    /// Of nothing at all.
    pub(crate) fn empty() -> Self {
        Self::of(&[])
    }

    fn of(parts: &[&[u8]]) -> Self {
        let mut context = Context::new(&SHA256);
        for part in parts {
            context.update(part);
        }
        Self::try_from(context.finish().as_ref()).expect("SHA-256 gives 32 bytes")
    }
}

impl TryFrom<&[u8]> for Hash {
    type Error = std::array::TryFromSliceError;
    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        bytes.try_into().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> String {
        hash.to_string()
    }
}

/// Not a hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a hash is 64 lower-case hexadecimal digits")]
pub struct HashError;

impl TryFrom<String> for Hash {
    type Error = HashError;
    fn try_from(text: String) -> Result<Self, HashError> {
        let digit = |byte: &u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != 32 || !rest.is_empty() {
            return Err(HashError);
        }
        let mut bytes = [0; 32];
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte = digit(high).ok_or(HashError)? << 4 | digit(low).ok_or(HashError)?;
        }
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_back() {
        let hash = Hash::empty();
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(hash.to_string(), text);
        assert_eq!(Hash::try_from(text.to_owned()), Ok(hash));
        for bad in ["", "e3", &text.to_uppercase(), &text.replace('e', "g")] {
            assert_eq!(Hash::try_from(bad.to_owned()), Err(HashError), "{bad}");
        }
    }

    #[test]
    fn a_leaf_is_no_node() {
        let (a, b) = (Hash::leaf(b"a"), Hash::leaf(b"b"));
        assert_ne!(Hash::node(a, b), Hash::leaf(&[a.0, b.0].concat()));
        assert_ne!(Hash::node(a, b), Hash::node(b, a));
    }
}
