//! A source read to its end, as the host reads it.

use super::{Table, shape};
use crate::source::{Content, Document, Limit, Next, Page, Part, Reader as _, Source, Split};
use crate::{Fault, config};

/// A cursor that a test gives or gets: JSON, as the host keeps it.
pub type Cursor = serde_json::Value;

/// Reads that may come back empty with `wait` in a row before a test calls it the end.
const WAITS_MAX: usize = 3;
/// Pages before a test calls it a loop.
const PAGES_MAX: usize = 100_000;

/// What a source gave for one split.
#[derive(Debug, Clone)]
pub struct Read {
    /// The split.
    pub split: Split,
    /// Each page's parts, in order.
    pub parts: Vec<Part>,
    /// Where to resume; none where no page came.
    pub cursor: Option<Cursor>,
    /// How many pages.
    pub pages: usize,
}

impl Read {
    /// The records of one stream that came as columns, as JSON objects.
    pub fn objects(&self, stream: &str) -> Vec<serde_json::Value> {
        let of_stream = self.parts.iter().filter(|part| part.stream == stream);
        of_stream
            .filter_map(|part| match &part.content {
                Content::Columns(columns) => {
                    Some(Table::new(columns.rows, columns.columns.clone()).objects())
                }
                Content::Document(_) => None,
            })
            .flatten()
            .collect()
    }

    /// The documents of one stream, in order.
    pub fn documents(&self, stream: &str) -> Vec<&Document> {
        let of_stream = self.parts.iter().filter(|part| part.stream == stream);
        of_stream
            .filter_map(|part| match &part.content {
                Content::Document(document) => Some(document),
                Content::Columns(_) => None,
            })
            .collect()
    }

    /// The bytes of one stream's documents, end to end.
    pub fn bytes(&self, stream: &str) -> Vec<u8> {
        self.documents(stream)
            .iter()
            .flat_map(|document| &document.bytes)
            .copied()
            .collect()
    }
}

/// Reads all streams of a source to the end, split by split. `cursor` is given to every split; none begins at the
/// beginning. `config` is JSON.
pub fn read_all<S: Source>(config: &str, cursor: Option<&Cursor>) -> Result<Vec<Read>, Fault> {
    let settings: S::Config = config::parse(config)?;
    S::check(&settings)?;
    let streams: Vec<String> = S::streams(&settings)?
        .into_iter()
        .map(|stream| stream.name)
        .collect();
    S::prepare(&settings, &streams)?;
    let splits = S::splits(&settings, &streams)?;
    splits
        .into_iter()
        .map(|split| read_split::<S>(config, split, cursor, limit()))
        .collect()
}

/// Reads one split to its end, acknowledging each page. Cursors make the way through their bytes each time.
pub fn read_split<S: Source>(
    config: &str,
    split: Split,
    cursor: Option<&Cursor>,
    limit: Limit,
) -> Result<Read, Fault> {
    let from = |cursor: &Cursor| config::cursor_from::<S::Cursor>(&config::cursor_to(cursor)?);
    let mut reader = S::open(
        config::parse(config)?,
        split.clone(),
        cursor.map(from).transpose()?,
    )?;
    let mut read = Read {
        split,
        parts: Vec::new(),
        cursor: None,
        pages: 0,
    };
    let mut waits = 0;
    while read.pages < PAGES_MAX {
        let Page {
            parts,
            cursor,
            next,
            lag: _,
        } = reader.read(limit)?;
        parts.iter().for_each(checked);
        waits = if parts.is_empty() { waits + 1 } else { 0 };
        read.pages += 1;
        read.parts.extend(parts);
        let bytes = config::cursor_to(&cursor)?;
        read.cursor = Some(config::cursor_from(&bytes)?);
        reader.acknowledge(config::cursor_from(&bytes)?)?;
        match next {
            Next::End => return Ok(read),
            Next::WaitMs(_) if waits >= WAITS_MAX => return Ok(read),
            _ => {}
        }
    }
    panic!("the split did not end in {PAGES_MAX} pages");
}

/// What the host asks for.
fn limit() -> Limit {
    Limit {
        rows: 8_192,
        bytes: 1 << 20,
        wait_ms: 1_000,
    }
}

fn checked(part: &Part) {
    if let Content::Columns(columns) = &part.content {
        for named in &columns.columns {
            if let Err(problem) = shape::check(named, columns.rows) {
                panic!("stream `{}`: {problem}", part.stream);
            }
        }
        let changes = columns.changes.as_ref().map_or(columns.rows, Vec::len);
        assert_eq!(
            changes, columns.rows,
            "stream `{}`: one change a row",
            part.stream
        );
    }
}
