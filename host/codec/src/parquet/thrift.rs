//! As much of Thrift's compact protocol as it takes to see how large the pages of a column say they are, before
//! anything makes room for them.
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

/// Structs inside one another. Parquet's page headers have four.
const DEPTH_MAX: usize = 16;

/// A value's kind, as a field's header has it.
type Kind = u8;

const STOP: Kind = 0;
const TRUE: Kind = 1;
const FALSE: Kind = 2;
const BYTE: Kind = 3;
const I16: Kind = 4;
const I64: Kind = 6;
const DOUBLE: Kind = 7;
const BINARY: Kind = 8;
const LIST: Kind = 9;
const SET: Kind = 10;
const MAP: Kind = 11;
const STRUCT: Kind = 12;

/// Reads from the beginning of some bytes. None of what it gives is more than the bytes say.
#[derive(Debug, Clone, Copy)]
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Compact<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// The next field of a struct: its kind and its id. At the struct's end its kind is [`STOP`].
    fn field(&mut self, last: &mut i64) -> Option<(Kind, i64)> {
        let head = self.byte()?;
        if head & 0x0f == STOP {
            return Some((STOP, *last));
        }
        *last = match head >> 4 {
            0 => self.signed()?,
            delta => last.checked_add(delta.into())?,
        };
        Some((head & 0x0f, *last))
    }

    fn step(&mut self, bytes: u64) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = Some(at).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    /// Steps over a value inside a list or a map, where a truth value takes a byte: each takes one at least, so that no
    /// count outlasts the bytes.
    fn skip_element(&mut self, kind: Kind, depth: usize) -> Option<()> {
        match kind {
            TRUE | FALSE => self.step(1),
            kind => self.skip(kind, depth + 1),
        }
    }

    fn skip(&mut self, kind: Kind, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match kind {
            TRUE | FALSE => Some(()),
            BYTE => self.step(1),
            I16..=I64 => self.unsigned().map(|_| ()),
            DOUBLE => self.step(8),
            BINARY => {
                let bytes = self.unsigned()?;
                self.step(bytes)
            }
            LIST | SET => {
                let head = self.byte()?;
                let count = match head >> 4 {
                    15 => self.unsigned()?,
                    count => count.into(),
                };
                (0..count).try_for_each(|_| self.skip_element(head & 0x0f, depth))
            }
            MAP => {
                let count = self.unsigned()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0f, depth)
                })
            }
            STRUCT => {
                let mut last = 0;
                loop {
                    let (kind, _) = self.field(&mut last)?;
                    if kind == STOP {
                        break;
                    }
                    self.skip(kind, depth + 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

/// What the header of one page says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageHeader {
    /// How long the header is.
    pub bytes: usize,
    /// The page's bytes, unpacked.
    pub unpacked: usize,
    /// The page's bytes as they lie in the file.
    pub packed: usize,
    /// Values of a data page; none of any other.
    pub values: Option<u64>,
}

/// Reads the `PageHeader` that stands here. None where there is none.
pub fn page_header(bytes: &[u8]) -> Option<PageHeader> {
    let mut input = Compact { bytes, at: 0 };
    let mut header = PageHeader::default();
    let (mut unpacked, mut packed) = (None, None);
    let mut last = 0;
    loop {
        let (kind, id) = input.field(&mut last)?;
        if kind == STOP {
            break;
        }
        match (id, kind) {
            (2, I16..=I64) => unpacked = Some(usize::try_from(input.signed()?).ok()?),
            (3, I16..=I64) => packed = Some(usize::try_from(input.signed()?).ok()?),
            // `DataPageHeader` and `DataPageHeaderV2`: their first field is the number of values.
            (5 | 8, STRUCT) => header.values = Some(first_number(&mut input)?),
            _ => input.skip(kind, 0)?,
        }
    }
    header.bytes = input.at;
    header.unpacked = unpacked?;
    header.packed = packed?;
    Some(header)
}

fn first_number(input: &mut Compact<'_>) -> Option<u64> {
    let (mut found, mut last) = (None, 0);
    loop {
        let (kind, id) = input.field(&mut last)?;
        if kind == STOP {
            break;
        }
        if id == 1 && (I16..=I64).contains(&kind) {
            found = Some(u64::try_from(input.signed()?).ok()?);
        } else {
            input.skip(kind, 1)?;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_header_says_how_large_its_page_is() {
        // {1: 0, 2: 1000, 3: 40, 5: {1: 7, 2: 0}}
        let bytes = [
            0x15, 0, 0x15, 0xd0, 0x0f, 0x15, 80, 0x2c, 0x15, 14, 0x15, 0, 0, 0, 9,
        ];
        let header = page_header(&bytes).expect("a header");
        let expected = PageHeader {
            bytes: 14,
            unpacked: 1000,
            packed: 40,
            values: Some(7),
        };
        assert_eq!(header, expected);
        assert_eq!(page_header(&bytes[..13]), None);
        // A map of as many truths as there are numbers, in two bytes.
        let map = [
            0xfb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0x11, 0, 0,
        ];
        assert_eq!(page_header(&map), None);
        // A page of minus one byte.
        assert_eq!(page_header(&[0x25, 1, 0x15, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_end(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = page_header(&bytes);
        }
    }
}
