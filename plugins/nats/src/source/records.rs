//! Messages as records: one JSON object each, which the host reads, or a body beside what is known of it.

use crate::config::{Add, Format, StreamSettings};
use crate::wire::Head;
use sluice_sdk::source::{Columns, Document};
use sluice_sdk::{
    BinaryBuilder, Fault, Field, FieldType, Int64Builder, JsonBuilder, NamedColumn, Page, Schema,
    TextBuilder, Timestamp, TimestampBuilder,
};
use std::collections::BTreeMap;

/// What is counted of a message beside its bytes.
const OVERHEAD_BYTES: usize = 64;

/// A message on its way into a page.
pub(super) struct Row<'a> {
    pub(super) sequence: u64,
    pub(super) subject: &'a str,
    pub(super) stored: Timestamp,
    pub(super) head: &'a Head,
    pub(super) body: &'a [u8],
}

/// The records of one page.
pub(super) struct Records {
    add: Add,
    format: Format,
    first: u64,
    rows: usize,
    bytes: usize,
    lines: Vec<u8>,
    sequences: Vec<i64>,
    subjects: Vec<String>,
    stored: Vec<i64>,
    headers: Vec<Option<String>>,
    bodies: Vec<Vec<u8>>,
}

/// The fields of a stream whose bodies are no JSON.
pub(super) fn schema(format: Format) -> Schema {
    Schema::new(fields(format)).with_key(["sequence"])
}

fn fields(format: Format) -> Vec<Field> {
    let body = if format == Format::Binary {
        FieldType::Binary
    } else {
        FieldType::Text
    };
    vec![
        Field::new("sequence", FieldType::Int64),
        Field::new("subject", FieldType::Text),
        Field::new("timestamp", FieldType::Timestamp),
        Field::new("headers", FieldType::Json).nullable(),
        Field::new("body", body),
    ]
}

impl Records {
    pub(super) fn new(settings: &StreamSettings) -> Self {
        Self {
            add: settings.add.clone(),
            format: settings.format,
            first: 0,
            rows: 0,
            bytes: 0,
            lines: Vec::new(),
            sequences: Vec::new(),
            subjects: Vec::new(),
            stored: Vec::new(),
            headers: Vec::new(),
            bodies: Vec::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, row: &Row) -> Result<(), Fault> {
        if self.rows == 0 {
            self.first = row.sequence;
        }
        match self.format {
            Format::Json => push_line(&mut self.lines, &self.add, row),
            Format::Text if std::str::from_utf8(row.body).is_err() => {
                return Err(Fault::misconfigured(format!(
                    "the message {} is no text in UTF-8; hint: `format = \"binary\"`",
                    row.sequence
                )));
            }
            Format::Text | Format::Binary => self.push_columns(row)?,
        }
        self.rows += 1;
        self.bytes += row.body.len() + OVERHEAD_BYTES;
        Ok(())
    }

    fn push_columns(&mut self, row: &Row) -> Result<(), Fault> {
        let sequence = i64::try_from(row.sequence)
            .map_err(|_| Fault::broken("the server counts further than there are numbers"))?;
        let headers = headers(row.head);
        self.bytes += row.subject.len() + headers.as_ref().map_or(0, String::len);
        self.sequences.push(sequence);
        self.subjects.push(row.subject.to_owned());
        self.stored.push(row.stored.0);
        self.headers.push(headers);
        self.bodies.push(row.body.to_vec());
        Ok(())
    }

    /// Puts them into a page. `name` is the stream's at the server: a record that is refused is told by it, the number of
    /// its page's first message, and how many messages it is from there.
    pub(super) fn put<C>(self, page: Page<C>, stream: &str, name: &str) -> Page<C> {
        if self.format == Format::Json {
            return page.document(
                stream,
                Document::ndjson(format!("{name}@{}", self.first), 0, self.lines),
            );
        }
        if self.rows == 0 {
            return page;
        }
        let bytes = self.bodies.iter().map(Vec::len).sum();
        let mut sequences = Int64Builder::with_capacity(self.rows);
        let mut subjects = TextBuilder::with_capacity(self.rows, 0);
        let mut stored = TimestampBuilder::with_capacity(self.rows);
        let mut headers = JsonBuilder::with_capacity(self.rows, 0);
        self.sequences
            .into_iter()
            .for_each(|value| sequences.push(value));
        self.subjects
            .iter()
            .for_each(|value| subjects.push(value.as_str()));
        self.stored.into_iter().for_each(|value| stored.push(value));
        self.headers
            .iter()
            .for_each(|value| headers.push(value.as_deref()));
        let body = if self.format == Format::Binary {
            let mut bodies = BinaryBuilder::with_capacity(self.rows, bytes);
            self.bodies
                .iter()
                .for_each(|value| bodies.push(value.as_slice()));
            bodies.finish()
        } else {
            let mut bodies = TextBuilder::with_capacity(self.rows, bytes);
            self.bodies
                .iter()
                .for_each(|value| bodies.push(std::str::from_utf8(value).unwrap_or_default()));
            bodies.finish()
        };
        let columns = [
            sequences.finish(),
            subjects.finish(),
            stored.finish(),
            headers.finish(),
            body,
        ];
        let columns = fields(self.format).into_iter().zip(columns);
        let columns = columns
            .map(|(field, column)| NamedColumn::new(field, column))
            .collect();
        page.columns(
            stream,
            Columns {
                rows: self.rows,
                columns,
                changes: None,
            },
        )
    }
}

/// `{"name": ["value", …]}`, for a name may stand more than once; none where there are none.
fn headers(head: &Head) -> Option<String> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, value) in &head.headers {
        all.entry(name).or_default().push(value);
    }
    (!all.is_empty()).then(|| serde_json::json!(all).to_string())
}

