//! A narrow door for the fuzz targets in `tests/fuzz`, which stand outside this crate: the validator of columns, which
//! is the one place where bytes of a guest become memory that Arrow trusts. Not compiled without the feature `fuzzing`.

use crate::bindings::imports::records as wit;
use crate::columns::{lift, lower};
use arbitrary::{Arbitrary as _, Result, Unstructured};
use arrow_array::Array as _;
use sluice_model::schema::Schema;

/// Hands over the columns that these bytes make, as a guest would; true where they were believed.
///
/// # Panics
/// Where a column that was believed is not what Arrow asks of it, or does not come back as it went in.
pub fn columns(bytes: &[u8]) -> bool {
    let mut bytes = Unstructured::new(bytes);
    let (Ok(rows), Ok(given)) = (bytes.int_in_range(0..=9_usize), named_column(&mut bytes)) else {
        return false;
    };
    let nullable = given.field.nullable;
    let Ok((field, array)) = lift::named_column(given, rows) else {
        return false;
    };
    assert_eq!(array.len(), rows);
    assert_eq!(array.data_type(), &field.kind.arrow());
    assert!(nullable || array.null_count() == 0);
    array
        .to_data()
        .validate_full()
        .expect("what is believed is what arrow asks for");
    let schema = Schema::new(vec![field.clone()], Vec::new()).expect("one field is a schema");
    let lowered = wit::NamedColumn {
        field: lower::schema(&schema).fields.remove(0),
        column: lower::column(&field, &array),
    };
    let again = lift::named_column(lowered, rows).map(|(_, again)| again);
    assert_eq!(again.as_ref(), Ok(&array), "what the host says is believed");
    true
}

fn named_column(bytes: &mut Unstructured<'_>) -> Result<wit::NamedColumn> {
    let nullable = bool::arbitrary(bytes)?;
    let validity = Option::<Vec<u8>>::arbitrary(bytes)?;
    let (of_its_kind, values) = values(bytes)?;
    let kind = if bytes.ratio(1, 8)? {
        self::values(bytes)?.0
    } else {
        of_its_kind
    };
    let field = wit::Field {
        name: String::arbitrary(bytes)?,
        kind,
        nullable,
    };
    let column = wit::Column { values, validity };
    Ok(wit::NamedColumn { field, column })
}

fn values(bytes: &mut Unstructured<'_>) -> Result<(wit::FieldType, wit::Values)> {
    use wit::{FieldType, Values};
    Ok(match bytes.int_in_range(0..=8)? {
        0 => (FieldType::Boolean, Values::Boolean(list(bytes)?)),
        1 => (FieldType::Int64, Values::Int64(list(bytes)?)),
        2 => (FieldType::Float64, Values::Float64(list(bytes)?)),
        3 => {
            let size = wit::DecimalSize {
                precision: bytes.arbitrary()?,
                scale: bytes.arbitrary()?,
            };
            (FieldType::Decimal(size), Values::Decimal(list(bytes)?))
        }
        4 => (FieldType::Text, Values::Text(packed(bytes)?)),
        5 => (FieldType::Binary, Values::Binary(packed(bytes)?)),
        6 => (FieldType::Date, Values::Date(list(bytes)?)),
        7 => (FieldType::Timestamp, Values::Timestamp(list(bytes)?)),
        _ => (FieldType::Json, Values::Json(packed(bytes)?)),
    })
}

fn list<'a, T: arbitrary::Arbitrary<'a>>(bytes: &mut Unstructured<'a>) -> Result<Vec<T>> {
    Vec::arbitrary(bytes)
}

/// Offsets that often lead somewhere: steps from one to the next, small ones as often as any.
fn packed(bytes: &mut Unstructured<'_>) -> Result<wit::Packed> {
    let mut offsets = Vec::new();
    let mut at = i32::from(bytes.ratio(1, 16)?);
    offsets.push(at);
    for _ in 0..bytes.int_in_range(0..=9)? {
        let step = if bytes.ratio(1, 16)? {
            i32::arbitrary(bytes)?
        } else {
            bytes.int_in_range(0..=4)?
        };
        at = at.wrapping_add(step);
        offsets.push(at);
    }
    let has = usize::try_from(at).unwrap_or_default().min(bytes.len());
    let text = if bytes.ratio(1, 8)? {
        Vec::arbitrary(bytes)?
    } else {
        bytes.bytes(has.min(bytes.len()))?.to_vec()
    };
    Ok(wit::Packed {
        offsets,
        bytes: text,
    })
}
