//! Bytes to record batches and back: NDJSON, JSON, CSV, Parquet. Pure: no clock, no disk, no network, no tokio, no wasmtime.
//!
//! Whatever a file holds, decoding ends: nesting, record size, records, refusals and nulls filled in are bounded by
//! [`sluice_model::limits`], and each byte is read a bounded number of times. A record that cannot be read, or does
//! not fit its schema, is refused on its own with one of these codes:
//!
//! | code | what |
//! |---|---|
//! | `invalid-json`, `invalid-utf8` | not JSON; not UTF-8 |
//! | `not-an-object` | JSON, but no object |
//! | `too-deep`, `record-too-large` | beyond [`sluice_model::limits::JSON_DEPTH_MAX`], [`sluice_model::limits::RECORD_BYTES_MAX`] |
//! | `duplicate-field` | one field twice: no reader agrees with the next on which counts |
//! | `wrong-type` | a value of another kind than its field; a fraction in an `int64` |
//! | `out-of-range` | a number that its field cannot hold exactly |
//! | `missing-field` | no value where one must be |
//! | `unknown-field` | a field the schema does not have and the contract does not let in |
//! | `ragged-row`, `open-quote` | CSV: another number of fields than the header; a quote never closed |
//!
//! ```text
//! document ─ ndjson │ json::items ─ json::object ─ json::value ─┐
//!          │ csv::records ─ csv::fit ───────────────────────────┴─ columns ─ assembly ─ batches, rejections
//!          └ parquet ─────────────────────────────────────────────────────────┘
//! batch ─ encode::{json, csv}, parquet::write ─ bytes        batch ─ identity ─ row ids
//! ```

#![allow(
    clippy::unnecessary_box_returns,
    reason = "a boxed problem keeps the results of the fast path one word wide"
)]

mod assembly;
mod columns;
mod csv;
mod document;
mod encode;
mod identity;
mod infer;
mod json;
mod moment;
mod ndjson;
mod parquet;
mod problem;
mod widen;

pub use document::{Decoded, Document, DocumentFormat, Outcome, Target, decode};
pub use encode::{EncodeError, Format, encode, encode_rows, record_json};
pub use identity::{ROW_ID_BYTES, RowKey, digests, row_id, row_ids};
pub use infer::{InferError, infer};
pub use parquet::{Rows as ParquetRows, encode as encode_parquet};
