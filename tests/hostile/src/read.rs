//! How it lies about what it read.

use crate::behaviour::Behaviour;
use crate::bindings::exports::sluice::plugin::source::{
    Columns, Content, CsvInput, Document, DocumentFormat, Guest, GuestReader, Limit, Next, Page,
    Part, Reader, Split, Stream,
};
use crate::bindings::sluice::plugin::records::{
    Change, Column, DecimalSize, Field, FieldType, NamedColumn, Packed, Values,
};
use crate::bindings::sluice::plugin::types::Fault;
use crate::{Hostile, behaviour, check};

/// What every stream of it is called.
const STREAM: &str = "things";

impl Guest for Hostile {
    type Reader = Lying;

    fn check(config: String) -> Result<(), Fault> {
        check::check(behaviour(&config), &config)
    }

    fn streams(config: String) -> Result<Vec<Stream>, Fault> {
        let stream = |name: &str| Stream {
            name: name.to_owned(),
            schema: None,
            incremental: false,
        };
        Ok(match behaviour(&config) {
            Behaviour::StreamTwice => vec![stream(STREAM), stream(STREAM)],
            Behaviour::StreamNotUtf8 => vec![Stream {
                name: not_utf8(),
                schema: None,
                incremental: false,
            }],
            Behaviour::StreamsMany => (0..10_001).map(|at| stream(&format!("s{at}"))).collect(),
            Behaviour::StreamName => vec![stream("a\u{1b}[2J")],
            _ => vec![stream(STREAM)],
        })
    }

    fn splits(config: String, streams: Vec<String>) -> Result<Vec<Split>, Fault> {
        let split = Split {
            id: "all".to_owned(),
            streams,
            detail: String::new(),
        };
        Ok(match behaviour(&config) {
            Behaviour::SplitTwice => vec![split.clone(), split],
            Behaviour::SplitsMany => {
                let numbered = |at: u32| Split {
                    id: at.to_string(),
                    ..split.clone()
                };
                (0..100_001).map(numbered).collect()
            }
            Behaviour::SplitStranger => vec![Split {
                streams: vec!["other".to_owned()],
                ..split
            }],
            _ => vec![split],
        })
    }
}

pub struct Lying(Behaviour);

impl GuestReader for Lying {
    fn open(config: String, _: Split, _: Option<Vec<u8>>) -> Result<Reader, Fault> {
        Ok(Reader::new(Lying(behaviour(&config))))
    }

    fn read(&self, _: Limit) -> Result<Page, Fault> {
        let stream = if self.0 == Behaviour::StreamStranger {
            "other"
        } else {
            STREAM
        };
        let part = || Part {
            stream: stream.to_owned(),
            content: content(self.0),
        };
        let parts = if self.0 == Behaviour::PageParts {
            5_000
        } else {
            1
        };
        let cursor = vec![
            0;
            if self.0 == Behaviour::CursorHuge {
                (64 << 10) + 1
            } else {
                1
            }
        ];
        Ok(Page {
            parts: (0..parts).map(|_| part()).collect(),
            cursor,
            next: Next::End,
        })
    }

    fn acknowledge(&self, _: Vec<u8>) -> Result<(), Fault> {
        Ok(())
    }
}

fn content(behaviour: Behaviour) -> Content {
    let document = |bytes, format| {
        Content::Document(Document {
            format,
            bytes,
            name: "a\u{1b}[2J".to_owned(),
            offset: 0,
        })
    };
    let mut columns = match behaviour {
        Behaviour::PageHuge => return document(vec![b'\n'; 17 << 20], DocumentFormat::Ndjson),
        Behaviour::PageFuel => return document(vec![b'\n'; 100 << 20], DocumentFormat::Ndjson),
        Behaviour::Delimiter => {
            let csv = CsvInput {
                delimiter: '→',
                header: None,
            };
            return document(b"a".to_vec(), DocumentFormat::Csv(csv));
        }
        Behaviour::PageRows => {
            return Content::Columns(Columns {
                rows: u32::MAX,
                columns: vec![],
                changes: None,
            });
        }
        _ => vec![column(behaviour)],
    };
    if behaviour == Behaviour::ColumnTwice {
        columns.push(column(behaviour));
    }
    let changes = (behaviour == Behaviour::ChangesShort).then(|| vec![Change::Upsert]);
    Content::Columns(Columns {
        rows: 3,
        columns,
        changes,
    })
}

/// One column of three rows, with at most one thing wrong.
fn column(behaviour: Behaviour) -> NamedColumn {
    let text = |offsets: &[i32], bytes: &[u8]| {
        (
            FieldType::Text,
            Values::Text(Packed {
                offsets: offsets.to_vec(),
                bytes: bytes.to_vec(),
            }),
        )
    };
    let json = |first: String| {
        let end = i32::try_from(first.len()).unwrap_or(i32::MAX);
        let packed = Packed {
            offsets: vec![0, end, end + 1, end + 2],
            bytes: format!("{first}12").into_bytes(),
        };
        (FieldType::Json, Values::Json(packed))
    };
    let decimal = |precision, scale, value: i128| {
        let bytes = [value, 0, 0]
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        (
            FieldType::Decimal(DecimalSize { precision, scale }),
            Values::Decimal(bytes),
        )
    };
    let (kind, values) = match behaviour {
        Behaviour::OffsetsDecrease => text(&[0, 2, 1, 3], b"abc"),
        Behaviour::OffsetsOutside => text(&[0, 1, 2, 9], b"abc"),
        Behaviour::OffsetsShort => text(&[0, 1, 1, 2], b"abc"),
        Behaviour::OffsetsLate => text(&[1, 1, 2, 3], b"abc"),
        Behaviour::OffsetsNegative => text(&[-1, 0, 1, 3], b"abc"),
        Behaviour::OffsetsFew => text(&[0, 1, 3], b"abc"),
        Behaviour::RowsWrong => (FieldType::Int64, Values::Int64(vec![1, 2])),
        Behaviour::Utf8Broken => text(&[0, 1, 2, 3], b"a\xffc"),
        Behaviour::Utf8Cut => text(&[0, 1, 2, 3], "aå".as_bytes()),
        Behaviour::JsonBroken => json("{".to_owned()),
        Behaviour::JsonDeep => json(format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        Behaviour::DecimalLong => decimal(5, 2, 100_000),
        Behaviour::DecimalType => decimal(39, 2, 1),
        Behaviour::KindWrong => (FieldType::Text, Values::Int64(vec![1, 2, 3])),
        _ => (FieldType::Int64, Values::Int64(vec![1, 2, 3])),
    };
    let validity = match behaviour {
        Behaviour::ValidityShort => Some(vec![]),
        Behaviour::NullInRequired => Some(vec![0b101]),
        _ => None,
    };
    let name = if behaviour == Behaviour::ColumnNameless {
        ""
    } else {
        "thing"
    };
    let field = Field {
        name: name.to_owned(),
        kind,
        nullable: behaviour != Behaviour::NullInRequired,
    };
    NamedColumn {
        field,
        column: Column { values, validity },
    }
}

/// What safe Rust cannot make, and another language can.
#[allow(unsafe_code, reason = "a lie about text")]
fn not_utf8() -> String {
    // SAFETY: deliberately broken; the bytes are only handed to the host, which must not believe them.
    unsafe { String::from_utf8_unchecked(vec![0xff, 0xfe]) }
}
