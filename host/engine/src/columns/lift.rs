//! The contract to Arrow. A guest's columns are hostile bytes until every length, offset, bit, text and number in
//! them has been checked; what is wrong is told by column and row.
//!
//! Invariant: nothing a guest hands over can make this panic, or an Arrow array that breaks Arrow's own rules (test:
//! `any_column_is_refused_or_sound`).

use super::Lie;
use crate::bindings::imports::records as wit;
use crate::json;
use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array,
    RecordBatch, RecordBatchOptions, StringArray, TimestampMicrosecondArray,
};
use arrow_buffer::{
    ArrowNativeType as _, BooleanBuffer, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer,
};
use sluice_model::batch::Change;
use sluice_model::guards::Guard;
use sluice_model::limits;
use sluice_model::schema::{Field, FieldType, Schema};
use std::borrow::Cow;
use std::sync::Arc;

/// A schema the guest speaks of.
pub(crate) fn schema(given: wit::Schema) -> Result<Schema, Lie> {
    let fields = given
        .fields
        .into_iter()
        .map(field)
        .collect::<Result<Vec<_>, _>>()?;
    Schema::new(fields, given.key).map_err(|error| Lie::of_names(&error))
}

/// A field the guest speaks of.
pub(crate) fn field(given: wit::Field) -> Result<Field, Lie> {
    if Guard::FieldNamed.bars(given.name.is_empty())
        || given.name.len() > Guard::FieldName.limit(limits::FIELD_NAME_BYTES_MAX)
    {
        let what = format!("a name has 1 to {} bytes", limits::FIELD_NAME_BYTES_MAX);
        return Err(Lie::column(&given.name, what));
    }
    let kind = match given.kind {
        wit::FieldType::Boolean => FieldType::Boolean,
        wit::FieldType::Int64 => FieldType::Int64,
        wit::FieldType::Float64 => FieldType::Float64,
        wit::FieldType::Decimal(size) => {
            let scale_fits = u8::try_from(size.scale).is_ok_and(|scale| scale <= size.precision);
            let is_one = (1..=38).contains(&size.precision) && scale_fits;
            if Guard::DecimalKind.bars(!is_one) {
                let what = format!("there is no decimal({},{})", size.precision, size.scale);
                return Err(Lie::column(&given.name, what));
            }
            FieldType::Decimal {
                precision: size.precision,
                scale: size.scale,
            }
        }
        wit::FieldType::Text => FieldType::Text,
        wit::FieldType::Binary => FieldType::Binary,
        wit::FieldType::Date => FieldType::Date,
        wit::FieldType::Timestamp => FieldType::Timestamp,
        wit::FieldType::Json => FieldType::Json,
    };
    Ok(Field::new(given.name, kind, given.nullable))
}

/// Whole columns, as a source gives them.
pub(crate) fn columns(
    given: Vec<wit::NamedColumn>,
    rows: usize,
) -> Result<(Schema, RecordBatch), Lie> {
    let mut fields = Vec::with_capacity(given.len());
    let mut arrays = Vec::with_capacity(given.len());
    for named in given {
        let (field, array) = named_column(named, rows)?;
        fields.push(field);
        arrays.push(array);
    }
    let schema = Schema::new(fields, Vec::new()).map_err(|error| Lie::of_names(&error))?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let data = RecordBatch::try_new_with_options(Arc::clone(schema.arrow()), arrays, &options)
        .map_err(|error| Lie::new(error.to_string()))?;
    Ok((schema, data))
}

/// One column with its field.
pub(crate) fn named_column(given: wit::NamedColumn, rows: usize) -> Result<(Field, ArrayRef), Lie> {
    let field = field(given.field)?;
    let array = column(&field, given.column, rows)?;
    Ok((field, array))
}

