//! Rows as JSON objects.

use super::cells::{Cells, Values};
use crate::json::scan::{compact, special};
use crate::moment;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Writes the rows of one batch.
#[derive(Debug)]
pub struct RowWriter<'a> {
    columns: Vec<ColumnWriter<'a>>,
}

#[derive(Debug)]
struct ColumnWriter<'a> {
    cells: Cells<'a>,
    /// What stands before the value: `{"name":` or `,"name":`, and its opening quote where it is a text.
    lead: Vec<u8>,
    quoted: bool,
    /// No value of the column needs anything but copying: looked up once for all rows.
    plain: bool,
}

/// What a value that is no text takes, in bytes: for reserving room only.
const VALUE_BYTES_GUESS: usize = 20;

/// Whether a byte cannot stand in a JSON string as it is.
#[inline]
fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether none of these bytes is special. Written so that the compiler makes it one pass of vector instructions.
fn is_plain(bytes: &[u8]) -> bool {
    !bytes.chunks(256).any(|chunk| {
        chunk
            .iter()
            .fold(false, |hit, &byte| hit | is_special(byte))
    })
}

impl<'a> RowWriter<'a> {
    /// For these columns.
    pub fn new(cells: Vec<Cells<'a>>) -> Self {
        let columns = cells
            .into_iter()
            .enumerate()
            .map(|(at, cells)| ColumnWriter::new(cells, at == 0))
            .collect();
        Self { columns }
    }

    /// About how many bytes so many rows take.
    pub fn bytes_guess(&self, rows: usize) -> usize {
        let per_row: usize = self
            .columns
            .iter()
            .map(|column| column.lead.len() + VALUE_BYTES_GUESS)
            .sum();
        let texts: usize = self
            .columns
            .iter()
            .map(|column| column.packed_bytes().len())
            .sum();
        per_row * rows + texts + texts / 16
    }

    /// Appends one row.
    #[inline]
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
        for column in &self.columns {
            column.write(row, out);
        }
        out.extend_from_slice(if self.columns.is_empty() { b"{}" } else { b"}" });
    }
}

impl<'a> ColumnWriter<'a> {
    fn new(cells: Cells<'a>, first: bool) -> Self {
        let mut lead = vec![if first { b'{' } else { b',' }];
        write_text(&mut lead, cells.name.as_bytes());
        lead.push(b':');
        let quoted = matches!(
            cells.values,
            Values::Text(_) | Values::Binary(_) | Values::Date(_) | Values::Timestamp(_)
        );
        if quoted {
            lead.push(b'"');
        }
        let mut column = Self {
            cells,
            lead,
            quoted,
            plain: false,
        };
        let bytes = column.packed_bytes();
        column.plain = match column.cells.values {
            Values::Text(_) => is_plain(bytes),
            // Only a line end must not be copied: the text may have been laid out by whoever wrote it.
            Values::Json(_) => memchr::memchr2(b'\n', b'\r', bytes).is_none(),
            _ => true,
        };
        column
    }

    fn packed_bytes(&self) -> &'a [u8] {
        match &self.cells.values {
            Values::Text(packed) | Values::Binary(packed) | Values::Json(packed) => packed.all(),
            _ => &[],
        }
    }

    #[inline]
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        if !self.cells.has_value(row) {
            out.extend_from_slice(&self.lead[..self.lead.len() - usize::from(self.quoted)]);
            out.extend_from_slice(b"null");
            return;
        }
        out.extend_from_slice(&self.lead);
        match &self.cells.values {
            Values::Text(packed) if self.plain => out.extend_from_slice(packed.get(row)),
            Values::Text(packed) => write_escaped(out, packed.get(row)),
            Values::Json(packed) if self.plain => out.extend_from_slice(packed.get(row)),
            Values::Json(packed) => compact(packed.get(row), out),
            other => write_value(out, other, row),
        }
        if self.quoted {
            out.push(b'"');
        }
    }
}

/// Appends a value whose text is the same in JSON and CSV: everything but text and JSON. Not null, and finite.
pub fn write_value(out: &mut Vec<u8>, values: &Values<'_>, row: usize) {
    match values {
        Values::Boolean(array) => {
            out.extend_from_slice(if array.value(row) { b"true" } else { b"false" });
        }
        Values::Int64(values) => {
            out.extend_from_slice(itoa::Buffer::new().format(values[row]).as_bytes());
        }
        Values::Float64(values) => {
            out.extend_from_slice(zmij::Buffer::new().format_finite(values[row]).as_bytes());
        }
        Values::Decimal(values, scale) => write_decimal(out, values[row], *scale),
        Values::Date(values) => moment::write_date(out, values[row].into()),
        Values::Timestamp(values) => moment::write_timestamp(out, values[row]),
        Values::Binary(packed) => {
            let start = out.len();
            let bytes = packed.get(row);
            out.resize(start + bytes.len().div_ceil(3) * 4, 0);
            let written = STANDARD
                .encode_slice(bytes, &mut out[start..])
                .unwrap_or_default();
            out.truncate(start + written);
        }
        Values::Text(packed) | Values::Json(packed) => out.extend_from_slice(packed.get(row)),
    }
}

fn write_decimal(out: &mut Vec<u8>, value: i128, scale: usize) {
    if value < 0 {
        out.push(b'-');
    }
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(value.unsigned_abs()).as_bytes();
    let whole = digits.len().saturating_sub(scale);
    out.extend_from_slice(if whole == 0 { b"0" } else { &digits[..whole] });
    if scale > 0 {
        out.push(b'.');
        out.extend(std::iter::repeat_n(
            b'0',
            scale.saturating_sub(digits.len()),
        ));
        out.extend_from_slice(&digits[whole..]);
    }
}

/// Appends a text as a JSON string, quotes included.
pub fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    write_escaped(out, text);
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, text: &[u8]) {
    let mut written = 0;
    loop {
        let at = special(text, written);
        out.extend_from_slice(&text[written..at]);
        let Some(&byte) = text.get(at) else { return };
        write_escape(out, byte);
        written = at + 1;
    }
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}
