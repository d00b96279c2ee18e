//! How it lies about what it read.

use crate::behaviour::Behaviour;
use crate::bindings::exports::sluice::plugin::source::{
    Columns, Content, CsvInput, Document, DocumentFormat, Guest, GuestReader, Limit, Next, Page,
    ParquetInput, Part, Reader, Split, Stream,
};
use crate::bindings::sluice::plugin::records::{
    Change, Column, DecimalSize, Field, FieldType, NamedColumn, Packed, Schema, Values,
};
use crate::bindings::sluice::plugin::types::Fault;
use crate::snapshot::{self, Snapshot};
use crate::{Hostile, behaviour, check, columns, lies, setting, web};
use std::cell::Cell;

/// What every stream of it is called.
const STREAM: &str = "things";
/// What would clear the screen, and turn the rest of the line around.
const HIDDEN: &str = "a\u{1b}[2J\u{202e}b";

/// The stream with a schema of text fields.
fn shaped(names: impl IntoIterator<Item = String>, key: Vec<String>) -> Vec<Stream> {
    let field = |name| Field {
        name,
        kind: FieldType::Text,
        nullable: true,
    };
    let fields = names.into_iter().map(field).collect();
    vec![Stream {
        name: STREAM.to_owned(),
        schema: Some(Schema { fields, key }),
        incremental: false,
    }]
}

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
                name: lies::not_utf8(),
                schema: None,
                incremental: false,
            }],
            Behaviour::StreamName => vec![stream("a\u{1b}[2J")],
            Behaviour::StreamLong => vec![stream(&"a".repeat(1 << 20))],
            Behaviour::StreamsMany => (0..10_001)
                .map(|number| stream(&format!("s{number}")))
                .collect(),
            Behaviour::DocumentsMany => {
                let mut wide = shaped((0..2_000).map(|number| format!("c{number}")), vec![]);
                for field in wide.iter_mut().flat_map(|stream| &mut stream.schema) {
                    for field in &mut field.fields {
                        field.kind = FieldType::Decimal(DecimalSize {
                            precision: 38,
                            scale: 0,
                        });
                    }
                }
                wide
            }
            Behaviour::SchemaMany => shaped((0..2_001).map(|number| format!("c{number}")), vec![]),
            Behaviour::SchemaTwice => shaped([HIDDEN, HIDDEN].map(str::to_owned), vec![]),
            Behaviour::SchemaKey => shaped(["a".to_owned()], vec![HIDDEN.repeat(100_000)]),
            _ => vec![stream(STREAM)],
        })
    }

    fn prepare(_: String, _: Vec<String>) -> Result<(), Fault> {
        Ok(())
    }

    fn splits(config: String, streams: Vec<String>) -> Result<Vec<Split>, Fault> {
        if setting(&config, "splits") == "snapshot" {
            return Ok(snapshot::splits(&config));
        }
        let split = Split {
            id: "all".to_owned(),
            streams,
            detail: String::new(),
            start: None,
            after: Vec::new(),
        };
        Ok(match behaviour(&config) {
            Behaviour::SplitTwice => vec![split.clone(), split],
            Behaviour::SplitStreamTwice => vec![Split {
                streams: vec![STREAM.to_owned(); 100_000],
                ..split
            }],
            Behaviour::SplitsMany => (0..100_001)
                .map(|number| Split {
                    id: number.to_string(),
                    ..split.clone()
                })
                .collect(),
            Behaviour::SplitName => vec![Split {
                id: HIDDEN.to_owned(),
                ..split
            }],
            Behaviour::SplitFuel => vec![Split {
                detail: "x".repeat(100 << 20),
                ..split
            }],
            Behaviour::SplitStranger => vec![Split {
                streams: vec!["other".to_owned()],
                ..split
            }],
            _ => vec![split],
        })
    }
}

pub struct Lying {
    behaviour: Behaviour,
    snapshot: Option<Snapshot>,
    pages: Cell<u8>,
}

impl Drop for Lying {
    fn drop(&mut self) {
        match self.behaviour {
            Behaviour::DropLoop => loop {
                std::hint::black_box(0);
            },
            Behaviour::DropPanic => panic!("let go"),
            _ => {}
        }
    }
}

impl GuestReader for Lying {
    fn open(config: String, split: Split, cursor: Option<Vec<u8>>) -> Result<Reader, Fault> {
        Ok(Reader::new(Lying {
            behaviour: behaviour(&config),
            pages: Cell::new(3),
            snapshot: Snapshot::of(&config, split, cursor),
        }))
    }

