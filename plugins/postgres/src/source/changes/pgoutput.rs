//! `pgoutput`, version 1: what the server says of a transaction, message by message. Never trusts a length: a server is
//! not the host's.

use super::lsn::Lsn;
use bytes::{Buf as _, Bytes};
use memchr::memchr;

/// Columns that a table may have: PostgreSQL's own bound.
const COLUMNS_MAX: usize = 1_664;

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Message {
    /// A transaction that was committed there, and its number.
    Begin(Lsn, u32),
    /// Its end: the log goes on here.
    Commit(Lsn),
    Relation(Relation),
    /// Rows that came, changed, and went.
    Insert {
        relation: u32,
        row: Tuple,
    },
    Update {
        relation: u32,
        old: Option<Old>,
        row: Tuple,
    },
    Delete {
        relation: u32,
        old: Old,
    },
    Truncate(Vec<u32>),
    /// What says nothing of rows.
    Other,
}

/// A table as its next rows are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Relation {
    pub(super) id: u32,
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) columns: Vec<Column>,
}

/// Its column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    pub(super) name: String,
    /// The number of its type, and the type's modifier.
    pub(super) of: (u32, i32),
}

/// A row as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Old {
    /// The values of its key alone.
    Key(Tuple),
    /// All of them.
    Whole(Tuple),
}

impl Old {
    pub(super) fn values(&self) -> &Tuple {
        match self {
            Self::Key(values) | Self::Whole(values) => values,
        }
    }
}

/// The values of a row.
pub(super) type Tuple = Vec<Value>;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Null,
    /// A long one that an update left as it was, and that is not told.
    Unchanged,
    /// As text.
    Text(Bytes),
}

/// Reads a message; none where it is not one.
pub(super) fn parse(mut bytes: Bytes) -> Option<Message> {
    let message = match take(&mut bytes, 1)?[0] {
        b'B' => {
            let place = number::<8>(&mut bytes)?;
            take(&mut bytes, 8)?; // When.
            Message::Begin(Lsn(u64::from_be_bytes(place)), oid(&mut bytes)?)
        }
        b'C' => {
            take(&mut bytes, 9)?; // Flags, and what `Begin` said.
            let end = number::<8>(&mut bytes)?;
            take(&mut bytes, 8)?; // When.
            Message::Commit(Lsn(u64::from_be_bytes(end)))
        }
        b'R' => Message::Relation(relation(&mut bytes)?),
        b'I' => {
            let relation = oid(&mut bytes)?;
            (take(&mut bytes, 1)?[0] == b'N').then_some(())?;
            let row = tuple(&mut bytes)?;
            Message::Insert { relation, row }
        }
        b'U' => {
            let relation = oid(&mut bytes)?;
            let mut kind = take(&mut bytes, 1)?[0];
            let mut before = None;
            if kind != b'N' {
                before = Some(old(kind, &mut bytes)?);
                kind = take(&mut bytes, 1)?[0];
            }
            (kind == b'N').then_some(())?;
            Message::Update {
                relation,
                old: before,
                row: tuple(&mut bytes)?,
            }
        }
        b'D' => {
            let relation = oid(&mut bytes)?;
            let kind = take(&mut bytes, 1)?[0];
            let old = old(kind, &mut bytes)?;
            Message::Delete { relation, old }
        }
        b'T' => {
            let count = u32::from_be_bytes(number(&mut bytes)?);
            take(&mut bytes, 1)?; // Flags.
            let relations = (0..count).map_while(|_| oid(&mut bytes));
            let relations: Vec<u32> = relations.collect();
            (relations.len() == count as usize).then_some(())?;
            Message::Truncate(relations)
        }
        b'O' | b'Y' | b'M' => return Some(Message::Other),
        _ => return None,
    };
    bytes.is_empty().then_some(message)
}

fn relation(bytes: &mut Bytes) -> Option<Relation> {
    let id = oid(bytes)?;
    let schema = text(bytes)?;
    let name = text(bytes)?;
    take(bytes, 1)?; // The replica identity.
    let columns = count(bytes)?;
    let column = |bytes: &mut Bytes| {
        take(bytes, 1)?; // Flags.
        Some(Column {
            name: text(bytes)?,
            of: (oid(bytes)?, i32::from_be_bytes(number(bytes)?)),
        })
    };
    let columns = (0..columns).map(|_| column(bytes));
    Some(Relation {
        id,
        schema,
        name,
        columns: columns.collect::<Option<_>>()?,
    })
}

fn old(kind: u8, bytes: &mut Bytes) -> Option<Old> {
    match kind {
        b'K' => Some(Old::Key(tuple(bytes)?)),
        b'O' => Some(Old::Whole(tuple(bytes)?)),
        _ => None,
    }
}