/// One line, with the fields that are to be added before those of the object. What is no object goes on as it is: the host
/// refuses it, and keeps it as a dead letter.
fn push_line(lines: &mut Vec<u8>, add: &Add, row: &Row) {
    let body = row.body.trim_ascii();
    // The host leaves out lines that are empty, and nothing may be left out.
    let body = if body.is_empty() { &b"null"[..] } else { body };
    let rest = match body.strip_prefix(b"{") {
        Some(rest) if !add.is_empty() => {
            lines.push(b'{');
            lines.extend_from_slice(added(add, row).as_bytes());
            if !rest.trim_ascii_start().starts_with(b"}") {
                lines.push(b',');
            }
            rest
        }
        _ => body,
    };
    // Between values the one is as good as the other, and in a text both are refused.
    lines.extend(
        rest.iter()
            .map(|byte| if *byte == b'\n' { b'\r' } else { *byte }),
    );
    lines.push(b'\n');
}

fn added(add: &Add, row: &Row) -> String {
    let text = |value: &str| serde_json::Value::from(value).to_string();
    let fields = [
        (&add.sequence, row.sequence.to_string()),
        (&add.subject, text(row.subject)),
        (&add.timestamp, text(&row.stored.to_string())),
    ];
    let fields = fields
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{}:{value}", text(name.as_deref()?))));
    fields.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line(add: &str, body: &[u8]) -> Vec<u8> {
        let add: Add = serde_json::from_str(add).expect(add);
        let mut lines = Vec::new();
        let row = Row {
            sequence: 7,
            subject: "a.\"b\"",
            stored: Timestamp(0),
            head: &Head::default(),
            body,
        };
        push_line(&mut lines, &add, &row);
        lines
    }

    #[test]
    fn a_message_is_a_line() {
        let check = |add: &str, body: &str, expected: &str| {
            assert_eq!(
                String::from_utf8_lossy(&line(add, body.as_bytes())),
                format!("{expected}\n"),
                "{body}"
            );
        };
        check("{}", r#"{"a":1}"#, r#"{"a":1}"#);
        check("{}", " {\"a\":\n1}\r\n", "{\"a\":\r1}");
        check("{}", "", "null");
        check("{}", " \n ", "null");
        check(r#"{"sequence": "n"}"#, r#"{"a":1}"#, r#"{"n":7,"a":1}"#);
        check(r#"{"sequence": "n"}"#, "{ }", r#"{"n":7 }"#);
        check(r#"{"sequence": "n"}"#, "[1]", "[1]");
        check(
            r#"{"sequence": "n", "subject": "s\"", "timestamp": "t"}"#,
            r#"{"a":1}"#,
            r#"{"n":7,"s\"":"a.\"b\"","t":"1970-01-01T00:00:00Z","a":1}"#,
        );
    }

    #[test]
    fn headers_are_an_object_of_lists() {
        let head = Head::read(b"NATS/1.0\r\nB: 2\r\nA: 1\r\nB: \"3\"\r\n\r\n").expect("a head");
        assert_eq!(
            headers(&head).as_deref(),
            Some(r#"{"A":["1"],"B":["2","\"3\""]}"#)
        );
        assert_eq!(headers(&Head::default()), None);
    }

    #[test]
    fn a_text_that_is_none_is_told_by_its_number() {
        let settings: StreamSettings =
            serde_json::from_str(r#"{"stream": "S", "consumer": "c", "format": "text"}"#)
                .expect("settings");
        let mut records = Records::new(&settings);
        let row = Row {
            sequence: 7,
            subject: "a",
            stored: Timestamp(0),
            head: &Head::default(),
            body: b"\xff",
        };
        let fault = records.push(&row).expect_err("no text");
        assert!(fault.message().contains("message 7"), "{fault}");
    }

    proptest! {
        /// Whatever a body holds, it is one line, and not an empty one.
        #[test]
        fn a_message_is_one_line(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            for add in ["{}", r#"{"sequence": "n"}"#] {
                let line = line(add, &body);
                prop_assert_eq!(line.split(|byte| *byte == b'\n').count(), 2);
                prop_assert!(!line.trim_ascii().is_empty());
            }
        }
    }
}
