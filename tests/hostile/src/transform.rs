//! How it lies about what it changed. Given a batch of `id` and `name`; granted `id` to read, `id` and `made` to write.

use crate::behaviour::Behaviour;
use crate::bindings::exports::sluice::plugin::transform::{
    Edit, Guest, GuestTransformer, Rename, Replacement, Transformer,
};
use crate::bindings::sluice::plugin::records::{
    Batch, Column, ColumnError, Field, FieldType, NamedColumn, Schema, Values,
};
use crate::bindings::sluice::plugin::types::{Fault, Rejection};
use crate::{Hostile, behaviour};

impl Guest for Hostile {
    type Transformer = Lying;
}

pub struct Lying {
    behaviour: Behaviour,
    input: Schema,
}

impl GuestTransformer for Lying {
    fn open(config: String, input: Schema) -> Result<Transformer, Fault> {
        Ok(Transformer::new(Lying {
            behaviour: behaviour(&config),
            input,
        }))
    }

    fn output(&self) -> Schema {
        let mut output = self.input.clone();
        let more = match self.behaviour {
            Behaviour::OutputDiffers | Behaviour::Honest => FieldType::Int64,
            Behaviour::OutputKind => FieldType::Text,
            _ => return output,
        };
        output.fields.push(Field {
            name: "made".to_owned(),
            kind: more,
            nullable: true,
        });
        output
    }

    fn apply(&self, input: &Batch) -> Result<Vec<Edit>, Fault> {
        let rows = input.rows();
        let all = vec![0xff; rows.div_ceil(8) as usize];
        let made = |name: &str, rows: u32| NamedColumn {
            field: Field {
                name: name.to_owned(),
                kind: FieldType::Int64,
                nullable: true,
            },
            column: Column {
                values: Values::Int64(vec![1; rows as usize]),
                validity: None,
            },
        };
        let replace = |origins: Vec<u32>| {
            Edit::Replace(Replacement {
                rows,
                columns: vec![made("id", rows)],
                changes: None,
                origins,
            })
        };
        let reject = |part, row| {
            Edit::Reject(vec![Rejection {
                part,
                row,
                code: "no".to_owned(),
                message: "no".to_owned(),
            }])
        };
        Ok(match self.behaviour {
            Behaviour::Honest => honest(input)?,
            Behaviour::KeepTwice => vec![Edit::Keep(all.clone()), Edit::Keep(all)],
            Behaviour::KeepShort => vec![Edit::Keep(vec![])],
            Behaviour::RejectOutside => vec![reject(0, rows)],
            Behaviour::RejectPart => vec![reject(1, 0)],
            Behaviour::OriginOutside => vec![replace(vec![rows; rows as usize])],
            Behaviour::OriginsShort => vec![replace(vec![0])],
            Behaviour::OriginRejected => vec![reject(0, 0), replace(vec![0; rows as usize])],
            Behaviour::ReplaceBesidePut => {
                vec![Edit::Put(made("made", rows)), replace((0..rows).collect())]
            }
            Behaviour::OutputKind => vec![Edit::Put(made("made", rows))],
            Behaviour::DropMissing => vec![Edit::Drop("made".to_owned())],
            Behaviour::RenameOnto => vec![
                Edit::Put(made("made", rows)),
                Edit::Rename(Rename {
                    old: "made".to_owned(),
                    new: "id".to_owned(),
                }),
            ],
            Behaviour::PutShort => vec![Edit::Put(made("id", 1))],
            Behaviour::ReadUndeclared => match input.column("name") {
                Err(ColumnError::Denied(_)) => vec![Edit::Keep(all)],
                other => panic!("it was given {other:?}"),
            },
            Behaviour::WriteUndeclared => vec![Edit::Put(made("name", rows))],
            Behaviour::DropUndeclared => vec![Edit::Drop("name".to_owned())],
            Behaviour::ReplaceUndeclared => vec![replace((0..rows).collect())],
            _ => vec![],
        })
    }
}

/// Keeps the even ids, and puts twice each beside it.
fn honest(input: &Batch) -> Result<Vec<Edit>, Fault> {
    let column = input
        .column("id")
        .map_err(|error| Fault::Broken(format!("{error:?}")))?;
    let Values::Int64(ids) = column.values else {
        return Err(Fault::Broken("`id` is no integer".to_owned()));
    };
    let mut keep = vec![0_u8; ids.len().div_ceil(8)];
    for (row, id) in ids.iter().enumerate() {
        keep[row / 8] |= u8::from(id % 2 == 0) << (row % 8);
    }
    let made = NamedColumn {
        field: Field {
            name: "made".to_owned(),
            kind: FieldType::Int64,
            nullable: true,
        },
        column: Column {
            values: Values::Int64(ids.iter().map(|id| id * 2).collect()),
            validity: column.validity,
        },
    };
    Ok(vec![Edit::Put(made), Edit::Keep(keep)])
}
