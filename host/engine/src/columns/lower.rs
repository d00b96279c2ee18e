//! Arrow to the contract: one copy a column, offsets from zero, bits from the first row.

use crate::bindings::imports::records as wit;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ByteArrayType, Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{Array, ArrayRef, GenericByteArray};
use arrow_buffer::ArrowNativeType as _;
use sluice_model::batch;
use sluice_model::schema::{Field, FieldType, Schema};

/// A schema, as the contract has it.
pub(crate) fn schema(schema: &Schema) -> wit::Schema {
    wit::Schema {
        fields: schema.fields().iter().map(field).collect(),
        key: schema.key().to_vec(),
    }
}

fn field(field: &Field) -> wit::Field {
    wit::Field {
        name: field.name.clone(),
        kind: kind(field.kind),
        nullable: field.nullable,
    }
}

fn kind(kind: FieldType) -> wit::FieldType {
    match kind {
        FieldType::Boolean => wit::FieldType::Boolean,
        FieldType::Int64 => wit::FieldType::Int64,
        FieldType::Float64 => wit::FieldType::Float64,
        FieldType::Decimal { precision, scale } => {
            wit::FieldType::Decimal(wit::DecimalSize { precision, scale })
        }
        FieldType::Text => wit::FieldType::Text,
        FieldType::Binary => wit::FieldType::Binary,
        FieldType::Date => wit::FieldType::Date,
        FieldType::Timestamp => wit::FieldType::Timestamp,
        FieldType::Json => wit::FieldType::Json,
    }
}

/// One column, of the Arrow form of its field.
pub(crate) fn column(field: &Field, array: &ArrayRef) -> wit::Column {
    let validity = array.nulls().filter(|nulls| nulls.null_count() > 0);
    wit::Column {
        values: values(field.kind, array),
        validity: validity.map(|nulls| bits(&nulls.inner().sliced(), nulls.len())),
    }
}

fn values(kind: FieldType, array: &ArrayRef) -> wit::Values {
    match kind {
        FieldType::Boolean => {
            wit::Values::Boolean(bits(&array.as_boolean().values().sliced(), array.len()))
        }
        FieldType::Int64 => wit::Values::Int64(array.as_primitive::<Int64Type>().values().to_vec()),
        FieldType::Float64 => {
            wit::Values::Float64(array.as_primitive::<Float64Type>().values().to_vec())
        }
        FieldType::Decimal { .. } => {
            let values = array.as_primitive::<Decimal128Type>().values();
            wit::Values::Decimal(
                values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            )
        }
        FieldType::Text => wit::Values::Text(packed(array.as_string::<i32>())),
        FieldType::Json => wit::Values::Json(packed(array.as_string::<i32>())),
        FieldType::Binary => wit::Values::Binary(packed(array.as_binary::<i32>())),
        FieldType::Date => wit::Values::Date(array.as_primitive::<Date32Type>().values().to_vec()),
        FieldType::Timestamp => wit::Values::Timestamp(
            array
                .as_primitive::<TimestampMicrosecondType>()
                .values()
                .to_vec(),
        ),
    }
}

/// `buffer` begins at the first row's bit; what stands behind the last row is not the guest's to see.
fn bits(buffer: &arrow_buffer::Buffer, rows: usize) -> Vec<u8> {
    let mut bytes = buffer.as_slice()[..rows.div_ceil(8)].to_vec();
    if let (Some(last), used @ 1..) = (bytes.last_mut(), rows % 8) {
        *last &= (1 << used) - 1;
    }
    bytes
}

fn packed<T: ByteArrayType<Offset = i32>>(array: &GenericByteArray<T>) -> wit::Packed {
    let offsets = array.value_offsets();
    let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
    wit::Packed {
        offsets: if first == 0 {
            offsets.to_vec()
        } else {
            offsets.iter().map(|offset| offset - first).collect()
        },
        bytes: array.value_data()[first.as_usize()..last.as_usize()].to_vec(),
    }
}

pub(crate) fn changes(changes: &[batch::Change]) -> Vec<wit::Change> {
    changes
        .iter()
        .map(|change| match change {
            batch::Change::Upsert => wit::Change::Upsert,
            batch::Change::Delete => wit::Change::Delete,
        })
        .collect()
}
