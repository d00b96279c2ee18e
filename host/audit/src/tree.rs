//! The Merkle tree of RFC 6962 over the entries' hashes, as it grows: only its peaks are kept, one for each bit of
//! its size. Its root is what a checkpoint signs.

use crate::hash::Hash;

/// A tree of so many entries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Tree {
    size: u64,
    /// Roots of the full trees it is made of, the largest first.
    peaks: Vec<Hash>,
}

impl Tree {
    /// A tree of which only size and peaks are known; none where there cannot be so many.
    pub(crate) fn of(size: u64, peaks: Vec<Hash>) -> Option<Self> {
        (peaks.len() == size.count_ones() as usize).then_some(Self { size, peaks })
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn peaks(&self) -> &[Hash] {
        &self.peaks
    }

    pub(crate) fn push(&mut self, leaf: Hash) {
        let mut right = leaf;
        // Each full tree that ends here joins the one before it.
        for _ in 0..self.size.trailing_ones() {
            let left = self.peaks.pop().expect("one peak for each bit of the size");
            right = Hash::node(left, right);
        }
        self.peaks.push(right);
        self.size += 1;
    }

    pub(crate) fn root(&self) -> Hash {
        let mut peaks = self.peaks.iter().rev().copied();
        let Some(last) = peaks.next() else {
            return Hash::empty();
        };
        peaks.fold(last, |right, left| Hash::node(left, right))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962, section 2.1, word for word.
    fn by_the_book(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Hash::empty(),
            [one] => *one,
            more => {
                let split = more.len().next_power_of_two() / 2;
                Hash::node(by_the_book(&more[..split]), by_the_book(&more[split..]))
            }
        }
    }

    #[test]
    fn grows_as_the_rfc_says() {
        let leaves: Vec<Hash> = (0..70_u8).map(|at| Hash::leaf(&[at])).collect();
        let mut tree = Tree::default();
        for (at, leaf) in leaves.iter().enumerate() {
            assert_eq!(tree.root(), by_the_book(&leaves[..at]), "{at}");
            assert_eq!(
                Tree::of(tree.size(), tree.peaks().to_vec()),
                Some(tree.clone())
            );
            tree.push(*leaf);
        }
        assert_eq!(Tree::of(3, vec![Hash::empty()]), None);
    }
}
