//! One bit a row: which rows stay, which rows have a value. Least significant bit first, as Arrow has it.

/// One bit a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    bytes: Vec<u8>,
    rows: usize,
}

impl Mask {
    /// Every bit set.
    pub fn all(rows: usize) -> Self {
        let mut mask = Self {
            bytes: vec![0xff; rows.div_ceil(8)],
            rows,
        };
        mask.clear_tail();
        mask
    }

    /// No bit set.
    pub fn none(rows: usize) -> Self {
        Self {
            bytes: vec![0; rows.div_ceil(8)],
            rows,
        }
    }

    /// The bits that `set` answers for each row: eight at a time, with no branch on the answer.
    pub fn from_fn(rows: usize, mut set: impl FnMut(usize) -> bool) -> Self {
        let mut byte = |from: usize, bits: usize| {
            (0..bits).fold(0, |byte, bit| byte | u8::from(set(from + bit)) << bit)
        };
        // Whole bytes first: eight answers without a branch or a bound between them.
        let mut bytes: Vec<u8> = Vec::with_capacity(rows.div_ceil(8));
        bytes.extend((0..rows / 8).map(|at| byte(at * 8, 8)));
        if !rows.is_multiple_of(8) {
            bytes.push(byte(rows / 8 * 8, rows % 8));
        }
        Self { bytes, rows }
    }

    /// Bits as they cross the boundary: `rows.div_ceil(8)` bytes. Missing bytes count as unset.
    pub fn from_bytes(mut bytes: Vec<u8>, rows: usize) -> Self {
        bytes.resize(rows.div_ceil(8), 0);
        let mut mask = Self { bytes, rows };
        mask.clear_tail();
        mask
    }

    /// How many rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether the bit of this row is set. A row that does not exist is not.
    #[inline]
    pub fn get(&self, row: usize) -> bool {
        self.bytes
            .get(row >> 3)
            .is_some_and(|byte| byte >> (row & 7) & 1 == 1)
    }

    /// Sets the bit of a row to `value`; `row` must exist.
    #[inline]
    pub fn set(&mut self, row: usize, value: bool) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let bit = 1 << (row & 7);
        if value {
            self.bytes[row >> 3] |= bit;
        } else {
            self.bytes[row >> 3] &= !bit;
        }
    }

    /// How many bits are set.
    pub fn count(&self) -> usize {
        self.bytes
            .iter()
            .map(|byte| byte.count_ones() as usize)
            .sum()
    }

    /// Whether every bit is set.
    pub fn is_all(&self) -> bool {
        self.count() == self.rows
    }

    /// Keeps the bits that are set in both. Both have the same number of rows.
    pub fn and(&mut self, other: &Self) {
        for (byte, other) in self.bytes.iter_mut().zip(&other.bytes) {
            *byte &= other;
        }
    }

    /// Keeps the bits that are set in either. Both have the same number of rows.
    pub fn or(&mut self, other: &Self) {
        for (byte, other) in self.bytes.iter_mut().zip(&other.bytes) {
            *byte |= other;
        }
    }

    /// The bits that are not set.
    #[must_use]
    pub fn inverted(mut self) -> Self {
        for byte in &mut self.bytes {
            *byte = !*byte;
        }
        self.clear_tail();
        self
    }

    /// The rows whose bit is set, in order.
    pub fn ones(&self) -> impl Iterator<Item = usize> + '_ {
        self.bytes.iter().enumerate().flat_map(|(at, byte)| {
            let mut rest = *byte;
            std::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                (rest != 0).then(|| {
                    rest &= rest - 1;
                    at * 8 + bit as usize
                })
            })
        })
    }

    /// The bits as they cross the boundary.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bits as they cross the boundary.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Adds one row.
    pub(crate) fn push(&mut self, value: bool) {
        if self.rows.is_multiple_of(8) {
            self.bytes.push(0);
        }
        self.rows += 1;
        self.set(self.rows - 1, value);
    }

    /// Invariant: bits behind the last row are zero, so that `count` counts rows.
    fn clear_tail(&mut self) {
        if let (Some(last), used @ 1..) = (self.bytes.last_mut(), self.rows & 7) {
            *last &= (1 << used) - 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_rows() {
        for rows in [0, 1, 7, 8, 9, 64, 1023] {
            let thirds = Mask::from_fn(rows, |row| row % 3 == 0);
            assert_eq!(
                thirds.ones().collect::<Vec<_>>(),
                (0..rows).step_by(3).collect::<Vec<_>>()
            );
            assert_eq!(thirds.count(), rows.div_ceil(3));
            assert_eq!(
                thirds.clone().inverted().count(),
                rows - rows.div_ceil(3),
                "{rows}"
            );
            assert!(Mask::all(rows).is_all() && Mask::none(rows).count() == 0);
            assert_eq!(Mask::from_bytes(vec![0xff; 200], rows).count(), rows);
            let mut pushed = Mask::none(0);
            (0..rows).for_each(|row| pushed.push(row % 3 == 0));
            assert_eq!(pushed, thirds);
        }
    }

    #[test]
    fn masks_combine() {
        let (twos, threes) = (
            Mask::from_fn(20, |row| row % 2 == 0),
            Mask::from_fn(20, |row| row % 3 == 0),
        );
        let mut both = twos.clone();
        both.and(&threes);
        assert_eq!(both.ones().collect::<Vec<_>>(), [0, 6, 12, 18]);
        let mut either = twos;
        either.or(&threes);
        assert_eq!(either.count(), 13);
    }
}
