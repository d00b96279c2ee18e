//! How it lies about a column of three rows, in each of the types there are.

use crate::behaviour::Behaviour;
use crate::bindings::sluice::plugin::records::{
    Column, DecimalSize, Field, FieldType, NamedColumn, Packed, Values,
};
use crate::lies;

const SIZE: DecimalSize = DecimalSize {
    precision: 5,
    scale: 2,
};

/// The column, where the lie is about one.
pub fn lying(behaviour: Behaviour) -> Option<NamedColumn> {
    let (kind, values, validity) = rows(behaviour)
        .or_else(|| bitmap(behaviour))
        .or_else(|| offsets(behaviour))
        .or_else(|| kind(behaviour))
        .or_else(|| other(behaviour))?;
    let field = Field {
        name: "thing".to_owned(),
        kind,
        nullable: true,
    };
    let column = Column { values, validity };
    Some(NamedColumn { field, column })
}

type Lie = Option<(FieldType, Values, Option<Vec<u8>>)>;

fn packed(offsets: &[i32], bytes: &[u8]) -> Packed {
    Packed {
        offsets: offsets.to_vec(),
        bytes: bytes.to_vec(),
    }
}

fn decimals(values: &[i128]) -> Vec<u8> {
    values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect()
}

/// Another number of values than three.
fn rows(behaviour: Behaviour) -> Lie {
    let (kind, values) = match behaviour {
        Behaviour::RowsBoolean => (FieldType::Boolean, Values::Boolean(vec![])),
        Behaviour::BooleanLong => (FieldType::Boolean, Values::Boolean(vec![7, 7])),
        Behaviour::RowsFloat64 => (FieldType::Float64, Values::Float64(vec![f64::NAN])),
        Behaviour::RowsDecimal => (FieldType::Decimal(SIZE), Values::Decimal(decimals(&[1, 2]))),
        Behaviour::DecimalTorn => (FieldType::Decimal(SIZE), Values::Decimal(vec![0; 47])),
        Behaviour::RowsBinary => (FieldType::Binary, Values::Binary(packed(&[0, 1], b"a"))),
        Behaviour::RowsDate => (FieldType::Date, Values::Date(vec![1, 2])),
        Behaviour::RowsTimestamp => (FieldType::Timestamp, Values::Timestamp(vec![])),
        Behaviour::RowsJson => (FieldType::Json, Values::Json(packed(&[], b""))),
        Behaviour::RowsMany => (FieldType::Int64, Values::Int64(vec![1, 2, 3, 4])),
        _ => return None,
    };
    Some((kind, values, None))
}

/// Values that are right, beside a bitmap that is not.
fn bitmap(behaviour: Behaviour) -> Lie {
    let three = packed(&[0, 1, 2, 3], b"123");
    let (kind, values) = match behaviour {
        Behaviour::ValidityBoolean => (FieldType::Boolean, Values::Boolean(vec![7])),
        Behaviour::ValidityFloat64 => (FieldType::Float64, Values::Float64(vec![1.0; 3])),
        Behaviour::ValidityDecimal => (
            FieldType::Decimal(SIZE),
            Values::Decimal(decimals(&[1, 2, 3])),
        ),
        Behaviour::ValidityText => (FieldType::Text, Values::Text(three)),
        Behaviour::ValidityBinary => (FieldType::Binary, Values::Binary(three)),
        Behaviour::ValidityDate => (FieldType::Date, Values::Date(vec![1; 3])),
        Behaviour::ValidityTimestamp => (FieldType::Timestamp, Values::Timestamp(vec![1; 3])),
        Behaviour::ValidityJson => (FieldType::Json, Values::Json(three)),
        Behaviour::ValidityLong => {
            let values = Values::Int64(vec![1; 3]);
            return Some((FieldType::Int64, values, Some(vec![7, 0])));
        }
        _ => return None,
    };
    Some((kind, values, Some(vec![])))
}

