//! The Merkle tree of RFC 6962: full trees side by side, two of a height becoming one of the next.

use crate::entry::hex;
use sha2::{Digest as _, Sha256};

#[derive(Default)]
pub(crate) struct Tree {
    full: Vec<(u32, [u8; 32])>,
    size: u64,
}

impl Tree {
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn push(&mut self, leaf: [u8; 32]) {
        self.size += 1;
        self.full.push((0, leaf));
        while let [.., (left_height, left), (height, right)] = self.full[..]
            && left_height == height
        {
            self.full.truncate(self.full.len() - 2);
            self.full.push((height + 1, join(left, right)));
        }
    }

    pub(crate) fn root(&self) -> [u8; 32] {
        let hashes = self.full.iter().map(|(_, hash)| *hash);
        hashes
            .rev()
            .reduce(|right, left| join(left, right))
            .unwrap_or_else(|| Sha256::digest([]).into())
    }

    pub(crate) fn peaks_hex(&self) -> String {
        self.full.iter().map(|(_, hash)| hex(hash)).collect()
    }
}

fn join(left: [u8; 32], right: [u8; 32]) -> [u8; 32] {
    Sha256::new()
        .chain_update([1])
        .chain_update(left)
        .chain_update(right)
        .finalize()
        .into()
}
