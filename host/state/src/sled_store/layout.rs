//! How values lie in sled's one tree: small ones under their key, larger ones as a header there and chunks of their
//! own, so that no page of the engine grows to where it would leave the log (it does not make those durable).
//!
//! A chunk's key carries the number of the commit that wrote it, so a reader never mixes two versions.

use sluice_model::ports::Namespace;

/// The most that stands under one key. With 17 of them on a page, a page stays far below a quarter of a segment.
pub(super) const CHUNK_BYTES: usize = 30 << 10;

const INLINE: u8 = 0;
const CHUNKED: u8 = 1;
const CHUNK_SPACE: u8 = 0xF0;
/// Where the number of the last commit stands.
pub(super) const COMMIT_KEY: &[u8] = b"\xFEcommit";
/// Where the version of this layout stands.
pub(super) const LAYOUT_KEY: &[u8] = b"\xFElayout";
/// This layout.
pub(super) const LAYOUT_VERSION: &[u8] = b"1";

/// What stands under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Inline(Vec<u8>),
    Chunked(Chunked),
}

/// Where the chunks of a value are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunked {
    /// Unique to this value for ever: the commit that wrote it, and the write's place in that commit.
    pub generation: (u64, u32),
    pub count: u32,
}

impl Entry {
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Entry::Inline(value) => [&[INLINE], value.as_slice()].concat(),
            Entry::Chunked(chunked) => {
                let (commit, write) = chunked.generation;
                let mut bytes = vec![CHUNKED];
                bytes.extend(commit.to_be_bytes());
                bytes.extend(write.to_be_bytes());
                bytes.extend(chunked.count.to_be_bytes());
                bytes
            }
        }
    }

    /// None where it is not what this layout writes.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&INLINE, value) => Some(Entry::Inline(value.to_vec())),
            (&CHUNKED, rest) => {
                let (commit, rest) = rest.split_first_chunk::<8>()?;
                let (write, rest) = rest.split_first_chunk::<4>()?;
                let (count, rest) = rest.split_first_chunk::<4>()?;
                let generation = (u64::from_be_bytes(*commit), u32::from_be_bytes(*write));
                let chunked = Chunked {
                    generation,
                    count: u32::from_be_bytes(*count),
                };
                rest.is_empty().then_some(Entry::Chunked(chunked))
            }
            _ => None,
        }
    }
}

impl Chunked {
    pub fn keys(self) -> impl Iterator<Item = Vec<u8>> {
        let (commit, write) = self.generation;
        (0..self.count).map(move |index| {
            let mut key = vec![CHUNK_SPACE];
            key.extend(commit.to_be_bytes());
            key.extend(write.to_be_bytes());
            key.extend(index.to_be_bytes());
            key
        })
    }
}

/// A namespace's first byte.
pub(super) fn space(namespace: Namespace) -> u8 {
    match namespace {
        Namespace::Checkpoint => 1,
        Namespace::DeadLetter => 2,
        Namespace::Meta => 3,
    }
}

/// The key in the tree.
pub(super) fn tree_key(namespace: Namespace, key: &[u8]) -> Vec<u8> {
    [&[space(namespace)], key].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_back() {
        let chunked = Chunked {
            generation: (u64::MAX, 7),
            count: 3,
        };
        for entry in [
            Entry::Inline(vec![]),
            Entry::Inline(vec![1, 2]),
            Entry::Chunked(chunked),
        ] {
            assert_eq!(Entry::decode(&entry.encode()), Some(entry));
        }
        for bad in [
            &b""[..],
            b"\x02",
            b"\x01",
            b"\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert_eq!(Entry::decode(bad), None, "{bad:?}");
        }
    }
}
