//! Where the row groups of a Parquet file lie, for a source that hands them over one by one. Nothing of the records is
//! read here: the host decodes them, from a [`Document::parquet`](crate::source::Document::parquet).
//!
//! A file ends in its footer: read the last [`TAIL_BYTES`] bytes, ask [`footer_bytes`] how long the footer is, and give
//! those bytes from the end to [`row_groups`].

use crate::Fault;

/// What stands behind a footer's metadata: their length, and four letters.
pub const TAIL_BYTES: usize = 8;

/// The longest footer that the host reads.
pub const FOOTER_BYTES_MAX: usize = 1 << 20;

/// The largest row group that the host takes, packed as it lies in the file.
pub const GROUP_BYTES_MAX: u64 = 48 << 20;

/// Structs and lists inside one another. Parquet's have seven.
const DEPTH_MAX: usize = 16;

/// A row group of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RowGroup {
    /// Where its bytes begin in the file.
    pub start: u64,
    /// Where they end.
    pub end: u64,
    /// Its rows.
    pub rows: u64,
    /// Its columns.
    pub columns: usize,
    /// What its pages take, unpacked.
    pub unpacked_bytes: u64,
}

/// How long the footer is, its tail included, as the last bytes of the file say.
pub fn footer_bytes(tail: &[u8]) -> Result<usize, Fault> {
    let tail = tail
        .last_chunk::<TAIL_BYTES>()
        .filter(|tail| tail.ends_with(b"PAR1"))
        .ok_or_else(|| Fault::broken("it does not end as Parquet does"))?;
    let [a, b, c, d, ..] = *tail;
    let bytes = (u32::from_le_bytes([a, b, c, d]) as usize).saturating_add(TAIL_BYTES);
    if bytes > FOOTER_BYTES_MAX {
        return Err(Fault::broken(format!(
            "its footer has {bytes} bytes; at most {FOOTER_BYTES_MAX} are read: have it written in fewer row groups"
        )));
    }
    Ok(bytes)
}

/// The row groups that a footer names, in their order.
pub fn row_groups(footer: &[u8]) -> Result<Vec<RowGroup>, Fault> {
    let metadata = &footer[..footer.len().saturating_sub(TAIL_BYTES)];
    let mut input = Compact {
        bytes: metadata,
        at: 0,
    };
    let mut groups = Vec::new();
    let read = input.each_field(0, |input, id, kind| match (id, kind) {
        (4, LIST) => input.each_element(|input, _| {
            groups.push(row_group(input)?);
            Some(())
        }),
        _ => input.skip(kind, 1),
    });
    match read {
        Some(()) => Ok(groups),
        None => Err(Fault::broken("its footer is damaged")),
    }
}

fn row_group(input: &mut Compact<'_>) -> Option<RowGroup> {
    let mut group = RowGroup {
        start: u64::MAX,
        ..RowGroup::default()
    };
    input.each_field(1, |input, id, kind| match (id, kind) {
        (1, LIST) => input.each_element(|input, _| {
            input.each_field(2, |input, id, kind| match (id, kind) {
                (3, STRUCT) => column(input, &mut group),
                _ => input.skip(kind, 3),
            })
        }),
        (3, I16..=I64) => {
            group.rows = u64::try_from(input.signed()?).ok()?;
            Some(())
        }
        _ => input.skip(kind, 2),
    })?;
    group.start = group.start.min(group.end);
    Some(group)
}

fn column(input: &mut Compact<'_>, group: &mut RowGroup) -> Option<()> {
    let (mut unpacked, mut packed, mut data, mut dictionary) = (0, 0, None, None);
    input.each_field(3, |input, id, kind| {
        if !(I16..=I64).contains(&kind) {
            return input.skip(kind, 4);
        }
        let number = input.signed()?;
        match id {
            6 => unpacked = u64::try_from(number).ok()?,
            7 => packed = u64::try_from(number).ok()?,
            9 => data = Some(u64::try_from(number).ok()?),
            11 => dictionary = Some(u64::try_from(number).ok()?),
            _ => {}
        }
        Some(())
    })?;
    let start = dictionary.or(data)?;
    group.start = group.start.min(start);
    group.end = group.end.max(start.checked_add(packed)?);
    group.unpacked_bytes = group.unpacked_bytes.saturating_add(unpacked);
    group.columns += 1;
    Some(())
}