/// The bytes a column holds, as they were handed over.
pub(crate) fn bytes(column: &wit::Column) -> usize {
    let values = match &column.values {
        wit::Values::Boolean(bits) => bits.len(),
        wit::Values::Int64(values) | wit::Values::Timestamp(values) => values.len() * 8,
        wit::Values::Float64(values) => values.len() * 8,
        wit::Values::Decimal(bytes) => bytes.len(),
        wit::Values::Date(values) => values.len() * 4,
        wit::Values::Text(packed) | wit::Values::Binary(packed) | wit::Values::Json(packed) => {
            packed.offsets.len() * 4 + packed.bytes.len()
        }
    };
    values + column.validity.as_ref().map_or(0, Vec::len)
}

/// What each row asks for.
pub(crate) fn changes(given: &[wit::Change], rows: usize) -> Result<Vec<Change>, Lie> {
    if Guard::ChangesCount.bars(given.len() != rows) {
        return Err(Lie::new(format!("{} changes for {rows} rows", given.len())));
    }
    Ok(asked(given))
}

/// The same of a document, whose rows are counted when it is decoded.
pub(crate) fn asked(given: &[wit::Change]) -> Vec<Change> {
    let change = |change: &wit::Change| match change {
        wit::Change::Upsert => Change::Upsert,
        wit::Change::Delete => Change::Delete,
    };
    given.iter().map(change).collect()
}

/// One bit a row, in no more and no fewer bytes than that takes.
pub(crate) fn bits(given: Vec<u8>, rows: usize) -> Result<BooleanBuffer, String> {
    if Guard::BitsCount.bars(given.len() != rows.div_ceil(8)) {
        return Err(format!(
            "{} bytes of bits for {rows} rows; {} are needed",
            given.len(),
            rows.div_ceil(8)
        ));
    }
    Ok(BooleanBuffer::new(Buffer::from_vec(given), 0, rows))
}

fn column(field: &Field, given: wit::Column, rows: usize) -> Result<ArrayRef, Lie> {
    let lie = |what: String| Lie::column(&field.name, what);
    let validity = given
        .validity
        .map(|validity| bits(validity, rows))
        .transpose();
    let validity = validity.map_err(|what| lie(format!("validity: {what}")))?;
    let nulls = validity
        .map(NullBuffer::new)
        .filter(|nulls| nulls.null_count() > 0);
    if let (false, Some(nulls)) = (field.nullable || !Guard::NullsAllowed.stands(), &nulls) {
        let row = nulls.iter().position(|valid| !valid).unwrap_or_default();
        return Err(lie(format!(
            "row {row} has no value, but the column is not nullable"
        )));
    }
    let has = |given: usize| {
        if Guard::RowsCount.holds(given == rows) {
            Ok(())
        } else {
            Err(lie(format!("{given} values for {rows} rows")))
        }
    };
    Ok(match (field.kind, given.values) {
        (FieldType::Boolean, wit::Values::Boolean(values)) => {
            Arc::new(BooleanArray::new(bits(values, rows).map_err(lie)?, nulls))
        }
        (FieldType::Int64, wit::Values::Int64(values)) => {
            has(values.len())?;
            Arc::new(Int64Array::new(values.into(), nulls))
        }
        (FieldType::Float64, wit::Values::Float64(values)) => {
            has(values.len())?;
            Arc::new(Float64Array::new(values.into(), nulls))
        }
        (FieldType::Date, wit::Values::Date(values)) => {
            has(values.len())?;
            Arc::new(Date32Array::new(values.into(), nulls))
        }
        (FieldType::Timestamp, wit::Values::Timestamp(values)) => {
            has(values.len())?;
            Arc::new(TimestampMicrosecondArray::new(values.into(), nulls).with_timezone("UTC"))
        }
        (FieldType::Decimal { precision, scale }, wit::Values::Decimal(bytes)) => {
            let values = decimals(&bytes, rows, precision, nulls.as_ref()).map_err(lie)?;
            let array = Decimal128Array::new(values.into(), nulls)
                .with_precision_and_scale(precision, scale);
            Arc::new(array.map_err(|error| lie(error.to_string()))?)
        }
        (FieldType::Binary, wit::Values::Binary(packed)) => {
            let (offsets, bytes) = offsets(packed, rows).map_err(lie)?;
            let array = BinaryArray::try_new(offsets, Buffer::from_vec(bytes), nulls);
            Arc::new(array.map_err(|error| lie(error.to_string()))?)
        }
        (FieldType::Text, wit::Values::Text(packed)) => {
            Arc::new(text(packed, rows, nulls.as_ref()).map_err(lie)?)
        }
        (FieldType::Json, wit::Values::Json(packed)) => {
            let array = text(packed, rows, nulls.as_ref()).map_err(lie)?;
            json_texts(&array).map_err(lie)?;
            Arc::new(array)
        }
        (kind, _) => return Err(lie(format!("its values are not of its type, `{kind}`"))),
    })
}