    fn read(&self, _: Limit) -> Result<Page, Fault> {
        if let Some(snapshot) = &self.snapshot {
            return snapshot.page();
        }
        let stream = if self.behaviour == Behaviour::StreamStranger {
            "other"
        } else {
            STREAM
        };
        let part = || Part {
            stream: stream.to_owned(),
            content: content(self.behaviour),
        };
        let parts = match self.behaviour {
            Behaviour::PageParts => 5_000,
            Behaviour::DocumentsMany => 3,
            _ => 1,
        };
        let left = self.pages.get().saturating_sub(1);
        self.pages.set(left);
        let cursor = match self.behaviour {
            Behaviour::CursorHuge => vec![0; (64 << 10) + 1],
            Behaviour::CursorFuel => vec![0; 100 << 20],
            Behaviour::CursorGibibyte => lies::gibibyte(),
            Behaviour::CursorBack => vec![left],
            Behaviour::EchoKept => web::heard().into_bytes(),
            _ => vec![0],
        };
        let next = match self.behaviour {
            Behaviour::CursorBack if left > 0 => Next::More,
            _ => Next::End,
        };
        Ok(Page {
            parts: (0..parts).map(|_| part()).collect(),
            cursor,
            next,
            lag: None,
        })
    }

    fn acknowledge(&self, _: Vec<u8>) -> Result<(), Fault> {
        if let Some(snapshot) = &self.snapshot {
            snapshot.acknowledged();
        }
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
            changes: None,
        })
    };
    let mut columns = match behaviour {
        Behaviour::PageHuge => return document(vec![b'\n'; 17 << 20], DocumentFormat::Ndjson),
        Behaviour::ParquetHuge => {
            let group = ParquetInput {
                footer: vec![],
                row_group: 0,
                first_row: 0,
                rows: 1,
            };
            return document(vec![0; 49 << 20], DocumentFormat::Parquet(group));
        }
        Behaviour::DocumentsMany => {
            return document(b"{}\n".repeat(3_000), DocumentFormat::Ndjson);
        }
        Behaviour::DocumentGibibyte => return document(lies::gibibyte(), DocumentFormat::Ndjson),
        Behaviour::DocumentName => {
            return Content::Document(Document {
                format: DocumentFormat::Ndjson,
                bytes: b"{\"id\": 1}\n{\n".to_vec(),
                name: HIDDEN.repeat(100_000),
                offset: u64::MAX,
                changes: None,
            });
        }
        Behaviour::DocumentPointer => {
            let pointer = DocumentFormat::Json(HIDDEN.repeat(100_000));
            return document(b"{\"id\": 1}".to_vec(), pointer);
        }
        Behaviour::EchoKept => {
            return Content::Document(Document {
                format: DocumentFormat::Ndjson,
                bytes: format!(
                    "{{\"thing\": 1, \"heard\": {:?}}}\n{}\n",
                    web::heard(),
                    web::heard()
                )
                .into_bytes(),
                name: web::heard(),
                offset: 0,
                changes: None,
            });
        }
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
        Behaviour::ColumnsMany => (0..2_001)
            .map(|number| {
                let mut column = column(behaviour);
                column.field.name = number.to_string();
                column
            })
            .collect(),
        _ => vec![columns::lying(behaviour).unwrap_or_else(|| column(behaviour))],
    };
    if matches!(
        behaviour,
        Behaviour::ColumnTwice | Behaviour::ColumnTwiceHidden
    ) {
        columns.push(column(behaviour));
    }
    let changes = match behaviour {
        Behaviour::ChangesShort => Some(vec![Change::Upsert]),
        Behaviour::ChangesLong => Some(vec![Change::Delete; 4]),
        _ => None,
    };
    let rows = if behaviour == Behaviour::RowsNone {
        0
    } else {
        3
    };
    Content::Columns(Columns {
        rows,
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
    let name = match behaviour {
        Behaviour::ColumnNameless => String::new(),
        Behaviour::ColumnLong => "a".repeat(1 << 20),
        Behaviour::ColumnNotUtf8 => lies::not_utf8(),
        Behaviour::ColumnTwiceHidden | Behaviour::ColumnHidden => HIDDEN.to_owned(),
        _ => "thing".to_owned(),
    };
    let field = Field {
        name,
        kind,
        nullable: behaviour != Behaviour::NullInRequired,
    };
    NamedColumn {
        field,
        column: Column { values, validity },
    }
}
