//! A row group of a Parquet file, looked through before it is read: what its footer and the headers of its pages claim
//! is held to limits, so that reading it takes memory in proportion to what it is, not to what it says.

use super::thrift::page_header;
use bytes::Bytes;
use parquet::basic::{Compression, Repetition, Type as Physical};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::{
    ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData,
};
use parquet::file::reader::{ChunkReader, Length};
use sluice_model::fault::{Fault, FaultKind};
use sluice_model::guards::Guard;
use sluice_model::limits;
use std::io::Cursor;
use std::ops::Range;

/// What stands at both ends of a file, and how much of a footer is not its metadata.
const MAGIC: &[u8] = b"PAR1";
const TAIL_BYTES: usize = 8;

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    /// It is damaged.
    Broken(String),
    /// It is sound, and of a kind that is not read.
    Unsupported(String),
    /// It goes beyond a limit.
    Limit(String),
}

impl Flaw {
    /// It is damaged.
    #[expect(clippy::needless_pass_by_value, reason = "what errors are mapped with")]
    pub fn broken(what: impl ToString) -> Self {
        Self::Broken(what.to_string())
    }

    /// As a fault of this document.
    pub fn fault(self, name: &str) -> Fault {
        let name = crate::problem::shown(name);
        match self {
            Self::Broken(what) => {
                let what: String = what
                    .chars()
                    .take(WHAT_CHARS_MAX)
                    .flat_map(char::escape_debug)
                    .collect();
                Fault::new(
                    FaultKind::Broken,
                    format!("`{name}` is no Parquet that can be read: {what}"),
                )
            }
            Self::Unsupported(what) => Fault::new(
                FaultKind::Misconfigured,
                format!("`{name}` is Parquet with {what}"),
            )
            .hint("have it written without, or leave the file out"),
            Self::Limit(what) => {
                Fault::new(FaultKind::LimitExceeded, format!("`{name}` has {what}"))
                    .hint("have it written in smaller row groups")
            }
        }
    }
}

/// How much of what the reader says is told.
const WHAT_CHARS_MAX: usize = 200;

/// The metadata in a file's footer: the bytes from where they begin to the end of the file.
pub fn metadata(footer: &[u8]) -> Result<ParquetMetaData, Flaw> {
    if footer.len() > Guard::ParquetFooter.limit(limits::PARQUET_FOOTER_BYTES_MAX) {
        return Err(Flaw::Limit(format!(
            "a footer of {} bytes; at most {} are read",
            footer.len(),
            limits::PARQUET_FOOTER_BYTES_MAX
        )));
    }
    let Some((thrift, tail)) = footer.split_last_chunk::<TAIL_BYTES>() else {
        return Err(Flaw::broken("it has no footer"));
    };
    let (length, magic) = tail.split_at(4);
    if magic == b"PARE" {
        return Err(Flaw::Unsupported("an encrypted footer".to_owned()));
    }
    let length = u32::from_le_bytes(length.try_into().unwrap_or_default()) as usize;
    if magic != MAGIC || length != thrift.len() {
        return Err(Flaw::broken("it does not end in its footer"));
    }
    ParquetMetaDataReader::decode_metadata(thrift).map_err(Flaw::broken)
}

/// A row group that may be read.
#[derive(Debug)]
pub struct Checked {
    /// Its rows.
    pub rows: u64,
    /// What one row of all its columns of differing length may take at most, in bytes.
    pub row_bytes_max: u64,
}

/// Holds a file to columns that are not nested.
pub fn flat(metadata: &ParquetMetaData) -> Result<(), Flaw> {
    for column in metadata
        .file_metadata()
        .schema_descr()
        .root_schema()
        .get_fields()
    {
        let info = column.get_basic_info();
        let is_repeated = info.has_repetition() && info.repetition() == Repetition::REPEATED;
        if !column.is_primitive() || is_repeated {
            let name = crate::problem::shown(column.name());
            return Err(Flaw::Unsupported(format!("a nested column, `{name}`")));
        }
    }
    Ok(())
}

/// Looks through a row group before anything is unpacked.
pub fn check(group: &RowGroupMetaData, piece: &Piece) -> Result<Checked, Flaw> {
    let rows = u64::try_from(group.num_rows()).map_err(Flaw::broken)?;
    let (mut unpacked, mut row_bytes_max) = (0_u64, 0_u64);
    for column in group.columns() {
        let pages = pages(column, piece, rows)?;
        unpacked = unpacked.saturating_add(pages.unpacked);
        if unpacked > Guard::ParquetGroup.limit(limits::PARQUET_GROUP_BYTES_MAX) {
            return Err(Flaw::Limit(format!(
                "a row group of more than {} bytes, unpacked",
                limits::PARQUET_GROUP_BYTES_MAX
            )));
        }
        row_bytes_max = row_bytes_max.saturating_add(match column.column_type() {
            // A value may be as long as the longest page: one that a dictionary repeats, or a prefix.
            Physical::BYTE_ARRAY => pages.longest,
            Physical::FIXED_LEN_BYTE_ARRAY => {
                u64::try_from(column.column_descr().type_length()).map_err(Flaw::broken)?
            }
            _ => 16,
        });
    }
    Ok(Checked {
        rows,
        row_bytes_max,
    })
}