/// 16 bytes a row, and no more digits than the column has.
fn decimals(
    bytes: &[u8],
    rows: usize,
    precision: u8,
    nulls: Option<&NullBuffer>,
) -> Result<Vec<i128>, String> {
    let (values, rest) = bytes.as_chunks::<16>();
    if Guard::DecimalBytes.bars(values.len() != rows || !rest.is_empty()) {
        return Err(format!(
            "{} bytes for {rows} rows; 16 a row are needed",
            bytes.len()
        ));
    }
    let end = 10_u128.pow(u32::from(precision));
    let values: Vec<i128> = values
        .iter()
        .map(|bytes| i128::from_le_bytes(*bytes))
        .collect();
    let valid = |row: usize| nulls.is_none_or(|nulls| nulls.is_valid(row));
    match values.iter().enumerate().position(|(row, value)| {
        Guard::DecimalDigits.bars(value.unsigned_abs() >= end && valid(row))
    }) {
        Some(row) => Err(format!("row {row} has more than {precision} digits")),
        None => Ok(values),
    }
}

/// One entry more than there are rows, from zero, never back, to the end of the bytes.
fn offsets(packed: wit::Packed, rows: usize) -> Result<(OffsetBuffer<i32>, Vec<u8>), String> {
    let wit::Packed { offsets, bytes } = packed;
    if Guard::OffsetsCount.bars(offsets.len() != rows + 1) {
        return Err(format!(
            "{} offsets for {rows} rows; {} are needed",
            offsets.len(),
            rows + 1
        ));
    }
    if Guard::OffsetsBegin.bars(offsets[0] != 0) {
        return Err(format!("its offsets begin at {}, not at 0", offsets[0]));
    }
    if Guard::OffsetsOrder.bars(!offsets.is_sorted()) {
        let row = offsets
            .windows(2)
            .position(|pair| pair[0] > pair[1])
            .unwrap_or_default();
        return Err(format!("its offsets decrease at row {row}"));
    }
    if Guard::OffsetsEnd.bars(usize::try_from(offsets[rows]) != Ok(bytes.len())) {
        return Err(format!(
            "its offsets end at {}, its bytes at {}",
            offsets[rows],
            bytes.len()
        ));
    }
    Ok((OffsetBuffer::new(ScalarBuffer::from(offsets)), bytes))
}

fn text(
    packed: wit::Packed,
    rows: usize,
    nulls: Option<&NullBuffer>,
) -> Result<StringArray, String> {
    let (offsets, bytes) = offsets(packed, rows)?;
    let buffer = Buffer::from_vec(bytes);
    // Arrow checks the whole of the bytes at once, and that no offset cuts a character.
    if let Ok(array) = StringArray::try_new(offsets.clone(), buffer.clone(), nulls.cloned()) {
        return Ok(array);
    }
    text_by_row(&offsets, &buffer, nulls)
}