fn tuple(bytes: &mut Bytes) -> Option<Tuple> {
    let columns = count(bytes)?;
    let value = |bytes: &mut Bytes| match take(bytes, 1)?[0] {
        b'n' => Some(Value::Null),
        b'u' => Some(Value::Unchanged),
        b't' => {
            let length = u32::from_be_bytes(number(bytes)?) as usize;
            take(bytes, length).map(Value::Text)
        }
        _ => None, // Binary values are not asked for.
    };
    (0..columns).map(|_| value(bytes)).collect()
}

fn count(bytes: &mut Bytes) -> Option<usize> {
    let count = usize::from(u16::from_be_bytes(number(bytes)?));
    Some(count).filter(|count| *count <= COLUMNS_MAX)
}

fn oid(bytes: &mut Bytes) -> Option<u32> {
    number(bytes).map(u32::from_be_bytes)
}

fn number<const N: usize>(bytes: &mut Bytes) -> Option<[u8; N]> {
    <[u8; N]>::try_from(&*take(bytes, N)?).ok()
}

fn text(bytes: &mut Bytes) -> Option<String> {
    let end = memchr(0, bytes)?;
    let text = take(bytes, end)?;
    bytes.advance(1);
    String::from_utf8(text.to_vec()).ok()
}

fn take(bytes: &mut Bytes, count: usize) -> Option<Bytes> {
    (bytes.len() >= count).then(|| bytes.split_to(count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A table `s.t` with `id int8` and `note text`, as the server tells it.
    pub(crate) const RELATION: &[u8] =
        b"R\0\0\0\x07s\0t\0d\0\x02\x01id\0\0\0\0\x14\xff\xff\xff\xff\0note\0\0\0\0\x19\xff\xff\xff\xff";

    fn read(bytes: &[u8]) -> Option<Message> {
        parse(Bytes::copy_from_slice(bytes))
    }

    fn value(text: &'static str) -> Value {
        Value::Text(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn each_message_is_read() {
        let begin = [b"B".as_slice(), &0x16_u64.to_be_bytes(), &[0; 11], &[9]].concat();
        assert_eq!(read(&begin), Some(Message::Begin(Lsn(0x16), 9)));
        let commit = [b"C\0".as_slice(), &[0; 8], &0x17_u64.to_be_bytes(), &[0; 8]].concat();
        assert_eq!(read(&commit), Some(Message::Commit(Lsn(0x17))));
        let Some(Message::Relation(relation)) = read(RELATION) else {
            panic!("a table");
        };
        assert_eq!((&*relation.schema, &*relation.name), ("s", "t"));
        assert_eq!(relation.columns[1].of, (25, -1));
        assert_eq!(
            read(b"I\0\0\0\x07N\0\x02t\0\0\0\x0217n"),
            Some(Message::Insert {
                relation: 7,
                row: vec![value("17"), Value::Null]
            })
        );
        assert_eq!(
            read(b"U\0\0\0\x07K\0\x02t\0\0\0\x011nN\0\x02t\0\0\0\x012u"),
            Some(Message::Update {
                relation: 7,
                old: Some(Old::Key(vec![value("1"), Value::Null])),
                row: vec![value("2"), Value::Unchanged]
            })
        );
        assert_eq!(
            read(b"D\0\0\0\x07O\0\x01t\0\0\0\x011"),
            Some(Message::Delete {
                relation: 7,
                old: Old::Whole(vec![value("1")])
            })
        );
        let two = read(b"T\0\0\0\x02\0\0\0\0\x07\0\0\0\x08");
        assert_eq!(two, Some(Message::Truncate(vec![7, 8])));
        assert_eq!(read(b"Oanything"), Some(Message::Other));
    }

    #[test]
    fn what_is_cut_or_too_long_is_none() {
        for end in 1..RELATION.len() {
            assert_eq!(read(&RELATION[..end]), None, "{end}");
        }
        for wrong in [
            b"".as_slice(),
            b"Z",
            b"I\0\0\0\x07N\0\x01t\xff\xff\xff\xff1",
            b"I\0\0\0\x07N\0\x01b\0\0\0\x011",
            b"I\0\0\0\x07N\xff\xff",
            b"I\0\0\0\x07N\0\x01nmore",
            b"T\xff\xff\xff\xff\0\0\0\0\x01",
        ] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_break_it(bytes in prop::collection::vec(any::<u8>(), 0..200), tag in prop::sample::select(b"BCRIUDTOYM".to_vec())) {
            let _ = read(&bytes);
            let _ = read(&[&[tag][..], &bytes].concat());
        }
    }
}
