//! What the fuzz targets in `tests/fuzz` that need the engine ask of it: the validator of columns, which is the one place
//! where bytes of a guest become memory that Arrow trusts, and the reader of components. Not compiled without the feature
//! `fuzzing` but for tests, which make a short run of both.

use crate::artifact::{Artifact, pack};
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

/// Reads a component's file, and packs it again.
///
/// # Panics
/// Where what was read is not what is read of it once it is packed again.
pub fn artifact(bytes: &[u8]) {
    let Ok(artifact) = Artifact::read("x.wasm", bytes.to_vec()) else {
        return;
    };
    let schema = artifact.config_schema.as_ref().map(ToString::to_string);
    let packed = pack(bytes, &artifact.manifest_text, schema.as_deref())
        .expect("what was read can be packed");
    let again = Artifact::read("x.wasm", packed).expect("what was packed can be read");
    assert_eq!(again.manifest, artifact.manifest);
    assert_eq!(
        (again.imports, again.roles),
        (artifact.imports, artifact.roles)
    );
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    /// The seeds of a target: they stand beside the targets.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../tests/fuzz/seeds")
            .join(target);
        let files = std::fs::read_dir(folder).expect("seeds");
        let mut seeds: Vec<Vec<u8>> = files
            .map(|file| std::fs::read(file.expect("a file").path()).expect("a seed"))
            .collect();
        seeds.sort();
        seeds
    }

    /// A seed with bytes changed, put in, and cut off.
    fn mutated(target: &str) -> impl Strategy<Value = Vec<u8>> {
        let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6);
        let more = prop::collection::vec(any::<u8>(), 0..40);
        let place = any::<prop::sample::Index>;
        (
            prop::sample::select(seeds(target)),
            changes,
            more,
            place(),
            place(),
        )
            .prop_map(|(mut bytes, changes, more, at, end)| {
                for (place, byte) in changes {
                    if !bytes.is_empty() {
                        let place = place.index(bytes.len());
                        bytes[place] = byte;
                    }
                }
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, more);
                if end.index(4) == 0 {
                    bytes.truncate(end.index(bytes.len() + 1));
                }
                bytes
            })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

        #[test]
        fn columns_hold_for_a_short_run(bytes in mutated("columns")) {
            columns(&bytes);
        }

        #[test]
        fn columns_hold_for_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            columns(&bytes);
        }

        #[test]
        fn components_hold_for_a_short_run(bytes in mutated("artifact")) {
            artifact(&bytes);
        }
    }
}