/// The same a row at a time: either a row without a value hides bytes that are no text, which the contract allows, or
/// this finds the row to name.
#[cold]
fn text_by_row(
    offsets: &OffsetBuffer<i32>,
    bytes: &[u8],
    nulls: Option<&NullBuffer>,
) -> Result<StringArray, String> {
    let mut values = Vec::with_capacity(offsets.len() - 1);
    for (row, pair) in offsets.windows(2).enumerate() {
        if nulls.is_some_and(|nulls| nulls.is_null(row)) {
            values.push(None);
            continue;
        }
        let value = String::from_utf8_lossy(&bytes[pair[0].as_usize()..pair[1].as_usize()]);
        if Guard::TextUtf8.bars(matches!(value, Cow::Owned(_))) {
            return Err(format!("row {row} is not UTF-8"));
        }
        values.push(Some(value));
    }
    Ok(values.iter().map(Option::as_deref).collect())
}

fn json_texts(array: &StringArray) -> Result<(), String> {
    for (row, value) in array.iter().enumerate() {
        let Some(value) = value else { continue };
        if Guard::ColumnJson.stands() {
            json::check(value).map_err(|what| format!("row {row} {what}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_wrap, reason = "a test has few rows")]

    use super::*;
    use crate::columns::lower;
    use arrow_array::Array as _;
    use proptest::prelude::*;

    fn kinds() -> impl Strategy<Value = wit::FieldType> {
        prop_oneof![
            Just(wit::FieldType::Boolean),
            Just(wit::FieldType::Int64),
            Just(wit::FieldType::Float64),
            (0..42_u8, -2..40_i8).prop_map(|(precision, scale)| {
                wit::FieldType::Decimal(wit::DecimalSize { precision, scale })
            }),
            Just(wit::FieldType::Text),
            Just(wit::FieldType::Binary),
            Just(wit::FieldType::Date),
            Just(wit::FieldType::Timestamp),
            Just(wit::FieldType::Json),
        ]
    }

    /// Mostly sound, sometimes not: offsets into a few bytes that are often text.
    fn packed() -> impl Strategy<Value = wit::Packed> {
        let sound = prop::collection::vec("[a1å\\[\\]]{0,3}", 0..6).prop_map(|texts| {
            let mut offsets = vec![0];
            for text in &texts {
                offsets.push(offsets[offsets.len() - 1] + text.len() as i32);
            }
            wit::Packed {
                offsets,
                bytes: texts.concat().into_bytes(),
            }
        });
        let wild = (
            prop::collection::vec(-1..9_i32, 0..6),
            prop::collection::vec(any::<u8>(), 0..9),
        )
            .prop_map(|(offsets, bytes)| wit::Packed { offsets, bytes });
        let bent = (
            sound.clone(),
            any::<prop::sample::Index>(),
            -2..3_i32,
            any::<u8>(),
        )
            .prop_map(|(mut packed, at, by, byte)| {
                let index = at.index(packed.offsets.len());
                packed.offsets[index] += by;
                if !packed.bytes.is_empty() {
                    let index = at.index(packed.bytes.len());
                    packed.bytes[index] = byte;
                }
                packed
            });
        prop_oneof![sound, bent, wild]
    }

    fn values() -> impl Strategy<Value = wit::Values> {
        let bytes = || prop::collection::vec(any::<u8>(), 0..3);
        prop_oneof![
            bytes().prop_map(wit::Values::Boolean),
            prop::collection::vec(any::<i64>(), 0..6).prop_map(wit::Values::Int64),
            prop::collection::vec(any::<f64>(), 0..6).prop_map(wit::Values::Float64),
            prop::collection::vec(any::<i128>(), 0..6).prop_map(|values| {
                wit::Values::Decimal(
                    values
                        .iter()
                        .flat_map(|value| (value >> 90).to_le_bytes())
                        .collect(),
                )
            }),
            prop::collection::vec(any::<u8>(), 0..64).prop_map(wit::Values::Decimal),
            packed().prop_map(wit::Values::Text),
            packed().prop_map(wit::Values::Binary),
            packed().prop_map(wit::Values::Json),
            prop::collection::vec(any::<i32>(), 0..6).prop_map(wit::Values::Date),
            prop::collection::vec(any::<i64>(), 0..6).prop_map(wit::Values::Timestamp),
        ]
    }

    fn matching() -> impl Strategy<Value = (wit::FieldType, wit::Values)> {
        values().prop_map(|values| {
            let kind = match &values {
                wit::Values::Boolean(_) => wit::FieldType::Boolean,
                wit::Values::Int64(_) => wit::FieldType::Int64,
                wit::Values::Float64(_) => wit::FieldType::Float64,
                wit::Values::Decimal(_) => wit::FieldType::Decimal(wit::DecimalSize {
                    precision: 12,
                    scale: 2,
                }),
                wit::Values::Text(_) => wit::FieldType::Text,
                wit::Values::Binary(_) => wit::FieldType::Binary,
                wit::Values::Date(_) => wit::FieldType::Date,
                wit::Values::Timestamp(_) => wit::FieldType::Timestamp,
                wit::Values::Json(_) => wit::FieldType::Json,
            };
            (kind, values)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4_000, ..ProptestConfig::default() })]

        #[test]
        fn any_column_is_refused_or_sound(
            (kind, values) in prop_oneof![4 => matching(), 1 => (kinds(), values())],
            validity in prop::option::of(prop::collection::vec(any::<u8>(), 0..2)),
            nullable in any::<bool>(),
            rows in 0..6_usize,
        ) {
            let field = wit::Field { name: "c".to_owned(), kind, nullable };
            let given = wit::NamedColumn { field, column: wit::Column { values, validity } };
            if let Ok((field, array)) = named_column(given, rows) {
                prop_assert_eq!(array.len(), rows);
                prop_assert_eq!(array.data_type(), &field.kind.arrow());
                prop_assert!(nullable || array.null_count() == 0);
                prop_assert_eq!(array.to_data().validate_full().map_err(|error| error.to_string()), Ok(()));
                let lowered = wit::NamedColumn {
                    field: lower::schema(&Schema::new(vec![field.clone()], vec![]).expect("a schema")).fields.remove(0),
                    column: lower::column(&field, &array),
                };
                let (_, again) = named_column(lowered, rows).expect("what the host says is believed");
                prop_assert_eq!(&again, &array);
            }
        }
    }

    fn text(offsets: &[i32], bytes: &[u8], validity: Option<Vec<u8>>) -> Result<ArrayRef, Lie> {
        let field = wit::Field {
            name: "c".to_owned(),
            kind: wit::FieldType::Text,
            nullable: true,
        };
        let packed = wit::Packed {
            offsets: offsets.to_vec(),
            bytes: bytes.to_vec(),
        };
        let column = wit::Column {
            values: wit::Values::Text(packed),
            validity,
        };
        named_column(wit::NamedColumn { field, column }, offsets.len() - 1).map(|(_, array)| array)
    }

    #[test]
    fn what_stands_in_a_row_without_a_value_is_ignored() {
        let array = text(&[0, 1, 3, 4], b"a\xff\xfec", Some(vec![0b101])).expect("a column");
        let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None, Some("c")]));
        assert_eq!(&array, &expected);
        assert!(text(&[0, 1, 3, 4], b"a\xff\xfec", None).is_err());
    }

    #[test]
    fn slices_are_lowered_from_their_first_row() {
        let array = text(&[0, 1, 3, 4], b"abcd", Some(vec![0b110]))
            .expect("a column")
            .slice(1, 2);
        let field = Field::new("c", FieldType::Text, true);
        let wit::Column {
            values: wit::Values::Text(packed),
            validity,
        } = lower::column(&field, &array)
        else {
            panic!("text stays text");
        };
        assert_eq!(
            (packed.offsets, packed.bytes, validity),
            (vec![0, 2, 3], b"bcd".to_vec(), None)
        );
        let bits: ArrayRef =
            Arc::new(BooleanArray::from(vec![true, false, true, true]).slice(1, 2));
        let field = Field::new("c", FieldType::Boolean, true);
        let wit::Values::Boolean(bits) = lower::column(&field, &bits).values else {
            panic!("bits stay bits")
        };
        assert_eq!(bits, [0b10]);
    }
}
