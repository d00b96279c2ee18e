//! Rows as CSV records.

use super::cells::{Cells, Values};
use super::json::write_value;
use crate::json::scan::compact;
use crate::ndjson::BYTE_ORDER_MARK;

/// Appends a line of names, where there are any.
pub fn header(columns: &[Cells<'_>], out: &mut Vec<u8>) {
    if columns.is_empty() {
        return;
    }
    for (at, column) in columns.iter().enumerate() {
        separate(out, at);
        write_text(out, column.name.as_bytes());
    }
    out.push(b'\n');
}

/// Appends one row. `laid_out` is room to work in.
pub fn write(columns: &[Cells<'_>], row: usize, laid_out: &mut Vec<u8>, out: &mut Vec<u8>) {
    for (at, column) in columns.iter().enumerate() {
        separate(out, at);
        if !column.has_value(row) {
            // See `Format::Csv`: an empty line is no record.
            out.extend_from_slice(if columns.len() == 1 { b"\"\"" } else { b"" });
            continue;
        }
        match &column.values {
            Values::Text(packed) => write_text(out, packed.get(row)),
            Values::Binary(packed) if packed.get(row).is_empty() => {
                out.extend_from_slice(b"\"\"");
            }
            Values::Json(packed) => {
                laid_out.clear();
                compact(packed.get(row), laid_out);
                write_text(out, laid_out);
            }
            other => write_value(out, other, row),
        }
    }
    out.push(b'\n');
}

fn separate(out: &mut Vec<u8>, at: usize) {
    if at > 0 {
        out.push(b',');
    }
}

/// Appends a text, in quotes where it would not read back as itself without them: an empty text is not a field
/// without a value, and a byte order mark is not skipped inside quotes.
fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    let needs_quotes = text.is_empty()
        || text.starts_with(BYTE_ORDER_MARK)
        || text
            .iter()
            .any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'));
    if !needs_quotes {
        out.extend_from_slice(text);
        return;
    }
    out.push(b'"');
    for (at, part) in text.split(|&byte| byte == b'"').enumerate() {
        if at > 0 {
            out.extend_from_slice(b"\"\"");
        }
        out.extend_from_slice(part);
    }
    out.push(b'"');
}
