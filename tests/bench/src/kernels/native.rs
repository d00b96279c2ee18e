//! The plugins' kernels as one would write them natively on Arrow, for these columns alone.

use anyhow::{Context, Result};
use arrow_array::builder::StringBuilder;
use arrow_array::cast::AsArray as _;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{
    Array as _, ArrayRef, BooleanArray, Float64Array, RecordBatch, StringArray, new_null_array,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use arrow_select::filter::filter_record_batch;
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use std::fmt::Write as _;
use std::sync::Arc;

/// A key for the hash.
const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Characters that are left of an address.
const ADDRESS_CHARACTERS: usize = 8;
/// The width of a bucket of quantities.
const BUCKET: i64 = 5;

/// Columns of a batch, to be changed.
struct Columns {
    fields: Vec<FieldRef>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Self {
        Self {
            fields: batch.schema().fields().iter().cloned().collect(),
            arrays: batch.columns().to_vec(),
        }
    }

    fn at(&self, name: &str) -> Result<usize> {
        let at = self.fields.iter().position(|field| field.name() == name);
        at.with_context(|| format!("no column `{name}`"))
    }

    fn drop(&mut self, name: &str) -> Result<()> {
        let at = self.at(name)?;
        self.fields.remove(at);
        self.arrays.remove(at);
        Ok(())
    }

    fn done(self) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(
            Arc::new(Schema::new(self.fields)),
            self.arrays,
        )?)
    }
}

/// Nothing is changed.
pub(super) fn identity(batch: &RecordBatch) -> Result<RecordBatch> {
    Columns::of(batch).done()
}

/// What [`crate::deployment::STEPS`] say.
pub(super) fn map(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = Columns::of(batch);
    let rows = batch.num_rows();
    let quantities = columns.arrays[columns.at("qty")?]
        .as_primitive::<Int64Type>()
        .values();
    let prices = columns.arrays[columns.at("unit_price")?]
        .as_primitive::<Float64Type>()
        .values();
    let totals: Vec<f64> = quantities
        .iter()
        .zip(prices.iter())
        .map(|(quantity, price)| (*quantity as f64 * price * 100.0).round() / 100.0)
        .collect();
    let at = columns.at("currency")?;
    let currency = columns.arrays[at].as_string::<i32>();
    let mut bytes = currency.value_data().to_vec();
    bytes.make_ascii_uppercase();
    let offsets = currency.offsets().clone();
    let nulls = currency.nulls().cloned();
    columns.arrays[at] = Arc::new(StringArray::try_new(
        offsets,
        Buffer::from_vec(bytes),
        nulls,
    )?);
    let status = columns.arrays[columns.at("status")?].as_string::<i32>();
    let mut keep = BooleanBufferBuilder::new(rows);
    for row in 0..rows {
        keep.append(status.value(row) != "cancelled");
    }
    let keep = BooleanArray::new(keep.finish(), None);
    let at = columns.at("customer_name")?;
    columns.fields[at] = Arc::new(columns.fields[at].as_ref().clone().with_name("customer"));
    columns
        .fields
        .push(Arc::new(Field::new("total", DataType::Float64, true)));
    columns
        .arrays
        .push(Arc::new(Float64Array::new(totals.into(), None)));
    columns.drop("email")?;
    columns.drop("internal_flag")?;
    Ok(filter_record_batch(&columns.done()?, &keep)?)
}

/// What `mask` is told where it only cuts, groups and removes.
pub(super) fn cut_config() -> Value {
    json!({
        "truncate": [{"columns": ["address"], "characters": ADDRESS_CHARACTERS}],
        "generalise": [{"columns": ["qty"], "bucket": BUCKET}],
        "redact": ["note"],
    })
}

/// The same.
pub(super) fn cut(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = Columns::of(batch);
    let at = columns.at("address")?;
    let addresses = columns.arrays[at].as_string::<i32>();
    let mut cut = StringBuilder::with_capacity(batch.num_rows(), addresses.value_data().len());
    for text in addresses {
        cut.append_option(text.map(|text| {
            let end = text.char_indices().nth(ADDRESS_CHARACTERS);
            end.map_or(text, |(end, _)| &text[..end])
        }));
    }
    columns.arrays[at] = Arc::new(cut.finish());
    let at = columns.at("qty")?;
    let quantities = columns.arrays[at].as_primitive::<Int64Type>();
    columns.arrays[at] =
        Arc::new(quantities.unary::<_, Int64Type>(|value| value - value.rem_euclid(BUCKET)));
    let at = columns.at("note")?;
    columns.arrays[at] = new_null_array(&DataType::Utf8, batch.num_rows());
    columns.done()
}

/// What `mask` is told where it hashes.
pub(super) fn hash_config() -> Value {
    json!({"hash": ["email"], "key": KEY})
}

/// The same.
pub(super) fn hash(batch: &RecordBatch) -> Result<RecordBatch> {
    let mut columns = Columns::of(batch);
    let at = columns.at("email")?;
    let keyed = Hmac::<Sha256>::new_from_slice(KEY.as_bytes())?;
    let mut hashes = StringBuilder::with_capacity(batch.num_rows(), batch.num_rows() * 64);
    for text in columns.arrays[at].as_string::<i32>() {
        if let Some(text) = text {
            let mut mac = keyed.clone();
            mac.update(text.as_bytes());
            write_hex(&mac.finalize().into_bytes(), &mut hashes)?;
            hashes.append_value("");
        } else {
            hashes.append_null();
        }
    }
    columns.arrays[at] = Arc::new(hashes.finish());
    columns.done()
}

fn write_hex(bytes: &[u8], out: &mut StringBuilder) -> Result<()> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.write_char(char::from(DIGITS[usize::from(byte >> 4)]))?;
        out.write_char(char::from(DIGITS[usize::from(byte & 15)]))?;
    }
    Ok(())
}