fn offsets(behaviour: Behaviour) -> Lie {
    let binary = |packed| (FieldType::Binary, Values::Binary(packed));
    let json = |packed| (FieldType::Json, Values::Json(packed));
    let text = |packed| (FieldType::Text, Values::Text(packed));
    let (decrease, outside, short) = ([0, 2, 1, 3], [0, 1, 2, 9], [0, 1, 1, 2]);
    let (late, negative) = ([1, 1, 2, 3], [-1, 0, 1, 3]);
    let (kind, values) = match behaviour {
        Behaviour::BinaryDecrease => binary(packed(&decrease, b"123")),
        Behaviour::BinaryOutside => binary(packed(&outside, b"123")),
        Behaviour::BinaryShort => binary(packed(&short, b"123")),
        Behaviour::BinaryLate => binary(packed(&late, b"123")),
        Behaviour::BinaryNegative => binary(packed(&negative, b"123")),
        Behaviour::JsonDecrease => json(packed(&decrease, b"123")),
        Behaviour::JsonOutside => json(packed(&outside, b"123")),
        Behaviour::JsonShort => json(packed(&short, b"123")),
        Behaviour::JsonLate => json(packed(&late, b"123")),
        Behaviour::JsonNegative => json(packed(&negative, b"123")),
        Behaviour::OffsetsMost => text(packed(&[0, 1, 2, i32::MAX], b"123")),
        Behaviour::OffsetsLeast => text(packed(&[0, 1, i32::MIN, 3], b"123")),
        Behaviour::OffsetsGibibyte => text(Packed {
            offsets: lies::gibibyte(),
            bytes: vec![],
        }),
        _ => return None,
    };
    Some((kind, values, None))
}

/// Three values of another type.
fn kind(behaviour: Behaviour) -> Lie {
    let int64 = || Values::Int64(vec![1, 2, 3]);
    let text = || Values::Text(packed(&[0, 1, 2, 3], b"123"));
    let (kind, values) = match behaviour {
        Behaviour::KindBoolean => (FieldType::Boolean, int64()),
        Behaviour::KindInt64 => (FieldType::Int64, Values::Timestamp(vec![1, 2, 3])),
        Behaviour::KindFloat64 => (FieldType::Float64, int64()),
        Behaviour::KindDecimal => (FieldType::Decimal(SIZE), int64()),
        Behaviour::KindBinary => (FieldType::Binary, text()),
        Behaviour::KindDate => (FieldType::Date, int64()),
        Behaviour::KindTimestamp => (FieldType::Timestamp, int64()),
        Behaviour::KindJson => (FieldType::Json, text()),
        _ => return None,
    };
    Some((kind, values, None))
}

fn other(behaviour: Behaviour) -> Lie {
    let size = |precision, scale| {
        let kind = FieldType::Decimal(DecimalSize { precision, scale });
        Some((kind, Values::Decimal(decimals(&[1, 2, 3])), None))
    };
    let text = |packed, validity| Some((FieldType::Text, Values::Text(packed), validity));
    match behaviour {
        Behaviour::DecimalZero => size(0, 0),
        Behaviour::DecimalScale => size(5, 6),
        Behaviour::DecimalNegative => size(5, -1),
        Behaviour::DecimalLeast => {
            let values = Values::Decimal(decimals(&[i128::MIN, 2, 3]));
            let size = DecimalSize {
                precision: 38,
                scale: 0,
            };
            Some((FieldType::Decimal(size), values, None))
        }
        Behaviour::Utf8Surrogate => text(packed(&[0, 3, 3, 3], b"\xed\xa0\x80"), None),
        Behaviour::Utf8Overlong => text(packed(&[0, 2, 2, 2], b"\xc0\x80"), None),
        Behaviour::Utf8Unseen => text(packed(&[0, 1, 2, 3], b"a\xffc"), Some(vec![0b101])),
        _ => None,
    }
}