#[derive(Debug, Default)]
struct Pages {
    unpacked: u64,
    longest: u64,
}

fn pages(column: &ColumnChunkMetaData, piece: &Piece, rows: u64) -> Result<Pages, Flaw> {
    let name = || crate::problem::shown(column.column_path().string().as_str());
    if column.file_path().is_some() {
        return Err(Flaw::Unsupported("columns in other files".to_owned()));
    }
    match column.compression() {
        Compression::UNCOMPRESSED | Compression::SNAPPY | Compression::ZSTD(_) => {}
        other => {
            let codec = other.to_string();
            let codec = codec.split('(').next().unwrap_or_default();
            return Err(Flaw::Unsupported(format!(
                "compression {codec} (column `{}`); Snappy, Zstandard and none are read",
                name()
            )));
        }
    }
    let bytes = piece
        .range(range(column)?)
        .ok_or_else(|| Flaw::broken(format!("column `{}` lies outside its row group", name())))?;
    let (mut at, mut found, mut values) = (0, Pages::default(), 0_u64);
    while values < rows {
        let header = page_header(bytes.get(at..).unwrap_or_default()).ok_or_else(|| {
            Flaw::broken(format!("column `{}` has a page without a header", name()))
        })?;
        if header.unpacked > Guard::ParquetPage.limit(limits::PARQUET_PAGE_BYTES_MAX) {
            return Err(Flaw::Limit(format!(
                "a page of {} bytes, unpacked, in column `{}`; at most {} are read",
                header.unpacked,
                name(),
                limits::PARQUET_PAGE_BYTES_MAX
            )));
        }
        at += header.bytes + header.packed;
        if at > bytes.len() {
            return Err(Flaw::broken(format!("column `{}` is cut off", name())));
        }
        values = values.saturating_add(header.values.unwrap_or(0));
        found.unpacked += header.unpacked as u64;
        found.longest = found.longest.max(header.unpacked as u64);
    }
    if values != rows || u64::try_from(column.num_values()).ok() != Some(rows) {
        return Err(Flaw::broken(format!(
            "column `{}` has another number of values than its row group has rows",
            name()
        )));
    }
    Ok(found)
}

/// Where a column lies in its file.
fn range(column: &ColumnChunkMetaData) -> Result<Range<u64>, Flaw> {
    let number = |number: i64| {
        u64::try_from(number).map_err(|_| Flaw::broken("it has a column at no place"))
    };
    let start = match column.dictionary_page_offset() {
        Some(dictionary) => number(dictionary)?,
        None => number(column.data_page_offset())?,
    };
    let end = start.checked_add(number(column.compressed_size())?);
    Ok(start..end.ok_or_else(|| Flaw::broken("it has a column beyond every place"))?)
}

/// A part of a file, under the offsets of the whole.
#[derive(Debug, Clone)]
pub struct Piece {
    offset: u64,
    bytes: Bytes,
}

impl Piece {
    /// The bytes that stand from `offset` on.
    pub fn new(offset: u64, bytes: &[u8]) -> Self {
        Self {
            offset,
            bytes: Bytes::copy_from_slice(bytes),
        }
    }

    fn range(&self, range: Range<u64>) -> Option<Bytes> {
        let from = usize::try_from(range.start.checked_sub(self.offset)?).ok()?;
        let to = usize::try_from(range.end.checked_sub(self.offset)?).ok()?;
        (from <= to && to <= self.bytes.len()).then(|| self.bytes.slice(from..to))
    }
}

impl Length for Piece {
    fn len(&self) -> u64 {
        self.offset.saturating_add(self.bytes.len() as u64)
    }
}

impl ChunkReader for Piece {
    type T = Cursor<Bytes>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        self.range(start..self.len())
            .map(Cursor::new)
            .ok_or_else(outside)
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let end = start.checked_add(length as u64).ok_or_else(outside)?;
        self.range(start..end).ok_or_else(outside)
    }
}

fn outside() -> ParquetError {
    ParquetError::EOF("a place outside the row group".to_owned())
}