/// A value's kind in Thrift's compact protocol.
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

/// <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>
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
        let mut value = 0;
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

    fn step(&mut self, bytes: u64) -> Option<()> {
        let at = self.at.checked_add(usize::try_from(bytes).ok()?)?;
        self.at = Some(at).filter(|at| *at <= self.bytes.len())?;
        Some(())
    }

    fn each_field(
        &mut self,
        depth: usize,
        mut take: impl FnMut(&mut Self, i64, Kind) -> Option<()>,
    ) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == STOP {
                return Some(());
            }
            id = match head >> 4 {
                0 => self.signed()?,
                delta => id.checked_add(delta.into())?,
            };
            take(self, id, kind)?;
        }
    }

    fn each_element(&mut self, mut take: impl FnMut(&mut Self, Kind) -> Option<()>) -> Option<()> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => self.unsigned()?,
            count => count.into(),
        };
        (0..count).try_for_each(|_| take(self, head & 0x0f))
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
            LIST | SET => self.each_element(|input, kind| input.skip_element(kind, depth)),
            MAP => {
                let count = self.unsigned()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0f, depth)
                })
            }
            STRUCT => self.each_field(depth, |input, _, kind| input.skip(kind, depth + 1)),
            _ => None,
        }
    }

    /// Inside a list or map a truth value takes a byte: no count outlasts the bytes.
    fn skip_element(&mut self, kind: Kind, depth: usize) -> Option<()> {
        match kind {
            TRUE | FALSE => self.step(1),
            kind => self.skip(kind, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{1: 2, 4: [{1: [{2: 4, 3: {6: 100, 7: 40, 9: 30, 11: 4}}, {2: 44, 3: {6: 9, 7: 9, 9: 44}}], 2: 109, 3: 5}]}`
    const FOOTER: &[u8] = &[
        0x15, 4, 0x39, 0x1c, 0x19, 0x2c, 0x26, 8, 0x1c, 0x66, 0xc8, 1, 0x16, 80, 0x26, 60, 0x26, 8,
        0, 0, 0x26, 88, 0x1c, 0x66, 18, 0x16, 18, 0x26, 88, 0, 0, 0x16, 0xda, 1, 0x16, 10, 0, 0,
        38, 0, 0, 0, b'P', b'A', b'R', b'1',
    ];

    #[test]
    fn row_groups_are_found() {
        assert_eq!(
            footer_bytes(FOOTER).map_err(|fault| fault.to_string()),
            Ok(FOOTER.len())
        );
        let groups = row_groups(FOOTER).expect("groups");
        let expected = RowGroup {
            start: 4,
            end: 53,
            rows: 5,
            columns: 2,
            unpacked_bytes: 109,
        };
        assert_eq!(groups, [expected]);
    }

    #[test]
    fn what_is_no_footer_is_told() {
        for tail in [&b""[..], b"PAR1", b"\0\0\0\0PARE", b"\xff\xff\xff\xffPAR1"] {
            assert!(footer_bytes(tail).is_err(), "{tail:?}");
        }
        for at in 0..FOOTER.len() - TAIL_BYTES {
            assert!(row_groups(&FOOTER[..at + TAIL_BYTES]).is_err(), "{at}");
        }
        let mut nest = vec![0x1c; 100_000];
        nest.extend_from_slice(&FOOTER[FOOTER.len() - TAIL_BYTES..]);
        assert!(row_groups(&nest).is_err());
    }
}
